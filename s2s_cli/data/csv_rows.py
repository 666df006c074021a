"""Rows of CSV files; errors name the line where a malformed row begins.

A misplaced quotation mark can turn many rows into one cell. If the cell never ends, or its row has
the wrong number of columns, that is an error at the line where the row begins. If the number of
columns is right, the cell may be intended, so there is only a warning.
"""

import csv
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from s2s_cli.console import warn_once
from s2s_cli.errors import DataError

CSV_REMEDY = (
    "quote fields that contain a comma or a quotation mark, and double quotation marks inside"
)

_MAX_CHARACTERS = (1 << 31) - 1
"""Maximum size of a cell. Python's default, 131,072, is too small for documents."""


class CsvRow(NamedTuple):
    """A row of the file; an empty line is a row without cells."""

    line: int
    """Line where the row begins, from 1."""
    cells: list[str]


def split_csv(lines: Iterable[str], path: Path) -> Iterator[CsvRow]:
    """Split lines into rows with Python's CSV reader, which refuses misplaced quotation marks.

    Raises:
        DataError: a row is malformed; the message names the line where it begins.
    """
    csv.field_size_limit(_MAX_CHARACTERS)
    source = iter(lines)
    first = list(islice(source, 1))
    reader = csv.reader((f"{line}\n" for line in chain(first, source)), strict=True)
    start, width, has_warned = 1, 0, False
    try:
        for cells in reader:
            width = width or len(cells)
            if num_lines := _count_rows_inside(cells, width):
                if len(cells) != width:
                    reason = f"a quotation mark opens a cell that ends {num_lines} rows later"
                    raise csv.Error(reason)
                if not has_warned:
                    warn_once(
                        f"{path}:{start}: a quoted cell contains {num_lines} lines that look "
                        "like rows; if a quotation mark is misplaced there, double it (further "
                        "cells of this kind are not reported)"
                    )
                has_warned = True
            yield CsvRow(start, cells)
            start = reader.line_num + 1
    except csv.Error as error:
        if start == 1:
            check_separator(first[0], path)
        reason = str(error)
        if reason == "unexpected end of data":
            reason = "a quotation mark opens a cell that never ends"
        elif reader.line_num > start and "expected after" in reason:
            reason = f"a quotation mark opens a cell that ends in line {reader.line_num}"
        raise DataError(f"{path}:{start}: not a CSV row ({reason}); {CSV_REMEDY}") from error


def mention_header(rows: Iterator[CsvRow], path: Path) -> Iterator[CsvRow]:
    """Yield the same rows; warn that the first one is taken for a header and left out."""
    for number, row in enumerate(rows):
        if not number:
            names = ", ".join(cell if len(cell) <= 40 else f"{cell[:40]}…" for cell in row.cells)
            warn_once(
                f"{path}: the first row ({names}) is taken for a header and left out; "
                "if it is a pair, add `header: false` next to `file`"
            )
        yield row


def check_separator(first: str, path: Path) -> None:
    """Refuse a CSV whose columns are not separated by commas.

    Raises:
        DataError: the first line has no comma, but TABs or semicolons.
    """
    if "," in first:
        return
    if "\t" in first:
        raise DataError(
            f"{path}:1: columns are separated by TABs, not by commas; "
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


def _count_rows_inside(cells: list[str], width: int) -> int:
    """Count lines inside a cell that look like rows: with as many fields as the first row."""
    inner = [cell.split("\n")[1:-1] for cell in cells]
    counts = [sum(len(line.split(",")) == width for line in lines) for lines in inner]
    return max(counts, default=0)
