"""Text that flows: lines are handed on as they come, never waiting for more than there is."""

import gzip
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from s2s_cli.data.lines import BOM
from s2s_cli.errors import DataError

CHUNK_BYTES = 1 << 16
"""Read at a time; as much as a pipe holds."""

LINE_BYTES = 128
"""Of a usual line. A block of longer ones has fewer, so that it takes no more memory."""


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


def read_blocks(
    source: Source, warn: Callable[[str], None], most_lines: int
) -> Iterator[list[str]]:
    r"""Blocks of lines, split at `\n` only; a BOM, and the CR of CRLF, are taken off.

    A block is as large as may be without waiting: where there is no more to read as yet, what has
    come is handed on.

    Args:
        source: the stream.
        warn: told once if bytes were not UTF-8; they become U+FFFD, and no line is lost.
        most_lines: in a block.

    Raises:
        DataError: a `.gz` file is damaged.
    """
    decode = _Decoder(warn)
    block: list[str] = []
    rest: list[bytes] = []  # of a line whose end has not come
    size, is_first = 0, True
    while chunk := _read(source):
        *whole, tail = chunk.split(b"\n")
        if whole:
            whole[0], rest = b"".join([*rest, whole[0]]), []
        rest.append(tail)
        if whole and is_first:
            whole[0], is_first = whole[0].removeprefix(BOM), False
        block += map(decode, whole)
        size += len(chunk)
        while len(block) >= most_lines:
            yield block[:most_lines]
            block, size = block[most_lines:], 0
        if block and (size >= most_lines * LINE_BYTES or not has_more(source)):
            yield block
            block, size = [], 0
    last = b"".join(rest)
    if last := last.removeprefix(BOM) if is_first else last:
        block.append(decode(last))
    if block:
        yield block


class _Decoder:
    """Bytes of a line to text; warns of the first that are not UTF-8."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._number = 0
        self._has_warned = False

    def __call__(self, raw: bytes) -> str:
        self._number += 1
        line = raw.removesuffix(b"\r").decode("utf-8", errors="replace")
        if "\ufffd" in line and not self._has_warned and not _is_utf8(raw):
            self._has_warned = True
            self._warn(
                f"input line {self._number} is not UTF-8; undecodable bytes are read as U+FFFD"
            )
        return line


def has_more(source: object) -> bool:
    """Whether a stream can be read without waiting: a file always, a pipe if something has come.

    At the end of a pipe it can: nothing is read then.
    """
    try:
        descriptor = source.fileno()  # type: ignore[attr-defined]
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return True
        return bool(select.select([descriptor], [], [], 0)[0])
    except (AttributeError, OSError, ValueError):
        return False  # Not a stream of the system, or one that it cannot ask.


def _read(source: Source) -> bytes:
    try:
        return source.read1(CHUNK_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{getattr(source, 'name', 'input')}: not a whole gzip file") from error


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
