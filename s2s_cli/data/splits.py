"""The splits of a recipe (train, valid, test), each with one or more sources.

A source is a pair of files, a table, or a part of the embedded phrasebook. Opening a source checks
that its files exist; its text is read later, and as often as somebody iterates over it.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.data.directions import DirectedSource, check_all_trained, expand_directions
from s2s_cli.data.holdout import Holdout, choose_holdout
from s2s_cli.data.opening import check_exists
from s2s_cli.data.pairs import PairSource, open_files, open_table
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import (
    Direction,
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


class SplitText(NamedTuple):
    """The text of one split, not read yet."""

    name: str
    sources: list[PairSource]
    """Its own sources, or those of train if the split is held out of train."""
    share: float | None = None
    """The share of the training pairs that is held out for this split, if it is held out."""
    is_subset: bool = False
    """Whether only some pairs of the sources belong to this split, and the others elsewhere."""

    @property
    def is_from_train(self) -> bool:
        """Whether this is train or a split that is held out of it."""
        return self.name == "train" or self.share is not None

    @property
    def paths(self) -> list[Path]:
        """The text files, each once."""
        return list(dict.fromkeys(path for source in self.sources for path in source.files))

    @property
    def title(self) -> str:
        """The names of the sources."""
        return "+".join(source.name for source in self.sources)


def open_splits(data: Data, names: Iterable[str] = ("train", "valid", "test")) -> list[SplitText]:
    """Open the text of train, which comes first, and of the other splits named.

    Raises:
        ConfigError: a source names no direction, or a direction has no training pairs.
        DataError: a file is missing.
    """
    train = open_sources(data.train, data, "train")
    check_all_trained(data, [source.direction for source in train])
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    is_divided = any(isinstance(split, float) for split in splits.values())
    texts = [SplitText("train", train, is_subset=is_divided)]
    for name in names:
        split = splits[name]
        if isinstance(split, float):
            texts.append(SplitText(name, train, split, is_subset=True))
        elif name != "train" and split is not None:
            texts.append(SplitText(name, open_sources(split, data, name)))
    return texts


def find_holdout(train: SplitText, data: Data) -> Holdout:
    """Decide which training pairs are held out for other splits, if any are.

    Raises:
        DataError: the text is malformed, or there are too few pairs for the shares.
    """
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    return choose_holdout(train.sources, held_out, data.split_seed)


def name_subset(source: PairSource, split: str) -> str:
    """Name the pairs of a source that belong to one split, such as `a.de+a.en#valid`."""
    names = source.origin_names
    files = [key for key in names if not any(other.startswith(f"{key}#") for other in names)]
    return f"{'+'.join(dict.fromkeys(files))}#{split}"


def open_sources(split: Split | float, data: Data, name: str) -> list[PairSource]:
    """Open the sources of one split and give them unique names.

    With several directions the name of a source ends in its direction.

    Raises:
        ConfigError: a source has none of the recipe's directions, or an unknown format.
        DataError: a file is missing.
    """
    if isinstance(split, float):
        raise ConfigError(f"data.{name}: is a share of the training pairs; name files or a table")
    is_list = isinstance(split, tuple)
    on_bad_utf8 = data.on_bad_utf8 if name == "train" else "error"
    opened: dict[str, PairSource] = {}
    for number, source in enumerate(sources_of(split)):
        key = f"{name}.{number}" if is_list else name
        for directed in expand_directions(source, data, key):
            pairs = _open_source(directed, Path(data.folder), key, on_bad_utf8)
            tail = f"-{directed.direction}" if len(data.all_directions) > 1 else ""
            unique, count = f"{pairs.name}{tail}", 1
            while unique in opened:
                count += 1
                unique = f"{pairs.name}{tail}-{count}"
            opened[unique] = replace(pairs, name=unique)
    return list(opened.values())


def _open_source(
    directed: DirectedSource, folder: Path, key: str, on_bad_utf8: OnBadUtf8
) -> PairSource:
    """Open one source.

    Args:
        directed: the source.
        folder: where relative file names start.
        key: the source's key in the section `data`, for messages.
        on_bad_utf8: whether rows that are not UTF-8 are refused or left out.
    """
    source, direction = directed
    match source:
        case EmbeddedPhrasebook():
            return _open_phrasebook(source, direction, key)
        case ParallelFiles():
            paths = tuple(_locate(folder, str(name)) for name in (source.src, *targets_of(source)))
            split = key.partition(".")[0]
            for side, path in zip(["src"] + ["tgt"] * len(paths), paths, strict=False):
                _check_exists(path, f"{key}.{side}", f"--{split}-src and --{split}-tgt")
            return open_files(source, paths, key, direction, on_bad_utf8)
        case TableFile():
            path = _locate(folder, source.file)
            _check_exists(path, f"{key}.file", f"--set data.{key}.file=FILE")
            return open_table(source, path, key, direction, on_bad_utf8)


def _locate(folder: Path, name: str) -> Path:
    """The path of a file in the data folder; `-` is standard input."""
    return Path("/dev/stdin") if name == "-" else folder / name


def _open_phrasebook(source: EmbeddedPhrasebook, direction: Direction, key: str) -> PairSource:
    """Open a table of the phrasebook, whose columns are Chinese and English."""
    if source.direction not in (None, "zh-en", "en-zh"):
        raise ConfigError(
            f"data.{key}.direction: the phrasebook is Chinese and English, not {source.direction}; "
            "name zh-en or en-zh"
        )
    table_name = source.phrasebook
    path = PHRASEBOOK / f"{table_name}.tsv.gz"
    src, tgt = (2, 1) if source.direction == "en-zh" else (1, 2)
    table = TableFile(file=str(path), src=src, tgt=tgt, weight=source.weight)
    # A model's card names the text that it was trained on, but no folders of this machine.
    names = (f"phrasebook:{table_name}", f"phrasebook:{table_name}#{src},{tgt}")
    opened = open_table(table, path, key, direction)
    return replace(opened, name=f"phrasebook-{table_name}", origin_names=names)


def _check_exists(path: Path, key: str, options: str) -> None:
    """Refuse a source that cannot be opened, and name the options that replace it.

    Raises:
        DataError: there is no such file, or it is a folder.
    """
    try:
        check_exists(path)
    except DataError as error:
        _, _, problem = str(error).partition(": ")
        # Only relative names are looked up in the data folder.
        folder = "" if path.is_absolute() else "its folder with --data-dir, or "
        raise DataError(
            f"data.{key}: {problem.partition(';')[0]}: {path}; name {folder}the file with {options}"
        ) from error
