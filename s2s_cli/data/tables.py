"""Tables of sentence pairs, one pair a row: TSV, CSV and JSON lines, read and checked."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from s2s_cli.data.csv_rows import CSV_REMEDY, CsvRow, check_separator, mention_header, split_csv
from s2s_cli.data.fingerprints import PairDigest
from s2s_cli.data.lines import Errors, is_utf8, stream_lines
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import TableFile, targets_of

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_REMEDIES = {
    "tsv": "no TAB may stand inside a sentence",
    "csv": CSV_REMEDY,
}


def stream_table(
    table: TableFile, path: Path, digests: list[str], errors: Errors = "strict"
) -> Iterator[tuple[str, ...]]:
    """The wanted cells of a table's wanted rows, row by row.

    A sentence is one line: a line break inside a field becomes a space. Empty lines count as rows
    without a pair, but not at the end of the file.

    Args:
        table: which columns and rows, and in what format.
        path: the file itself.
        digests: gets two SHA-256 when the last row was given: the file's, which can be checked
            with sha256sum, and that of the wanted rows, which says which part of it they are.
        errors: what becomes of bytes that are not UTF-8.

    Raises:
        ConfigError: format, header and columns do not go together.
        DataError: the file is missing, or a row of it is malformed; the message names the line.
    """
    form = choose_format(table, path)
    columns = (table.src, *targets_of(table))
    whole, part = hashlib.sha256(), PairDigest()
    lines = _without_end(stream_lines(path, whole, errors))
    if form == "jsonl":
        rows = _read_json(lines, columns, path)
    else:
        cells = split_csv(lines, path) if form == "csv" else _split_tsv(lines)
        has_header = table.header
        if has_header is None:
            has_header = form == "csv" or any(isinstance(column, str) for column in columns)
            if form == "csv" and not any(isinstance(column, str) for column in columns):
                cells = mention_header(cells, path)
        rows = _pick_columns(cells, columns, has_header, path, _REMEDIES[form])
    for row in _take_rows(rows, table.rows, path):
        part.update(row)
        yield row
    digests += [whole.hexdigest(), part.hexdigest()]


def name_part(table: TableFile) -> str:
    """Which part of its file a table is, as in `#1,2:1-8000`."""
    columns = ",".join(map(str, (table.src, *targets_of(table))))
    return f"#{columns}{f':{table.rows}' if table.rows else ''}"


def _without_end(lines: Iterable[str]) -> Iterator[str]:
    """All lines but the empty ones behind the last that is not."""
    num_empty = 0
    for line in lines:
        if line:
            yield from ("" for _ in range(num_empty))
            yield line
            num_empty = 0
        else:
            num_empty += 1


def choose_format(table: TableFile, path: Path) -> str:
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
                "columns), `format: csv` or `format: jsonl` next to `file`"
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
    rows: Iterable[tuple[str, ...]], wanted: str | None, path: Path
) -> Iterator[tuple[str, ...]]:
    """The rows that the recipe asks for, such as `1-8000` or `8001-`; all are read and checked."""
    first, _, last = (wanted or "1-").partition("-")
    begin, end, number = int(first), int(last) if last else None, 0
    for number, row in enumerate(rows, start=1):
        if number >= begin and (end is None or number <= end):
            yield row
    if wanted is not None and (end or begin) > number:
        raise DataError(f"{path}: has {number} rows, not rows {wanted}; `rows` counts from 1")


def _split_tsv(lines: Iterable[str]) -> Iterator[CsvRow]:
    for number, line in enumerate(lines, start=1):
        yield CsvRow(number, line.split("\t") if line else [])


def _pick_columns(
    rows: Iterator[CsvRow], columns: Sequence[str | int], has_header: bool, path: Path, remedy: str
) -> Iterator[tuple[str, ...]]:
    """The wanted cells of each row; rows have as many as the first, empty ones none at all."""
    first = next(rows, None)
    if first is None:
        return
    width = len(first.cells)
    if width == 1 and remedy == CSV_REMEDY:
        check_separator(first.cells[0], path)
    header = first.cells if has_header else None
    places = [_find_column(column, width, header, path) for column in columns]
    for line, cells in rows if has_header else chain([first], rows):
        if cells and len(cells) != width:
            raise DataError(
                f"{path}:{line}: has {_count(len(cells))}, but line 1 has {width}; {remedy}"
            )
        yield tuple(_on_one_line(cells[at]) if cells else "" for at in places)


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


def _read_json(
    lines: Iterable[str], columns: Sequence[str | int], path: Path
) -> Iterator[tuple[str, ...]]:
    """The wanted fields of every line, each of which is a JSON object.

    A line that is not UTF-8, where such lines are passed on, stands for its fields.
    """
    fields = [str(column) for column in columns]
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if not line.strip():
            yield ("",) * len(fields)
        elif not is_utf8(line):
            yield (line,) * len(fields)
        else:
            entry = _parse_json(line, where)
            yield tuple(_find_field(entry, field, where) for field in fields)


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
    if value is None:
        raise DataError(
            f"{where}: field {field!r} holds null, which is no text; leave the line out, or write "
            '"" for a blank side'
        )
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
