"""Which datasets on disk are stale, that is, have to be encoded again.

Three things decide on the ids of a dataset: its text, settings (keys of the recipe, versions of
tokenisers) and the vocabularies. Its manifest records all three, and the hashes of its files. A
dataset is up to date if its manifest matches what the recipe wants now. Size and time of a file are
compared first, its hash only if they differ.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from s2s_cli.config import Config
from s2s_cli.data.manifest import FileStamp, Manifest, Settings, find_damage, read_manifest
from s2s_cli.data.splits import SplitText, name_subset
from s2s_cli.text.subwords import SubwordPair
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.text.word_boundaries import choose_tokenizer, resolve_tokenizers

TOKENIZERS_VERSION = 2
"""Version of our own tokenisers: raised when one of them splits text differently."""

PACKAGES = {"moses": "sacremoses", "jieba": "jieba"}
"""The packages of tokenisers that are not our own."""


def list_settings(config: Config, text: SplitText) -> Settings:
    """Return all settings that decide on the words of a split: keys and versions of packages."""
    src_tokenizer, tgt_tokenizer = resolve_tokenizers(config)
    paths, data = text.paths, config.data
    holdout: Settings = {}
    if text.is_from_train:
        for name, split in {"valid": data.valid, "test": data.test}.items():
            holdout[f"data.{name}"] = split if isinstance(split, float) else None
        holdout["data.split_seed"] = data.split_seed if text.is_subset else None
    return {
        "text.src_tokenizer": src_tokenizer,
        "text.tgt_tokenizer": tgt_tokenizer,
        "text.normalize": config.text.normalize,
        "text.chinese": config.text.chinese,
        "text.lowercase": config.text.lowercase,
        "text.src_subword": config.text.src_subword,
        "text.tgt_subword": config.text.tgt_subword,
        "data.max_length": data.max_length,
        f"data.{'train' if text.is_from_train else text.name}": [
            [*source.identity, list(source.direction), [paths.index(path) for path in source.files]]
            for source in text.sources
        ],
        "data.on_bad_utf8": "skip" if data.on_bad_utf8 == "skip" else None,
        **holdout,
        "tokenizers": TOKENIZERS_VERSION,
        "versions": _list_versions(config, text),
    }


def add_vocabularies(
    settings: Settings, src: Vocabulary, tgt: Vocabulary, subwords: SubwordPair
) -> Settings:
    """Add the hashes of vocabularies and subword models, which decide on the ids."""
    hashes: Settings = {
        "src.tsv": _hash(src.to_tsv().encode()),
        "tgt.tsv": _hash(tgt.to_tsv().encode()),
        "src.model": _hash(subwords[0].content) if subwords[0] else None,
        "tgt.model": _hash(subwords[1].content) if subwords[1] else None,
    }
    return {**settings, "vocabularies": hashes}


def find_current(folder: Path, text: SplitText, wanted: Settings) -> Manifest | str | None:
    """Return the manifest of a dataset that is up to date, or the reason why it is stale.

    Args:
        folder: of the dataset.
        text: of the split.
        wanted: all settings, and the hashes of the vocabularies.

    Returns:
        The manifest, with present names and times of files; a reason as text; or None if there is
        no dataset.
    """
    if not folder.exists():
        return None
    manifest = read_manifest(folder)
    if isinstance(manifest, str):
        return manifest
    problem = (
        find_changed_settings(manifest, wanted)
        or find_damage(folder, manifest)
        or find_changed_text(manifest, text.paths)
    )
    if problem is not None:
        return problem
    renewed = _renew_stamps(folder, manifest, text)
    if renewed != manifest and os.access(folder, os.W_OK):
        renewed.write(folder)
    return renewed


def find_stale(
    texts: Sequence[SplitText], found: Mapping[str, Manifest | str | None]
) -> list[SplitText]:
    """Return the splits to encode.

    Train and the splits held out of it have the same text, so they are encoded together.

    Args:
        texts: of all splits.
        found: by split, what `find_current` found; missing where the split has to be encoded.
    """
    stale = {text.name for text in texts if not isinstance(found.get(text.name), Manifest)}
    from_train = {text.name for text in texts if text.is_from_train}
    if stale & from_train:
        stale |= from_train
    return [text for text in texts if text.name in stale]


def find_changed_text(manifest: Manifest, paths: Sequence[Path]) -> str | None:
    """Return which text differs from what was encoded; None if none does. Files may have moved."""
    if len(paths) != len(manifest.texts):
        return "the text is in other files"
    for path, stamp in zip(paths, manifest.texts.values(), strict=True):
        if not stamp.matches(path):
            return f"{path} has changed"
    return None


def find_changed_settings(manifest: Manifest, wanted: Settings) -> str | None:
    """Return which setting differs from that of the dataset; None if none does."""
    for name in dict.fromkeys((*wanted, *manifest.settings)):
        found, value = manifest.settings.get(name), wanted.get(name)
        if found != value:
            change = f" {found} -> {value}" if len(f"{found}{value}") < 80 else ""
            return f"made with other {name}{change}"
    return None


def _renew_stamps(folder: Path, manifest: Manifest, text: SplitText) -> Manifest:
    """Return the manifest with the present names and times of files that have not changed."""
    texts = zip(text.paths, manifest.texts.values(), strict=True)
    origin = [
        [name_subset(source, text.name)] if text.is_subset else source.origin_names
        for source in text.sources
    ]
    return manifest.model_copy(
        update={
            "texts": {str(path): FileStamp.take(path, stamp.sha256) for path, stamp in texts},
            "files": {
                name: FileStamp.take(folder / name, stamp.sha256)
                for name, stamp in manifest.files.items()
            },
            "sources": tuple(
                source.model_copy(
                    update={"origin": dict(zip(names, source.origin.values(), strict=False))}
                )
                for source, names in zip(manifest.sources, origin, strict=True)
            ),
        }
    )


def _list_versions(config: Config, text: SplitText) -> Settings:
    """Return the versions of packages that make tokens; other versions may make other tokens."""
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
