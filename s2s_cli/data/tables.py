"""Tables of sentence pairs, one pair a row: TSV, CSV and JSON lines, read and checked."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from s2s_cli.data.corpus import Corpus, decode_lines, hash_pairs, make_corpus, name_of, read_bytes
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import TableFile, targets_of

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_REMEDIES = {
    "tsv": "no TAB may stand inside a sentence",
    "csv": "quote fields that hold a comma or a quotation mark",
}


class _Row(NamedTuple):
    """A row as it stands in the file; an empty line is a row without cells."""

    line: int
    """Where it begins, from 1."""
    cells: list[str]


def read_table(table: TableFile, path: Path) -> Corpus:
    """Read the pairs of a table; those with a blank side are dropped whole, and counted.

    A sentence is one line: a line break inside a field becomes a space. Empty lines count as rows
    without a pair, but not at the end of the file.

    Args:
        table: which columns and rows, and in what format.
        path: the file itself.

    Raises:
        ConfigError: format, header and columns do not go together.
        DataError: the file is missing, or a row of it is malformed; the message names the line.
    """
    form = _choose_format(table, path)
    columns = (table.src, *targets_of(table))
    content = read_bytes(path)
    lines = decode_lines(content, path)
    while lines and not lines[-1]:
        lines.pop()
    if form == "jsonl":
        rows = _read_json(lines, columns, path)
    else:
        cells = _split_csv(lines, path) if form == "csv" else _split_tsv(lines)
        has_header = table.header
        if has_header is None:
            has_header = form == "csv" or any(isinstance(column, str) for column in columns)
        rows = _pick_columns(list(cells), columns, has_header, path, _REMEDIES[form])
    pairs = _take_rows(rows, table.rows, path)
    part = f"{path}#{','.join(map(str, columns))}{f':{table.rows}' if table.rows else ''}"
    # The file's own hash can be checked with sha256sum; the pairs' says which part of it they are.
    origin = {str(path): hashlib.sha256(content).hexdigest(), part: hash_pairs(pairs)}
    name = name_of(path) + (f"-{table.rows.rstrip('-')}" if table.rows else "")
    return make_corpus(name, pairs, origin)


def _choose_format(table: TableFile, path: Path) -> str:
    """The format of a file, by its name if the recipe does not say.

    Raises:
        ConfigError: the name tells no format, or the format has no such columns.
    """
    form: str = table.format
    if form == "auto":
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix not in _FORMATS:
            raise ConfigError(
                f"{path}: the name does not tell its format; say `format: tsv` (a TAB between "
                "columns), `format: csv` or `format: jsonl` beside `file`"
            )
        form = _FORMATS[suffix]
    columns = (table.src, *targets_of(table))
    numbers = [column for column in columns if isinstance(column, int)]
    names = [column for column in columns if isinstance(column, str)]
    if form == "jsonl" and (numbers or table.header is not None):
        wrong = f"column {numbers[0]}" if numbers else "header"
        raise ConfigError(f"{path}: {wrong} of JSON lines; name their fields, they have no header")
    if table.header is False and names:
        raise ConfigError(
            f"{path}: column {names[0]!r} is named, but `header` is false; number columns from 1"
        )
    return form


def _take_rows(
    rows: list[tuple[str, ...]], wanted: str | None, path: Path
) -> list[tuple[str, ...]]:
    """The rows that the recipe asks for, such as `1-8000` or `8001-`."""
    if wanted is None:
        return rows
    first, _, last = wanted.partition("-")
    if int(last or first) > len(rows):
        raise DataError(f"{path}: has {len(rows)} rows, not rows {wanted}; `rows` counts from 1")
    return rows[int(first) - 1 : int(last) if last else None]


def _split_tsv(lines: list[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=1):
        yield _Row(number, line.split("\t") if line else [])


def _split_csv(lines: list[str], path: Path) -> Iterator[_Row]:
    """Rows of a CSV by Python's reader, strictly: a quotation mark out of place is an error."""
    reader = csv.reader((f"{line}\n" for line in lines), strict=True)
    begun = 1
    try:
        for cells in reader:
            yield _Row(begun, cells)
            begun = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{begun}: the row that begins here is not CSV ({error}); {_REMEDIES['csv']}"
        ) from error


def _pick_columns(
    rows: list[_Row], columns: Sequence[str | int], has_header: bool, path: Path, remedy: str
) -> list[tuple[str, ...]]:
    """The wanted cells of every row, once all rows are as wide as the first."""
    if not rows:
        return []
    width = len(rows[0].cells)
    header = rows[0].cells if has_header else None
    places = [_find_column(column, width, header, path) for column in columns]
    picked = []
    for line, cells in rows[1:] if has_header else rows:
        if cells and len(cells) != width:
            raise DataError(
                f"{path}:{line}: has {_count(len(cells))}, but line 1 has {width}; {remedy}"
            )
        picked.append(tuple(_on_one_line(cells[at]) if cells else "" for at in places))
    return picked


def _find_column(column: str | int, width: int, header: list[str] | None, path: Path) -> int:
    """The place of a column, from 0."""
    if isinstance(column, int):
        if column > width:
            raise DataError(f"{path}:1: has {_count(width)}, there is no column {column}")
        return column - 1
    names = header or []
    if names.count(column) != 1:
        known = ", ".join(map(repr, names))
        what = "is named twice" if column in names else "is no column"
        raise DataError(f"{path}:1: {column!r} {what}; the header is {known}; or number the column")
    return names.index(column)


def _read_json(lines: list[str], columns: Sequence[str | int], path: Path) -> list[tuple[str, ...]]:
    """The wanted fields of every line, each of which is a JSON object."""
    fields = [str(column) for column in columns]
    rows = []
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if line.strip():
            entry = _parse_json(line, where)
            rows.append(tuple(_find_field(entry, field, where) for field in fields))
        else:
            rows.append(("",) * len(fields))
    return rows


def _parse_json(line: str, where: str) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}: not JSON ({error.msg} at character {error.pos + 1}); JSON lines have "
            "one object a line"
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: JSON that cannot be read ({error}); simplify it") from error
    if not isinstance(entry, dict):
        raise DataError(f"{where}: not a JSON object; write a line as {{...}}")
    return entry


def _find_field(entry: dict[str, object], field: str, where: str) -> str:
    """A sentence by its field's name; `translation.en` is the field `en` of `translation`."""
    value: object = entry
    for key in [field] if field in entry else field.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(map(repr, entry))
            raise DataError(f"{where}: has no field {field!r}; its fields are {known}")
        value = value[key]
    if not isinstance(value, str):
        raise DataError(
            f"{where}: field {field!r} holds {json.dumps(value)[:40]}, which is not a string; "
            "write it in quotation marks"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where}: field {field!r} holds half a character (a lone surrogate)")
    return _on_one_line(value)


def _on_one_line(cell: str) -> str:
    return cell.replace("\r\n", " ").replace("\n", " ")


def _count(num_columns: int) -> str:
    return f"{num_columns} column{'s' if num_columns != 1 else ''}"
