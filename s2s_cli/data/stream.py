"""Text that flows: lines are handed on as they come, never waiting for more than there is."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from s2s_cli.data.lines import BOM
from s2s_cli.errors import DataError

BLOCK_BYTES = 1 << 16


class Source(Protocol):
    """A binary stream that can be read as far as it has come."""

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes, without waiting for more than one read; empty at the end."""
        ...


def open_source(path: Path | None) -> Source:
    """Open a file (`.gz` is unpacked), or stdin for None.

    Raises:
        DataError: the file is missing or unreadable.
    """
    if path is None:
        if sys.stdin is None:
            raise DataError("stdin is closed; name a file to translate")
        return sys.stdin.buffer  # type: ignore[return-value]
    try:
        return gzip.open(path) if path.suffix == ".gz" else path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def read_blocks(source: Source, warn: Callable[[str], None]) -> Iterator[list[str]]:
    r"""Blocks of lines, split at `\n` only; a BOM, and the CR of CRLF, are taken off.

    Args:
        source: the stream.
        warn: told once if bytes were not UTF-8; they become U+FFFD, and no line is lost.

    Raises:
        DataError: a `.gz` file is damaged.
    """
    rest, number, is_first, has_warned = b"", 0, True, False
    while True:
        chunk = _read(source)
        *whole, rest = (rest + chunk).split(b"\n")
        if not chunk and rest:
            whole, rest = [*whole, rest], b""
        if whole and is_first:
            whole[0], is_first = whole[0].removeprefix(BOM), False
        lines = []
        for raw in whole:
            number += 1
            line = raw.removesuffix(b"\r").decode("utf-8", errors="replace")
            if "\ufffd" in line and not has_warned and not _is_utf8(raw):
                has_warned = True
                warn(f"input line {number} is not UTF-8; undecodable bytes are read as U+FFFD")
            lines.append(line)
        if lines:
            yield lines
        if not chunk:
            return


def _read(source: Source) -> bytes:
    try:
        return source.read1(BLOCK_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{getattr(source, 'name', 'input')}: not a whole gzip file") from error


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
