"""The splits of a recipe: train, valid and test, each of one source or of several."""

import hashlib
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import accumulate
from pathlib import Path

from s2s_cli.config import (
    Data,
    EmbeddedPhrasebook,
    ParallelFiles,
    Source,
    Split,
    TableFile,
    sources_of,
    targets_of,
)
from s2s_cli.data.corpus import Corpus, hash_pairs, make_corpus, read_parallel
from s2s_cli.data.phrasebook import Splits, expand_phrasebook
from s2s_cli.data.tables import read_table
from s2s_cli.errors import ConfigError, DataError


def load_training(data: Data) -> tuple[list[Corpus], list[Corpus]]:
    """The training and the validation corpora of a recipe, one for each source.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a split is empty.
    """
    train, held_out = _load_train(data)
    if "valid" in held_out:
        return train, held_out["valid"]
    return train, load_split(data.valid, Path(data.folder), "valid")


def load_test(data: Data) -> list[Corpus]:
    """The test corpora of a recipe.

    Raises:
        DataError: as `load_training`; or the recipe names no test set.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if isinstance(data.test, float):
        return _load_train(data)[1]["test"]
    return load_split(data.test, Path(data.folder), "test")


def count_overlap(train: Corpus, other: Corpus) -> int:
    """How many source sentences of another split also stand in train."""
    known = set(train.src)
    return sum(sentence in known for sentence in other.src)


def load_split(split: Split | float, folder: Path, name: str) -> list[Corpus]:
    """Read the sources of one split; corpora of one name get numbers.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a source is empty.
    """
    if isinstance(split, float):
        raise ConfigError(f"data.{name}: a share of the training pairs cannot be read alone")
    is_list = isinstance(split, tuple)
    corpora: dict[str, Corpus] = {}
    for number, source in enumerate(sources_of(split)):
        corpus = _load_source(source, folder, f"{name}.{number}" if is_list else name)
        unique, again = corpus.name, 1
        while unique in corpora:
            again += 1
            unique = f"{corpus.name}-{again}"
        corpora[unique] = replace(corpus, name=unique)
    return list(corpora.values())


def _load_source(source: Source, folder: Path, key: str) -> Corpus:
    """Read one source; `key` is its place in the section `data`."""
    match source:
        case EmbeddedPhrasebook():
            pairs = getattr(_phrasebook(), source.phrasebook)
            origin = {f"phrasebook:{source.phrasebook}": hash_pairs(pairs)}
            corpus = make_corpus(f"phrasebook-{source.phrasebook}", pairs, origin)
        case ParallelFiles():
            paths = [folder / source.src, *(folder / str(path) for path in targets_of(source))]
            split = key.partition(".")[0]
            for side, path in zip(["src"] + ["tgt"] * len(paths), paths, strict=False):
                remedy = f"or the files with --{split}-src and --{split}-tgt"
                _check_there(path, f"{key}.{side}", f"its folder with --data-dir, {remedy}")
            corpus = read_parallel(*paths)
        case TableFile():
            path = folder / source.file
            _check_there(path, f"{key}.file", "its folder with --data-dir")
            corpus = read_table(source, path)
    if not corpus.src:
        raise DataError(f"data.{key}: no sentence pairs left in {corpus.name}; give it some text")
    return replace(corpus, weight=source.weight)


def _check_there(path: Path, key: str, remedy: str) -> None:
    if not path.is_file():
        raise DataError(f"data.{key}: no such file: {path}; name {remedy}")


def _load_train(data: Data) -> tuple[list[Corpus], dict[str, list[Corpus]]]:
    """The training pairs, and what is held out of them for validation and test."""
    train = load_split(data.train, Path(data.folder), "train")
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    return _hold_out(train, held_out, data.split_seed) if held_out else (train, {})


def _hold_out(
    train: list[Corpus], shares: dict[str, float], seed: int
) -> tuple[list[Corpus], dict[str, list[Corpus]]]:
    """Split off shares of the pairs, whole source sentences at a time.

    The sentences are ordered by a hash of (seed, sentence): the first ones are held out, until they
    make up the share. So no sentence stands on two sides, whichever source it came from, and few
    pairs change sides when others come or go.
    """
    if sum(shares.values()) >= 1:
        raise DataError("data.valid and data.test hold out everything; leave some pairs to train")
    names = [*shares, "train"]
    counts = Counter(sentence for corpus in train for sentence in corpus.src)
    bounds = [bound * counts.total() for bound in accumulate(shares.values())]
    sides: dict[str, str] = {}
    num_before = 0
    for sentence in sorted(counts, key=lambda sentence: _hash(seed, sentence)):
        sides[sentence] = names[sum(num_before >= bound for bound in bounds)]
        num_before += counts[sentence]
    parts: dict[str, list[Corpus]] = {name: [] for name in names}
    for corpus in train:
        for name in names:
            part = corpus.keep([sides[sentence] == name for sentence in corpus.src])
            if part.src:
                parts[name].append(_as_part(part, name))
    for name, corpora in parts.items():
        if not corpora:
            number = sum(map(len, train))
            raise DataError(f"data.{name}: {number} pairs are too few to hold out such a share")
    return parts.pop("train"), parts


def _hash(seed: int, sentence: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{sentence}".encode()).digest()


def _as_part(part: Corpus, name: str) -> Corpus:
    """A part of a corpus has its own hash: another share is other data, though the files stay."""
    pairs = zip(part.src, part.tgt, strict=True)
    whole = [key for key in part.origin if not any(k.startswith(f"{key}#") for k in part.origin)]
    origin = {f"{'+'.join(whole)}#{name}": hash_pairs(pairs)}
    if name == "train":
        return replace(part, origin=origin)
    return replace(part, name=f"{part.name}-{name}", origin=origin, num_blank=0, weight=1.0)


@cache
def _phrasebook() -> Splits:
    return expand_phrasebook()
