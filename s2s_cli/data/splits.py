"""The splits of a recipe: train, valid and test, each of one source or of several."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from s2s_cli.config import Data
from s2s_cli.data.corpus import Corpus, hash_pairs, make_corpus, read_parallel
from s2s_cli.data.directions import (
    DirectedSource,
    check_all_trained,
    direct_source,
    is_turned_round,
)
from s2s_cli.data.phrasebook import Splits, expand_phrasebook
from s2s_cli.data.shares import hold_out
from s2s_cli.data.tables import read_table
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import (
    EmbeddedPhrasebook,
    ParallelFiles,
    Split,
    TableFile,
    sources_of,
    targets_of,
)


def load_training(data: Data) -> tuple[list[Corpus], list[Corpus]]:
    """The training and the validation corpora of a recipe, one for each source.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a split is empty.
    """
    train, held_out = _load_train(data)
    if "valid" in held_out:
        return train, held_out["valid"]
    return train, load_split(data.valid, data, "valid")


def load_test(data: Data) -> list[Corpus]:
    """The test corpora of a recipe.

    Raises:
        DataError: as `load_training`; or the recipe names no test set.
    """
    return load_test_and_rest(data)[0]


def load_test_and_rest(data: Data) -> tuple[list[Corpus], dict[str, list[Corpus]]]:
    """The test corpora and, if they are held out of train, its other parts by their names.

    Raises:
        DataError: as `load_test`.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if isinstance(data.test, float):
        train, parts = _load_train(data)
        return parts.pop("test"), {"train": train, **parts}
    return load_split(data.test, data, "test"), {}


def count_overlap(train: Corpus, other: Corpus) -> int:
    """How many source sentences of another split also stand in train."""
    known = set(train.src)
    return sum(sentence in known for sentence in other.src)


def load_split(split: Split | float, data: Data, name: str) -> list[Corpus]:
    """Read the sources of one split; corpora of one name get numbers.

    Where the recipe has several directions, a corpus's name ends in its own.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a source is empty.
    """
    if isinstance(split, float):
        raise ConfigError(f"data.{name}: a share of the training pairs cannot be read alone")
    is_list = isinstance(split, tuple)
    corpora: dict[str, Corpus] = {}
    for number, source in enumerate(sources_of(split)):
        key = f"{name}.{number}" if is_list else name
        for directed in direct_source(source, data, key):
            corpus = _load_source(directed, Path(data.folder), key)
            if len(data.all_directions) > 1:
                corpus = replace(corpus, name=f"{corpus.name}-{directed.direction}")
            unique, again = corpus.name, 1
            while unique in corpora:
                again += 1
                unique = f"{corpus.name}-{again}"
            corpora[unique] = replace(corpus, name=unique)
    return list(corpora.values())


def _load_source(directed: DirectedSource, folder: Path, key: str) -> Corpus:
    """Read one source; `key` is its place in the section `data`."""
    source, (src_lang, tgt_lang) = directed
    match source:
        case EmbeddedPhrasebook():
            corpus = _load_phrasebook(source, is_turned_round(directed, key))
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
    return replace(corpus, weight=source.weight, src_lang=src_lang, tgt_lang=tgt_lang)


def _load_phrasebook(source: EmbeddedPhrasebook, is_turned: bool) -> Corpus:
    """A part of the phrasebook, Chinese to English unless it is turned round."""
    part = source.phrasebook
    pairs, origin = getattr(_phrasebook(), part), f"phrasebook:{part}"
    if is_turned:
        pairs, origin = [pair[::-1] for pair in pairs], f"{origin}:{source.direction}"
    return make_corpus(f"phrasebook-{part}", pairs, {origin: hash_pairs(pairs)})


def _check_there(path: Path, key: str, remedy: str) -> None:
    if not path.is_file():
        raise DataError(f"data.{key}: no such file: {path}; name {remedy}")


def _load_train(data: Data) -> tuple[list[Corpus], dict[str, list[Corpus]]]:
    """The training pairs, and what is held out of them for validation and test."""
    train = load_split(data.train, data, "train")
    check_all_trained(data, train)
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    if not held_out:
        return train, {}
    train, parts = hold_out(train, held_out, data.split_seed)
    check_all_trained(data, train)
    return train, parts


@cache
def _phrasebook() -> Splits:
    return expand_phrasebook()
