"""The splits of a recipe (train, valid, test), each of one source or of several.

A source names files, a table or a part of the phrasebook. In a recipe of several directions it says
its direction with `direction`, or with `{src}` and `{tgt}` in its names.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.data.fingerprints import PairDigest
from s2s_cli.data.holdout import Holdout, check_parts, choose_holdout
from s2s_cli.data.opening import check_there
from s2s_cli.data.pairs import PairSource, ParallelText, Row, open_files, open_table, rename
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import (
    Direction,
    EmbeddedPhrasebook,
    OnBadUtf8,
    ParallelFiles,
    Source,
    Split,
    TableFile,
    sources_of,
    targets_of,
)

PLACEHOLDERS = ("{src}", "{tgt}")

PHRASEBOOK = Path(__file__).with_name("phrasebook")
"""Folder of the tables that `tools/phrasebook` generates."""


class DirectedSource(NamedTuple):
    """A source with its direction, and with file names in place of placeholders."""

    source: Source
    direction: Direction


class SplitText(NamedTuple):
    """The text of one split, not read yet."""

    name: str
    sources: list[PairSource]
    """Its own, or those of train if it is held out of train."""
    share: float | None = None
    """The share of train that it holds out, if it does."""
    is_part: bool = False
    """Whether it is only a part of the text of its sources, others being held out or kept."""

    @property
    def paths(self) -> list[Path]:
        """The text files, each once."""
        return list(dict.fromkeys(path for source in self.sources for path in source.files))

    @property
    def title(self) -> str:
        """The names of its sources."""
        return "+".join(source.name for source in self.sources)


def open_texts(data: Data, names: Iterable[str] = ("train", "valid", "test")) -> list[SplitText]:
    """Find the text of splits; train first.

    Raises:
        ConfigError: a source says no direction, a direction has no training pairs, or a share is
            to be held out of several directions.
        DataError: a file is missing.
    """
    train = open_split(data.train, data, "train")
    check_all_trained(data, [source.direction for source in train])
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    is_divided = any(isinstance(split, float) for split in splits.values())
    texts = [SplitText("train", train, is_part=is_divided)]
    for name in names:
        split = splits[name]
        if isinstance(split, float):
            _refuse_several_directions(data, name)
            texts.append(SplitText(name, train, split, is_part=True))
        elif name != "train" and split is not None:
            texts.append(SplitText(name, open_split(split, data, name)))
    return texts


def find_holdout(train: SplitText, data: Data) -> Holdout:
    """How the training pairs are divided among train and the splits that are held out, if any.

    Raises:
        DataError: the text is malformed, or there are too few pairs for the shares.
    """
    shares = {"valid": data.valid, "test": data.test}
    held_out = {name: share for name, share in shares.items() if isinstance(share, float)}
    return choose_holdout(train.sources, held_out, data.split_seed)


def _refuse_several_directions(data: Data, name: str) -> None:
    if len(data.all_directions) > 1:
        raise ConfigError(
            f"data.{name}: with several directions a source sentence of one may be a target of "
            "another, so no share of the training pairs can be held out; name files or tables"
        )


def load_test(data: Data) -> list[ParallelText]:
    """Read the test set of a recipe.

    Raises:
        DataError: a file is missing or malformed, or the recipe names no test set.
    """
    return load_test_and_rest(data)[0]


def load_test_and_rest(data: Data) -> tuple[list[ParallelText], dict[str, set[str]]]:
    """Read the test set; if it is held out of train, also hash the other parts of train.

    Returns:
        The text of each source, and for each other part (`train`, perhaps `valid`) its hashes.

    Raises:
        DataError: as `load_test`.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if not isinstance(data.test, float):
        return [source.load() for source in open_split(data.test, data, "test")], {}
    train = open_texts(data, ("test",))[0]
    holdout = find_holdout(train, data)
    tests: list[ParallelText] = []
    rest: dict[str, set[str]] = {name: set() for name in holdout.splits if name != "test"}
    counts = dict.fromkeys(holdout.splits, 0)
    for source in train.sources:
        rows: list[Row] = []
        digests = {name: PairDigest() for name in holdout.splits}
        numbers = dict.fromkeys(holdout.splits, 0)
        for row in source.read():
            name = holdout.split_of(row[0])
            digests[name].update(row[:2])
            numbers[name] += 1
            if name == "test":
                rows.append(row)
        for name, hashes in rest.items():
            if numbers[name]:
                hashes.add(digests[name].hexdigest())
        if rows:
            origin = {name_part(source, "test"): digests["test"].hexdigest()}
            tests.append(ParallelText(f"{source.name}-test", source.direction, rows, origin))
        counts = {name: counts[name] + numbers[name] for name in counts}
    check_parts(counts)
    return tests, rest


def name_part(source: PairSource, split: str) -> str:
    """Name a part of a source: another share is other data, though the files are the same."""
    names = source.origin_names
    whole = [key for key in names if not any(other.startswith(f"{key}#") for other in names)]
    return f"{'+'.join(dict.fromkeys(whole))}#{split}"


def locate_pairs(data: Data, numbers: Collection[int]) -> list[str]:
    """File, line and sentences of some training pairs.

    Args:
        data: where the text is.
        numbers: of the pairs among all training pairs, from 0; held-out ones do not count.

    Raises:
        DataError: the text is malformed.
    """
    train = open_texts(data, ())[0]
    holdout = find_holdout(train, data)
    wanted, found, number = {*numbers}, list[str](), -1
    for source in train.sources:
        inside: list[int] = []
        for place, row in enumerate(source.read()):
            if holdout.split_of(row[0]) == "train":
                number += 1
                if number in wanted:
                    inside.append(place)
        if inside:
            found += source.locate(inside)
    return found


def open_split(split: Split | float, data: Data, name: str) -> list[PairSource]:
    """Open the sources of one split; sources of the same name get numbers.

    With several directions the name of a source ends in its direction.

    Raises:
        ConfigError: a source has none of the recipe's directions, or an unknown format.
        DataError: a file is missing.
    """
    if isinstance(split, float):
        raise ConfigError(f"data.{name}: a share of the training pairs cannot be read alone")
    is_list = isinstance(split, tuple)
    on_bad_utf8 = data.on_bad_utf8 if name == "train" else "error"
    opened: dict[str, PairSource] = {}
    for number, source in enumerate(sources_of(split)):
        key = f"{name}.{number}" if is_list else name
        for directed in direct_source(source, data, key):
            pairs = _open_source(directed, Path(data.folder), key, on_bad_utf8)
            tail = f"-{directed.direction}" if len(data.all_directions) > 1 else ""
            unique, count = f"{pairs.name}{tail}", 1
            while unique in opened:
                count += 1
                unique = f"{pairs.name}{tail}-{count}"
            opened[unique] = rename(pairs, unique)
    return list(opened.values())


def direct_source(source: Source, data: Data, key: str) -> list[DirectedSource]:
    """Give a source its direction, or copies of it one direction each.

    Args:
        source: as the recipe has it.
        data: the recipe's directions.
        key: the source's place in the section `data`.

    Raises:
        ConfigError: the source says no direction, or one that the recipe does not have.
    """
    known = {str(direction): direction for direction in data.all_directions}
    if source.direction is not None:
        if source.direction not in known:
            raise ConfigError(
                f"data.{key}.direction: {source.direction} is none of the recipe's directions "
                f"({', '.join(known)}); name one of them, or add it to data.directions"
            )
        return [_fill_in(source, known[source.direction])]
    if len(known) > 1:
        missing = [
            mark for mark in PLACEHOLDERS if not any(mark in name for name in _names(source))
        ]
        if missing:
            raise ConfigError(
                f"data.{key}: does not say which of the directions {', '.join(known)} it has; "
                f"add `direction: {next(iter(known))}`, or write {{src}} and {{tgt}} for the "
                f"languages in its names ({' and '.join(missing)} missing)"
            )
    return [_fill_in(source, direction) for direction in known.values()]


def check_all_trained(data: Data, trained_directions: Iterable[Direction]) -> None:
    """Refuse directions without training pairs.

    Raises:
        ConfigError: naming them.
    """
    trained = {*map(str, trained_directions)}
    missing = [name for name in map(str, data.all_directions) if name not in trained]
    if missing:
        raise ConfigError(
            f"data.train: has no pairs of {', '.join(missing)}; every direction of "
            "data.directions needs some: add a source, or remove the direction"
        )


def _names(source: Source) -> Iterator[str]:
    """The names of files and columns, which may contain placeholders."""
    if not isinstance(source, EmbeddedPhrasebook):
        if isinstance(source, TableFile):
            yield source.file
        yield from (str(name) for name in (source.src, *targets_of(source)))


def _fill_in(source: Source, direction: Direction) -> DirectedSource:
    """Put languages in place of placeholders."""

    def fill(name: str | int) -> str | int:
        if isinstance(name, int):
            return name
        return name.replace("{src}", direction.src).replace("{tgt}", direction.tgt)

    if isinstance(source, EmbeddedPhrasebook):
        return DirectedSource(source, direction)
    targets = tuple(fill(target) for target in targets_of(source))
    update: dict[str, object] = {
        "src": fill(source.src),
        "tgt": targets if isinstance(source.tgt, tuple) else targets[0],
    }
    if isinstance(source, TableFile):
        update["file"] = fill(source.file)
    return DirectedSource(source.model_copy(update=update), direction)


def _open_source(
    directed: DirectedSource, folder: Path, key: str, on_bad_utf8: OnBadUtf8
) -> PairSource:
    """Open one source; `key` is its place in the section `data`."""
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


def _open_phrasebook(directed: DirectedSource, key: str) -> PairSource:
    """A table of the phrasebook, whose columns are Chinese and English."""
    source, direction = directed
    if source.direction not in (None, "zh-en", "en-zh"):
        raise ConfigError(
            f"data.{key}.direction: the phrasebook is Chinese and English, not {source.direction}; "
            "name zh-en or en-zh"
        )
    part = source.phrasebook  # type: ignore[union-attr]
    path = PHRASEBOOK / f"{part}.tsv.gz"
    src, tgt = (2, 1) if source.direction == "en-zh" else (1, 2)
    table = TableFile(file=str(path), src=src, tgt=tgt, weight=source.weight)
    # A model's card names the text that it was trained on, but no folders of this machine.
    names = (f"phrasebook:{part}", f"phrasebook:{part}#{src},{tgt}")
    opened = open_table(table, path, key, direction)
    return replace(opened, name=f"phrasebook-{part}", origin_names=names)


def _check_there(path: Path, key: str, options: str) -> None:
    """Refuse a source that cannot be opened, and name the options that replace it.

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
