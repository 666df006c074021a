"""Sentence pairs of one source of a recipe: a stream of rows that can be read repeatedly.

The reading path is a chain of generators; each takes one item at a time from the one below it:

    PairSource.read       pairs: rows with text on both sides; the others are counted
    stream_parallel       rows of line-aligned files (`parallel_files.py`)
    or stream_table       rows of a table (`tables.py`, `csv_rows.py`)
    stream_lines          lines of a file as text (`lines.py`)
    open_text             bytes, unpacked if the file is a `.gz` (`opening.py`)

Hashes of the text are complete when the last row has been read.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from s2s_cli.data.lines import DecodingErrors, is_utf8, name_corpus
from s2s_cli.data.parallel_files import stream_parallel
from s2s_cli.data.tables import choose_format, name_selection, stream_table
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction, OnBadUtf8, ParallelFiles, TableFile, targets_of

_ERRORS: dict[OnBadUtf8, DecodingErrors] = {"error": "strict", "skip": "surrogateescape"}

Row = tuple[str, ...]
"""A source sentence and its translations; the main translation comes first."""


class ParallelText(NamedTuple):
    """The text of one source in memory, in one direction."""

    name: str
    direction: Direction
    rows: list[Row]
    """In order, including rows with a blank side."""
    origin: dict[str, str]
    """Where the text came from: SHA-256 by name."""

    @property
    def pairs(self) -> list[Row]:
        """Rows with text on both sides."""
        return [row for row in self.rows if has_text(row)]

    @property
    def references(self) -> list[list[str]]:
        """Translations of all rows: the list of main references, then lists of further ones."""
        return [list(side) for side in zip(*(row[1:] for row in self.rows), strict=True)]


@dataclass
class Reading:
    """Counts and hashes of a source; complete after its last row has been read."""

    num_pairs: int = 0
    num_blank: int = 0
    """Rows left out because the source or the main translation is blank."""
    num_not_utf8: int = 0
    """Rows left out because of bytes that are not UTF-8."""
    digests: tuple[str, ...] = ()
    """One SHA-256 for each name in `PairSource.origin_names`."""


@dataclass(frozen=True)
class PairSource:
    """A source of a recipe, read from its files whenever it is iterated over."""

    name: str
    key: str
    """Its key in the section `data`, such as `train.0`."""
    direction: Direction
    weight: float
    files: tuple[Path, ...]
    identity: tuple[str | int | None, ...]
    """Everything that decides which pairs these are, except file names."""
    origin_names: tuple[str, ...]
    """What each of its hashes is of: a file, or a selection of rows and columns."""
    stream: Callable[[list[str]], Iterator[Row]]
    """Yields all rows; after the last one, appends the hashes to the list that it receives."""
    skips_bad_utf8: bool = False
    """Whether rows with bytes that are not UTF-8 are left out instead of causing an error."""

    def read(self, reading: Reading | None = None) -> Iterator[Row]:
        """Yield the rows with text on both sides; the main reference replaces blank further ones.

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
                f"data.{self.key}: {self.name} has no sentence pairs; name files with text"
            )

    def accepts(self, row: Row) -> bool:
        """Return whether a row of `stream` is a pair."""
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
                f"data.{self.key}: {self.name} has no sentence pairs; name files with text"
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
        """Name a row: by file and line in line-aligned files, otherwise by its number."""
        if len(self.files) > 1:
            return f"{self.files[0]}:{number}"
        return f"{self.files[0] if self.files else self.name}, row {number}"


def has_text(row: Row) -> bool:
    """Return whether source and main translation are more than white space."""
    return bool(row[0].strip() and row[1].strip())


def fill_references(row: Row) -> Row:
    """Replace blank further references of a pair by the main reference."""
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
    """Open line-aligned files."""
    return PairSource(
        name=name_corpus(paths[0]),
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
    """Open a table.

    Raises:
        ConfigError: format, header and columns are inconsistent.
    """
    return PairSource(
        name=name_corpus(path) + (f"-{table.rows.rstrip('-')}" if table.rows else ""),
        key=key,
        direction=direction,
        weight=table.weight,
        files=(path,),
        identity=("table", choose_format(table, path), table.header, name_selection(table)),
        origin_names=(str(path), f"{path}{name_selection(table)}"),
        stream=partial(stream_table, table, path, errors=_ERRORS[on_bad_utf8]),
        skips_bad_utf8=on_bad_utf8 == "skip",
    )
