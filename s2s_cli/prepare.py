"""Preparing the text of a run: its vocabularies, and the token ids of each split on disk.

    text -> words, counted -> subwords and vocabularies -> ids

The text is read once. A pool of processes splits it into words, which go to a temporary file;
subwords and vocabularies are learnt from their counts; a second pass cuts the words into subwords
and encodes them. Like `make`, preparing keeps every dataset that exists and still matches its
text, its settings and the vocabularies.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.dataset import Dataset
from s2s_cli.data.dataset_writer import (
    DatasetWriter,
    EncodingSettings,
    choose_dtype,
    make_encoder,
)
from s2s_cli.data.holdout import check_parts
from s2s_cli.data.manifest import (
    Manifest,
    Settings,
    find_changed_settings,
    find_changed_text,
    find_damage,
    read_manifest,
    renew_stamps,
)
from s2s_cli.data.pairs import Reading, Row
from s2s_cli.data.splits import (
    SplitText,
    find_holdout,
    name_part,
    open_texts,
)
from s2s_cli.data.words import chunk_rows, make_word_splitter
from s2s_cli.data.workers import Work, map_in_order
from s2s_cli.errors import DataError
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.storage.atomic import replacing_folder
from s2s_cli.text.word_boundaries import choose_tokenizer
from s2s_cli.vocabularies import (
    TokenCounts,
    count_tokens,
    learn_vocabularies,
    resolve_tokenizers,
)

TOKENIZERS = 2
"""Raised when a tokeniser of ours comes to split text differently."""

PACKAGES = {"moses": "sacremoses", "jieba": "jieba"}
"""The packages that split sentences into words."""

ProgressCallback = Callable[[str, int, int | None], None]
"""Receives the stage, the number of pairs done and, if known, of all; may raise to stop."""


class Workers(NamedTuple):
    """How a pass runs; changes no result."""

    number: int
    """Processes at most."""
    report: ProgressCallback = lambda *_: None


class Prepared(NamedTuple):
    """What training needs of the text."""

    vocabularies: Vocabularies
    is_new: bool
    """Whether the vocabularies were learnt now."""
    datasets: dict[str, Dataset]
    """By split; `test` is missing where the recipe has no test set that can be read."""
    notes: list[str]
    """What people should know: which datasets were encoded again and why."""
    warnings: list[str]
    """Why the test set could not be prepared."""


def prepare(
    config: Config,
    folder: Path,
    workers: Workers,
    known: Vocabularies | None = None,
    fits: Callable[[Mapping[str, str]], bool] = lambda _: True,
    inspect: Callable[[Vocabularies, Mapping[str, TokenCounts]], None] = lambda *_: None,
    *,
    reads_all: bool = False,
) -> Prepared:
    """Bring the datasets of all splits up to date.

    Args:
        config: the recipe.
        folder: of the datasets; each split gets a folder in it.
        workers: processes and progress.
        known: the vocabularies to use; if None, they are learnt from the text of train.
        fits: given where the text of train comes from (name to SHA-256), says whether `known` can
            be used; otherwise vocabularies are learnt. May raise to refuse the text.
        inspect: receives the vocabularies and the tokens of the splits that are about to be
            encoded. May raise to refuse them.
        reads_all: whether to encode all splits again, even those that are up to date.

    Raises:
        ConfigError: the recipe's splits are inconsistent, or no token is frequent enough.
        DataError: a file is missing or malformed, or a split is empty.
    """
    notes, warnings = list[str](), list[str]()
    texts = _open_all(config, warnings)
    settings = {text.name: list_settings(config, text) for text in texts}
    found: dict[str, Manifest | str | None] = {}
    if known is not None and not reads_all:
        wanted = {name: with_vocabularies(keys, known) for name, keys in settings.items()}
        found = {text.name: _find_current(folder, text, wanted[text.name]) for text in texts}
    train = found.get("train")
    if isinstance(train, Manifest) and not fits(train.origin):
        known, found = None, {}
    stale = _find_stale(texts, found)
    with ExitStack() as stack:
        read = _Reader(config, folder, workers, stack)
        words = read.texts(stale, warnings)
        if known is not None and "train" in words and not fits(words["train"].origin):
            known = None
        is_new = known is None
        if known is None:
            words |= read.texts([text for text in texts if text not in stale], warnings)
            known = _learn(config, words["train"], notes)
        counts = {name: count_tokens(one.words, known.subwords) for name, one in words.items()}
        inspect(known, counts)
        for name, one in words.items():
            _encode(one, known, config, with_vocabularies(settings[name], known), workers)
    for name, reason in found.items():
        if isinstance(reason, str):
            notes.append(f"{folder / name}: {reason}; encoded again")
    names = [text.name for text in texts if text.name in words or text not in stale]
    datasets = {name: Dataset.open(folder / name) for name in names}
    return Prepared(known, is_new, datasets, notes, warnings)


def open_prepared(folder: Path, vocabularies: Vocabularies) -> Prepared:
    """Open the datasets that another process has prepared.

    Args:
        folder: of the datasets.
        vocabularies: that they were encoded with.

    Raises:
        DataError: there are none.
    """
    names = [name for name in ("train", "valid", "test") if (folder / name).exists()]
    datasets = {name: Dataset.open(folder / name) for name in {"train", "valid", *names}}
    return Prepared(vocabularies, False, datasets, [], [])


NO_TEST = "the test set is not compared with train"


def _open_all(config: Config, warnings: list[str]) -> list[SplitText]:
    """The text of all splits; a test set that cannot be opened is left out."""
    texts = open_texts(config.data, ("valid",))
    try:
        return texts + open_texts(config.data, ("test",))[1:]
    except DataError as error:
        warnings.append(f"{NO_TEST}: {error}")
        return texts


def _find_current(folder: Path, text: SplitText, wanted: Settings) -> Manifest | str | None:
    """The manifest of a dataset that is up to date, else what is wrong; None if there is none."""
    place = folder / text.name
    if not place.exists():
        return None
    manifest = read_manifest(place)
    if isinstance(manifest, str):
        return manifest
    problem = (
        find_changed_settings(manifest, wanted)
        or find_damage(place, manifest)
        or find_changed_text(manifest, text.paths)
    )
    if problem is not None:
        return problem
    names = [
        [name_part(source, text.name)] if text.is_part else source.origin_names
        for source in text.sources
    ]
    renewed = renew_stamps(place, manifest, text.paths, names)
    if renewed != manifest and os.access(place, os.W_OK):
        renewed.write(place)
    return renewed


def _find_stale(
    texts: list[SplitText], found: Mapping[str, Manifest | str | None]
) -> list[SplitText]:
    """The splits to encode; train and what is held out of it are read together."""
    stale = {text.name for text in texts if not isinstance(found.get(text.name), Manifest)}
    of_train = {text.name for text in texts if text.name == "train" or text.share is not None}
    if stale & of_train:
        stale |= of_train
    return [text for text in texts if text.name in stale]


class _Reader(NamedTuple):
    """Splits text into words. Datasets take their places when the stack closes without an error."""

    config: Config
    folder: Path
    workers: Workers
    stack: ExitStack

    def texts(self, texts: list[SplitText], warnings: list[str]) -> dict[str, DatasetWriter]:
        """Read splits. Validation and test files come first: their errors show at once."""
        found: dict[str, DatasetWriter] = {}
        of_train = [text for text in texts if text.name == "train" or text.share is not None]
        for text in texts:
            if text in of_train:
                continue
            try:
                with ExitStack() as stack:
                    found |= self._group([text], stack)
                    self.stack.push(stack.pop_all())
            except DataError as error:
                if text.name != "test":
                    raise
                warnings.append(f"{NO_TEST}: {error}")
        return found | (self._group(of_train, self.stack) if of_train else {})

    def _group(self, texts: list[SplitText], stack: ExitStack) -> dict[str, DatasetWriter]:
        """Read splits that have the same sources; the stack completes or discards their folders."""
        sources = texts[0].sources
        readings = [Reading() for _ in sources]
        writers: dict[str, DatasetWriter] = {}
        for text in texts:
            folder = stack.enter_context(replacing_folder(self.folder / text.name))
            writers[text.name] = DatasetWriter(text, folder, readings)
            stack.callback(writers[text.name].close)
        rows = self._divide(texts[0], readings, writers)
        directions = tuple({source.direction for source in sources})
        work = Work(make_word_splitter, (self.config.text, directions))
        done = 0
        with closing(map_in_order(work, chunk_rows(rows), self.workers.number)) as chunks:
            for chunk in chunks:
                writers[chunk.split].add_words(chunk)
                done += chunk.num_pairs
                self.workers.report("tokenising", done, None)
        if len(writers) > 1:
            check_parts({name: sum(writer.num_rows) for name, writer in writers.items()})
        for writer in writers.values():
            writer.words.close()
            writer.count_left_out()
        return writers

    def _divide(
        self, text: SplitText, readings: list[Reading], writers: Mapping[str, DatasetWriter]
    ) -> Iterator[tuple[str, int, Direction, Row]]:
        """Yield the rows of all sources with the split that each belongs to."""
        holdout = find_holdout(text, self.config.data) if text.is_part else None
        for number, source in enumerate(text.sources):
            for row in source.read(readings[number]):
                name = text.name if holdout is None else holdout.split_of(row[0])
                writers[name].add_row(number, row)
                yield name, number, source.direction, row


def _learn(config: Config, train: DatasetWriter, notes: list[str]) -> Vocabularies:
    """Learn subwords and vocabularies from the words of train."""
    origin = train.origin.values()
    return learn_vocabularies(config, train.words, origin, train.text.title, notes.append)


def _encode(
    writer: DatasetWriter,
    vocabularies: Vocabularies,
    config: Config,
    settings: Settings,
    workers: Workers,
) -> None:
    """Turn the words of a split into ids, and complete its dataset."""
    src, tgt = vocabularies.src, vocabularies.tgt
    models = [(one.content, one.kind) if one else None for one in vocabularies.subwords]
    encoding = EncodingSettings(
        (src.to_tsv(), tgt.to_tsv()),
        (models[0], models[1]),
        tuple(tuple(src.encode_tag(source.direction.tgt)) for source in writer.text.sources),
        config.data.max_length,
        choose_dtype(len(src), len(tgt)),
    )
    done = 0
    work = Work(make_encoder, (encoding,))
    with closing(map_in_order(work, writer.words.places, workers.number)) as chunks:
        for chunk in chunks:
            writer.add_ids(chunk)
            done += chunk.num_rows
            workers.report("encoding", done, writer.words.num_pairs)
    if not writer.counts.pairs and writer.text.name != "test":
        raise DataError(
            f"data.{writer.text.name}: no pair of {writer.text.title} is left; check "
            "data.max_length and the text"
        )
    writer.finish(settings, encoding.dtype)


def list_settings(config: Config, text: SplitText) -> Settings:
    """The keys of a recipe, and the versions of packages, that decide on the words of a split."""
    src_tokenizer, tgt_tokenizer = resolve_tokenizers(config)
    paths, data = text.paths, config.data
    shares: Settings = {}
    if text.is_part:
        both = {"valid": data.valid, "test": data.test}
        for name, split in both.items():
            shares[f"data.{name}"] = split if isinstance(split, float) else None
        shares["data.split_seed"] = data.split_seed
    return {
        "text.src_tokenizer": src_tokenizer,
        "text.tgt_tokenizer": tgt_tokenizer,
        "text.normalize": config.text.normalize,
        "text.chinese": config.text.chinese,
        "text.lowercase": config.text.lowercase,
        "text.src_subword": config.text.src_subword,
        "text.tgt_subword": config.text.tgt_subword,
        "data.max_length": data.max_length,
        f"data.{'train' if text.is_part else text.name}": [
            [*source.identity, list(source.direction), [paths.index(path) for path in source.files]]
            for source in text.sources
        ],
        "data.on_bad_utf8": "skip" if data.on_bad_utf8 == "skip" else None,
        **shares,
        "tokenizers": TOKENIZERS,
        "versions": _list_versions(config, text),
    }


def with_vocabularies(settings: Settings, vocabularies: Vocabularies) -> Settings:
    """The same with the hashes of vocabularies and subwords, which decide on the ids."""
    src, tgt = vocabularies.subwords
    hashes: Settings = {
        "src.tsv": _hash(vocabularies.src.to_tsv().encode()),
        "tgt.tsv": _hash(vocabularies.tgt.to_tsv().encode()),
        "src.model": _hash(src.content) if src else None,
        "tgt.model": _hash(tgt.content) if tgt else None,
    }
    return {**settings, "vocabularies": hashes}


def _list_versions(config: Config, text: SplitText) -> Settings:
    """The versions of the packages that make tokens; others may make other tokens."""
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
