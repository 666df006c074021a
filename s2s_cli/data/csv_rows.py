"""Rows of CSV files, with what is wrong with them found where it begins."""

import csv
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from s2s_cli.console import warn_once
from s2s_cli.errors import DataError

CSV_REMEDY = "quote fields that hold a comma or a quotation mark, and double the marks inside them"

_MOST_CHARACTERS = (1 << 31) - 1
"""Of a cell; Python's own limit is 131,072, which a document may exceed."""


class CsvRow(NamedTuple):
    """A row as it stands in the file; an empty line is a row without cells."""

    line: int
    """Where it begins, from 1."""
    cells: list[str]


def split_csv(lines: Iterable[str], path: Path) -> Iterator[CsvRow]:
    """Rows of a CSV by Python's reader, strictly: a quotation mark out of place is an error.

    Raises:
        DataError: a row is malformed; the message names the line where it begins.
    """
    csv.field_size_limit(_MOST_CHARACTERS)
    source = iter(lines)
    first = list(islice(source, 1))
    reader = csv.reader((f"{line}\n" for line in chain(first, source)), strict=True)
    begun, width, has_warned = 1, 0, False
    try:
        for cells in reader:
            width = width or len(cells)
            if num_lines := _count_swallowed(cells, width):
                if len(cells) != width:
                    reason = f"a quotation mark opens a cell, and closes {num_lines} rows later"
                    raise csv.Error(reason)
                if not has_warned:
                    warn_once(
                        f"{path}:{begun}: a cell in quotation marks, the first such one, holds "
                        f"{num_lines} lines that look like rows; if a mark is out of place there, "
                        "double it"
                    )
                has_warned = True
            yield CsvRow(begun, cells)
            begun = reader.line_num + 1
    except csv.Error as error:
        if begun == 1:
            check_separator(first[0], path)
        reason = str(error)
        if reason == "unexpected end of data":
            reason = "a quotation mark opens a cell, and never closes"
        elif reader.line_num > begun and "expected after" in reason:
            reason = f"a quotation mark opens a cell, and closes in line {reader.line_num}"
        raise DataError(
            f"{path}:{begun}: the row that begins here is not CSV ({reason}); {CSV_REMEDY}"
        ) from error


def mention_header(rows: Iterator[CsvRow], path: Path) -> Iterator[CsvRow]:
    """The same rows; says that the first is taken for the names of the columns, which none uses."""
    for number, row in enumerate(rows):
        if not number:
            names = ", ".join(cell if len(cell) <= 40 else f"{cell[:40]}…" for cell in row.cells)
            warn_once(
                f"{path}: the first row ({names}) is taken for names of columns and left out; "
                "if it is a pair, add `header: false` next to `file`"
            )
        yield row


def check_separator(first: str, path: Path) -> None:
    """Refuse a CSV whose columns are not separated by commas.

    Raises:
        DataError: they are not, by its first line.
    """
    if "," in first:
        return
    if "\t" in first:
        raise DataError(
            f"{path}:1: columns are separated by TAB, not by commas; "
            "add `format: tsv` next to `file`"
        )
    if ";" in first:
        code = "import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, %s))"
        command = shlex.quote(code % "delimiter=';'")
        target = path.with_name(f"{path.stem}.comma.csv")
        raise DataError(
            f"{path}:1: columns are separated by semicolons, not by commas; convert it: "
            f"python3 -c {command} < {shlex.quote(str(path))} > {shlex.quote(str(target))}"
        )


def _count_swallowed(cells: list[str], width: int) -> int:
    """How many lines inside a cell look like rows: they have as many fields as the first row."""
    inner = [cell.split("\n")[1:-1] for cell in cells]
    counts = [sum(len(line.split(",")) == width for line in lines) for lines in inner]
    return max(counts, default=0)
