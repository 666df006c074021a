"""Tables of sentence pairs, one pair per row: TSV, CSV and JSON lines.

The reading path is a chain of generators:

    stream_lines                    lines of the file (`lines.py`)
    _drop_last_blanks               the same lines, without empty ones at the end of the file
    split_csv, _split_tsv           rows with all cells, and the line where each begins
    _pick_columns                   the selected cells of each row, after the header
    or _read_json                   the selected fields of each line
    _take_rows                      the selected rows
    stream_table                    the same rows; hashes them
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from s2s_cli.data.csv_rows import CSV_REMEDY, CsvRow, check_separator, mention_header, split_csv
from s2s_cli.data.fingerprints import PairDigest
from s2s_cli.data.lines import DecodingErrors, is_utf8, stream_lines
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import TableFile, targets_of

_FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_REMEDIES = {
    "tsv": "a sentence must not contain a TAB",
    "csv": CSV_REMEDY,
}


def stream_table(
    table: TableFile, path: Path, digests: list[str], errors: DecodingErrors = "strict"
) -> Iterator[tuple[str, ...]]:
    """Yield the selected cells of the selected rows of a table.

    A line break inside a cell becomes a space. Empty lines count as rows without a pair, except at
    the end of the file.

    Args:
        table: format, columns and rows.
        path: the file.
        digests: receives two SHA-256 after the last row: of the file, as `sha256sum` prints it, and
            of the selected rows and columns.
        errors: how to decode bytes that are not UTF-8.

    Raises:
        ConfigError: format, header and columns contradict each other.
        DataError: the file is missing, or a row is malformed; the message names the line.
    """
    form = choose_format(table, path)
    columns = (table.src, *targets_of(table))
    file_digest, row_digest = hashlib.sha256(), PairDigest()
    lines = _drop_last_blanks(stream_lines(path, file_digest, errors))
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
        row_digest.update(row)
        yield row
    digests += [file_digest.hexdigest(), row_digest.hexdigest()]


def name_selection(table: TableFile) -> str:
    """Name the selected columns and rows of a table, as in `#1,2:1-8000`."""
    columns = ",".join(map(str, (table.src, *targets_of(table))))
    return f"#{columns}{f':{table.rows}' if table.rows else ''}"


def _drop_last_blanks(lines: Iterable[str]) -> Iterator[str]:
    """Yield all lines, except empty ones at the end."""
    num_empty = 0
    for line in lines:
        if line:
            yield from ("" for _ in range(num_empty))
            yield line
            num_empty = 0
        else:
            num_empty += 1


def choose_format(table: TableFile, path: Path) -> str:
    """Return the format of a table; by its file name if the recipe has `format: auto`.

    Raises:
        ConfigError: the file name does not show the format, or the format has no such columns.
    """
    form: str = table.format
    if form == "auto":
        suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
        if suffix not in _FORMATS:
            raise ConfigError(
                f"{path}: the file name does not show the format; add `format: tsv` (a TAB between "
                "columns), `format: csv` or `format: jsonl` next to `file`"
            )
        form = _FORMATS[suffix]
    columns = (table.src, *targets_of(table))
    numbers = [column for column in columns if isinstance(column, int)]
    names = [column for column in columns if isinstance(column, str)]
    if form == "jsonl" and (numbers or table.header is not None):
        if numbers:
            raise ConfigError(
                f"{path}: JSON lines have no column {numbers[0]}; give the name of a field"
            )
        raise ConfigError(f"{path}: JSON lines have no header; remove `header`")
    if table.header is False and names:
        raise ConfigError(
            f"{path}: column {names[0]!r} is named, but `header` is false; number columns from 1"
        )
    return form


def _take_rows(
    rows: Iterable[tuple[str, ...]], wanted: str | None, path: Path
) -> Iterator[tuple[str, ...]]:
    """Yield the selected rows, such as `1-8000` or `8001-`, but read and check all rows."""
    first, _, last = (wanted or "1-").partition("-")
    begin, end, number = int(first), int(last) if last else None, 0
    for number, row in enumerate(rows, start=1):
        if number >= begin and (end is None or number <= end):
            yield row
    if wanted is not None and (end or begin) > number:
        raise DataError(
            f"{path}: has only {number} rows, but the recipe selects {wanted}; correct `rows`, "
            "which counts from 1"
        )


def _split_tsv(lines: Iterable[str]) -> Iterator[CsvRow]:
    for number, line in enumerate(lines, start=1):
        yield CsvRow(number, line.split("\t") if line else [])


def _pick_columns(
    rows: Iterator[CsvRow], columns: Sequence[str | int], has_header: bool, path: Path, remedy: str
) -> Iterator[tuple[str, ...]]:
    """Yield the selected cells of each row.

    All rows have as many cells as the first one, except empty rows.
    """
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
    """Return the index of a column, from 0."""
    if isinstance(column, int):
        if column > width:
            raise DataError(
                f"{path}:1: has {_count(width)}, but no column {column}; correct `src` or `tgt`"
            )
        return column - 1
    names = header or []
    if names.count(column) != 1:
        known = ", ".join(map(repr, names))
        what = "occurs twice in" if column in names else "is not in"
        raise DataError(
            f"{path}:1: {column!r} {what} the header, which is {known}; give another name or "
            "the number of the column"
        )
    return names.index(column)


def _read_json(
    lines: Iterable[str], columns: Sequence[str | int], path: Path
) -> Iterator[tuple[str, ...]]:
    """Yield the selected fields of every line, which is a JSON object.

    A line that is not UTF-8 is not parsed; it becomes the value of all fields, so that the row is
    recognised as bad later.
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
            f"{where}: not JSON ({error.msg} at character {error.pos + 1}); write one JSON object "
            "per line"
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: JSON that cannot be parsed ({error}); simplify it") from error
    if not isinstance(entry, dict):
        raise DataError(f"{where}: not a JSON object; write a line as {{...}}")
    return entry


def _find_field(entry: dict[str, object], field: str, where: str) -> str:
    """Return the value of a field; `translation.en` is the field `en` of `translation`."""
    value: object = entry
    for key in [field] if field in entry else field.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(map(repr, entry))
            raise DataError(f"{where}: has no field {field!r}; name one of its fields: {known}")
        value = value[key]
    if value is None:
        raise DataError(
            f"{where}: field {field!r} is null, not a string; remove the line, or write "
            '"" for a blank side'
        )
    if not isinstance(value, str):
        raise DataError(
            f"{where}: field {field!r} is {json.dumps(value)[:40]}, not a string; "
            "put it in quotation marks"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(
            f"{where}: field {field!r} has a lone surrogate, which is half a character; correct it"
        )
    return _on_one_line(value)


def _on_one_line(cell: str) -> str:
    return cell.replace("\r\n", " ").replace("\n", " ")


def _count(num_columns: int) -> str:
    return f"{num_columns} column{'s' if num_columns != 1 else ''}"
