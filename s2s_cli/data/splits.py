"""The splits of a recipe: train, valid and test, each of one source or of several."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.directions import (
    DirectedSource,
    check_all_trained,
    direct_source,
    is_turned_round,
)
from s2s_cli.data.opening import check_there
from s2s_cli.data.parts import Parts
from s2s_cli.data.sentence_pairs import SentencePairs, open_files, open_table
from s2s_cli.data.shares import Deal, deal_pairs
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import (
    EmbeddedPhrasebook,
    OnBadUtf8,
    ParallelFiles,
    Split,
    TableFile,
    sources_of,
    targets_of,
)

PHRASEBOOK = Path(__file__).with_name("phrasebook")
"""Folder of the tables that `tools/phrasebook` generates."""


class TrainingText(NamedTuple):
    """The sources of train, and what is held out of them; nothing of it is read yet."""

    sources: list[SentencePairs]
    held_out: dict[str, float]
    """Shares by split."""
    data: Data

    def paths(self) -> list[Path]:
        """The text files, each once."""
        return list(dict.fromkeys(path for source in self.sources for path in source.files))

    def deal(self) -> Deal | None:
        """Which pair is on which side of the shares; None if nothing is held out.

        Raises:
            DataError: a source is malformed or empty, or the pairs are too few for the shares.
            ConfigError: no pair of a direction is left to train on.
        """
        if not self.held_out:
            return None
        deal = deal_pairs(self.sources, self.held_out, self.data.split_seed)
        train = deal.names.index("train")
        both = zip(self.sources, deal.sides, strict=True)
        check_all_trained(self.data, [one.direction for one, sides in both if train in sides])
        return deal


def open_training(data: Data) -> TrainingText:
    """The sources of train.

    Raises:
        ConfigError: the recipe does not say of which direction a source is, or trains none of one.
        DataError: a file is missing.
    """
    sources = open_split(data.train, data, "train")
    check_all_trained(data, [source.direction for source in sources])
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    return TrainingText(sources, held_out, data)


def load_test(data: Data) -> list[Corpus]:
    """The test corpora of a recipe.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; or the recipe names
            no test set.
    """
    return load_test_and_rest(data)[0]


def load_test_and_rest(data: Data) -> tuple[list[Corpus], dict[str, set[str]]]:
    """The test corpora and, if they are held out of train, the hashes of its other parts.

    Raises:
        DataError: as `load_test`.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if isinstance(data.test, float):
        training = open_training(data)
        parts = Parts(training.sources, training.deal())
        for _ in parts.read(keep=("test",)):
            pass  # only what is held out is kept
        rest = [name for name in parts.names if name != "test"]
        return parts.corpora("test"), {name: {*parts.origin(name).values()} for name in rest}
    return load_split(data.test, data, "test"), {}


def load_split(split: Split | float, data: Data, name: str) -> list[Corpus]:
    """Read the sources of one split into memory.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a source is empty.
    """
    return [source.load() for source in open_split(split, data, name)]


def open_split(split: Split | float, data: Data, name: str) -> list[SentencePairs]:
    """The sources of one split; those of one name get numbers.

    Where the recipe has several directions, a source's name ends in its own.

    Raises:
        ConfigError: a source is of no direction of the recipe, or its format is not known.
        DataError: a file is missing.
    """
    if isinstance(split, float):
        raise ConfigError(f"data.{name}: a share of the training pairs cannot be read alone")
    is_list = isinstance(split, tuple)
    on_bad_utf8 = data.on_bad_utf8 if name == "train" else "error"
    opened: dict[str, SentencePairs] = {}
    for number, source in enumerate(sources_of(split)):
        key = f"{name}.{number}" if is_list else name
        for directed in direct_source(source, data, key):
            pairs = _open_source(directed, Path(data.folder), key, on_bad_utf8)
            tail = f"-{directed.direction}" if len(data.all_directions) > 1 else ""
            unique, again = f"{pairs.name}{tail}", 1
            while unique in opened:
                again += 1
                unique = f"{pairs.name}{tail}-{again}"
            opened[unique] = pairs.renamed(unique)
    return list(opened.values())


def _open_source(
    directed: DirectedSource, folder: Path, key: str, on_bad_utf8: OnBadUtf8
) -> SentencePairs:
    """One source; `key` is its place in the section `data`."""
    source, direction = directed
    match source:
        case EmbeddedPhrasebook():
            return _open_phrasebook(directed, key)
        case ParallelFiles():
            paths = (folder / source.src, *(folder / str(path) for path in targets_of(source)))
            split = key.partition(".")[0]
            for side, path in zip(["src"] + ["tgt"] * len(paths), paths, strict=False):
                _check_there(path, f"{key}.{side}", f"--{split}-src and --{split}-tgt")
            return open_files(source, paths, key, direction, on_bad_utf8)
        case TableFile():
            path = folder / source.file
            _check_there(path, f"{key}.file", f"--set data.{key}.file=FILE")
            return open_table(source, path, key, direction, on_bad_utf8)


def _open_phrasebook(directed: DirectedSource, key: str) -> SentencePairs:
    """Open a table of the phrasebook, whose columns are Chinese and English."""
    source, direction = directed
    part = source.phrasebook  # type: ignore[union-attr]
    path = PHRASEBOOK / f"{part}.tsv.gz"
    src, tgt = (2, 1) if is_turned_round(directed, key) else (1, 2)
    table = TableFile(file=str(path), src=src, tgt=tgt, weight=source.weight)
    # A model's card names the text that it was trained on, but no folders of this machine.
    names = (f"phrasebook:{part}", f"phrasebook:{part}#{src},{tgt}")
    opened = open_table(table, path, key, direction)
    return replace(opened, name=f"phrasebook-{part}", origin_names=names)


def _check_there(path: Path, key: str, options: str) -> None:
    """Refuse a source that cannot be opened, and say which options name another.

    Raises:
        DataError: there is no such file, or it is a folder.
    """
    try:
        check_there(path)
    except DataError as error:
        _, _, what = str(error).partition(": ")
        # A folder is put before relative names only.
        folder = "" if path.is_absolute() else "its folder with --data-dir, or "
        raise DataError(
            f"data.{key}: {what.partition(';')[0]}: {path}; name {folder}the file with {options}"
        ) from error
