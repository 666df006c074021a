"""Sentence pairs of one source of a recipe: a stream of rows that can be read repeatedly."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from s2s_cli.data.lines import Errors, is_utf8, name_of
from s2s_cli.data.parallel_files import stream_parallel
from s2s_cli.data.tables import choose_format, name_part, stream_table
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction, OnBadUtf8, ParallelFiles, TableFile, targets_of

_ERRORS: dict[OnBadUtf8, Errors] = {"error": "strict", "skip": "surrogateescape"}

Row = tuple[str, ...]
"""A source sentence and its translations, the main one first."""


class ParallelText(NamedTuple):
    """The text of one source in memory, in one direction."""

    name: str
    direction: Direction
    rows: list[Row]
    """In order; rows with a blank side included."""
    origin: dict[str, str]
    """Where the text came from: name to SHA-256."""

    @property
    def pairs(self) -> list[Row]:
        """The rows with text on both sides."""
        return [row for row in self.rows if has_text(row)]

    @property
    def references(self) -> list[list[str]]:
        """The translations of all rows: the main references, then further ones."""
        return [list(side) for side in zip(*(row[1:] for row in self.rows), strict=True)]


@dataclass
class Reading:
    """What reading a source has found so far; complete after the last row."""

    num_pairs: int = 0
    num_blank: int = 0
    """Rows left out because the source or the main translation is blank."""
    num_not_utf8: int = 0
    """Rows left out because of bytes that are not UTF-8."""
    digests: tuple[str, ...] = ()
    """SHA-256 of what `PairSource.origin_names` names."""


@dataclass(frozen=True)
class PairSource:
    """A source of a recipe; nothing of it is in memory."""

    name: str
    key: str
    """Its place in the section `data`, such as `train.0`."""
    direction: Direction
    weight: float
    files: tuple[Path, ...]
    identity: tuple[str | int | None, ...]
    """Everything besides file names that decides which pairs these are."""
    origin_names: tuple[str, ...]
    """What its hashes are of."""
    stream: Callable[[list[str]], Iterator[Row]]
    """Yields all rows; appends the hashes to the list after the last one."""
    skips_bad_utf8: bool = False
    """Whether rows with bytes that are not UTF-8 are left out instead of refused."""

    def read(self, reading: Reading | None = None) -> Iterator[Row]:
        """Yield the rows with text on both sides; blank further references become the main one.

        Args:
            reading: receives counts and hashes.

        Raises:
            DataError: the text is malformed, or contains no pair.
        """
        found = Reading() if reading is None else reading
        digests: list[str] = []
        for row in self.stream(digests):
            if self.accepts(row):
                found.num_pairs += 1
                yield fill_references(row)
            elif has_text(row):
                found.num_not_utf8 += 1
            else:
                found.num_blank += 1
        found.digests = tuple(digests)
        if not found.num_pairs:
            raise DataError(
                f"data.{self.key}: no sentence pairs left in {self.name}; give it some text"
            )

    def accepts(self, row: Row) -> bool:
        """Whether a row of `stream` is a pair."""
        return has_text(row) and not (self.skips_bad_utf8 and not all(map(is_utf8, row)))

    def load(self) -> ParallelText:
        """Read all rows into memory, blank ones included.

        Raises:
            DataError: as `read`.
        """
        digests: list[str] = []
        rows = [fill_references(row) for row in self.stream(digests)]
        if not any(map(has_text, rows)):
            raise DataError(
                f"data.{self.key}: no sentence pairs left in {self.name}; give it some text"
            )
        origin = dict(zip(self.origin_names, digests, strict=True))
        return ParallelText(self.name, self.direction, rows, origin)

    def locate(self, numbers: Collection[int]) -> Iterator[str]:
        """Yield file, line and sentences of some pairs, given by their number (from 0)."""
        last, number = max(numbers, default=-1), -1
        for row_number, row in enumerate(self.stream([]), start=1):
            number += self.accepts(row)
            if self.accepts(row) and number in numbers:
                yield f"{self._name_row(row_number)}: {row[0]} -> {row[1]}"
            if number == last:
                return

    def _name_row(self, number: int) -> str:
        """In line-aligned files a row is a line."""
        if len(self.files) > 1:
            return f"{self.files[0]}:{number}"
        return f"{self.files[0] if self.files else self.name}, row {number}"


def has_text(row: Row) -> bool:
    """Whether source and main translation are more than white space."""
    return bool(row[0].strip() and row[1].strip())


def fill_references(row: Row) -> Row:
    """Replace blank further references of a pair by its main one."""
    if len(row) == 2 or not has_text(row):
        return row
    return (*row[:2], *(reference if reference.strip() else row[1] for reference in row[2:]))


def open_files(
    source: ParallelFiles,
    paths: tuple[Path, ...],
    key: str,
    direction: Direction,
    on_bad_utf8: OnBadUtf8 = "error",
) -> PairSource:
    """The pairs of line-aligned files."""
    return PairSource(
        name=name_of(paths[0]),
        key=key,
        direction=direction,
        weight=source.weight,
        files=paths,
        identity=("files", len(targets_of(source))),
        origin_names=tuple(map(str, paths)),
        stream=partial(stream_parallel, paths, errors=_ERRORS[on_bad_utf8]),
        skips_bad_utf8=on_bad_utf8 == "skip",
    )


def open_table(
    table: TableFile,
    path: Path,
    key: str,
    direction: Direction,
    on_bad_utf8: OnBadUtf8 = "error",
) -> PairSource:
    """The pairs of a table.

    Raises:
        ConfigError: format, header and columns are inconsistent.
    """
    return PairSource(
        name=name_of(path) + (f"-{table.rows.rstrip('-')}" if table.rows else ""),
        key=key,
        direction=direction,
        weight=table.weight,
        files=(path,),
        identity=("table", choose_format(table, path), table.header, name_part(table)),
        origin_names=(str(path), f"{path}{name_part(table)}"),
        stream=partial(stream_table, table, path, errors=_ERRORS[on_bad_utf8]),
        skips_bad_utf8=on_bad_utf8 == "skip",
    )


def rename(source: PairSource, name: str) -> PairSource:
    """The same source under another name."""
    return replace(source, name=name)
