"""What decides on token ids beside the text: a corpus encoded with other settings is stale."""

import hashlib
from importlib.metadata import version

from pydantic import JsonValue

from s2s_cli.config import Config
from s2s_cli.data.splits import TrainingText
from s2s_cli.run import Vocabularies
from s2s_cli.text.word_boundaries import choose_tokenizer
from s2s_cli.vocabularies import resolve_tokenizers

TOKENIZERS = 2
"""Raised when a tokeniser of ours comes to split otherwise."""

PACKAGES = {"moses": "sacremoses", "jieba": "jieba"}
"""What splits sentences into words, where that is not our own code."""

Settings = dict[str, JsonValue]


def list_settings(config: Config, text: TrainingText) -> Settings:
    """The keys of a recipe, and the versions, that decide on the tokens of a text."""
    src_tokenizer, tgt_tokenizer = resolve_tokenizers(config)
    paths = text.paths()
    sources: list[JsonValue] = [
        [*source.part, list(source.direction), [paths.index(path) for path in source.files]]
        for source in text.sources
    ]
    return {
        "text.src_tokenizer": src_tokenizer,
        "text.tgt_tokenizer": tgt_tokenizer,
        "text.normalize": config.text.normalize,
        "text.chinese": config.text.chinese,
        "text.lowercase": config.text.lowercase,
        "text.src_subword": config.text.src_subword,
        "text.tgt_subword": config.text.tgt_subword,
        "data.max_length": config.data.max_length,
        "data.train": sources,
        "data.on_bad_utf8": "skip" if config.data.on_bad_utf8 == "skip" else None,
        "data.valid": text.held_out.get("valid"),
        "data.test": text.held_out.get("test"),
        "data.split_seed": config.data.split_seed if text.held_out else None,
        "tokenizers": TOKENIZERS,
        "versions": _list_versions(config, text),
    }


def with_vocabularies(settings: Settings, vocabularies: Vocabularies) -> Settings:
    """Those and the vocabularies and subwords, which decide on the ids."""
    src, tgt = vocabularies.subwords
    hashes: Settings = {
        "src.tsv": _hash(vocabularies.src.to_tsv().encode()),
        "tgt.tsv": _hash(vocabularies.tgt.to_tsv().encode()),
        "src.model": _hash(src.content) if src else None,
        "tgt.model": _hash(tgt.content) if tgt else None,
    }
    return {**settings, "vocabularies": hashes}


def _list_versions(config: Config, text: TrainingText) -> Settings:
    """Of the packages that make tokens; another one may make others."""
    kinds = config.text.src_tokenizer, config.text.tgt_tokenizer
    names = {
        choose_tokenizer(name, lang)
        for source in text.sources
        for name, lang in zip(kinds, source.direction, strict=True)
    }
    packages = [PACKAGES[name] for name in sorted(names & PACKAGES.keys())]
    if {config.text.src_subword, config.text.tgt_subword} != {"none"}:
        packages.append("sentencepiece")
    return {package: version(package) for package in packages}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
