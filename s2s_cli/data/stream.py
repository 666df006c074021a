"""Lines to translate, passed on as they arrive.

A pipe may bring lines slowly. `read_blocks` passes on what has arrived, and never waits to fill a
block. From a file it makes full blocks.
"""

import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from s2s_cli.data.file_kinds import (
    HEAD_BYTES,
    MIN_LINES_PER_BAD_LINE,
    STDIN,
    BadLines,
    is_other_encoding,
    name_input,
    refuse_head,
)
from s2s_cli.data.lines import check_text, is_decodable, not_utf8_text, strip_marks
from s2s_cli.data.opening import UNPACKING_ERRORS, describe_damage, is_pipe, open_stream
from s2s_cli.errors import DataError

CHUNK_BYTES = 1 << 16
"""Number of bytes read at a time: the capacity of a pipe."""

LINE_BYTES = 128
"""Assumed size of a line. A block of longer lines has fewer of them, which bounds its memory."""


class InputStream(Protocol):
    """A binary stream from which the bytes that have arrived can be read."""

    def read1(self, size: int, /) -> bytes:
        """Return up to `size` bytes by at most one read; empty at the end."""
        ...


def open_input(path: Path) -> InputStream:
    """Open a file (`.gz` is unpacked), or stdin for `-`.

    A regular file is read once before, so that a file that is not UTF-8 text is refused before any
    of its lines is translated.

    Raises:
        DataError: the file is missing, unreadable or not text.
    """
    if path == STDIN:
        return open_stream(STDIN)  # type: ignore[return-value]
    if not is_pipe(path):
        check_text(path)
    return open_stream(path)  # type: ignore[return-value]


def read_blocks(
    source: InputStream, warn: Callable[[str], None], max_lines: int, path: Path = STDIN
) -> Iterator[list[str]]:
    r"""Yield blocks of lines, split at `\n` only, without byte order marks and the CR of CRLF.

    A block is as large as possible without waiting for more input.

    Args:
        source: the stream.
        warn: called once if there are bytes that are not UTF-8; they are read as U+FFFD.
        max_lines: maximum number of lines in a block.
        path: names the stream in messages.

    Raises:
        DataError: a `.gz` file is damaged, or the first block shows that this is not UTF-8 text.
    """
    decode = _Decoder(warn, path)
    block: list[bytes] = []
    rest: list[bytes] = []  # of a line whose end has not arrived
    size = num_bytes = 0
    while chunk := _read(source, path):
        if not num_bytes:
            refuse_head(chunk, path, is_complete=False)
        *complete, tail = chunk.split(b"\n")
        if complete:
            complete[0], rest = b"".join([*rest, complete[0]]), []
        rest.append(tail)
        block += complete
        size += len(chunk)
        num_bytes += len(chunk)
        while len(block) >= max_lines:
            yield decode(block[:max_lines])
            block, size = block[max_lines:], 0
        if block and (size >= max_lines * LINE_BYTES or not has_more(source)):
            yield decode(block)
            block, size = [], 0
    last = b"".join(rest)
    if len(last) == num_bytes:  # The stream has no line feed.
        refuse_head(last[:HEAD_BYTES], path)
        last = strip_marks(last)
    if block or last:
        yield decode([*block, last] if last else block, is_end=True)


class _Decoder:
    """Decodes lines; refuses text in another encoding, and warns once of damaged lines.

    It decides after `MIN_LINES_PER_BAD_LINE` lines or at the end of the stream, or earlier if most
    lines, and more than one, are not UTF-8. The decision does not depend on how lines are grouped
    into blocks.
    """

    def __init__(self, warn: Callable[[str], None], path: Path) -> None:
        self._warn = warn
        self._path = path
        self._num_lines = 0
        self._bad_lines = BadLines()
        self._has_decided = False
        self._has_warned = False

    def __call__(self, block: list[bytes], *, is_end: bool = False) -> list[str]:
        bad_numbers = [number for number, raw in enumerate(block) if not is_decodable(raw)]
        if not self._has_decided:
            self._decide([block[number] for number in bad_numbers], len(block), is_end=is_end)
        if bad_numbers and not self._has_warned:
            self._has_warned = True
            self._warn(
                f"{name_input(self._path)}: line {self._num_lines + bad_numbers[0] + 1} is not "
                "UTF-8; bytes that cannot be decoded are read as U+FFFD, here and in later lines"
            )
        self._num_lines += len(block)
        return [strip_marks(raw).removesuffix(b"\r").decode("utf-8", "replace") for raw in block]

    def _decide(self, bad_lines: list[bytes], num_lines: int, *, is_end: bool) -> None:
        for line in bad_lines:
            self._bad_lines.add(line)
        bad, total = self._bad_lines, self._num_lines + num_lines
        self._has_decided = total >= MIN_LINES_PER_BAD_LINE or is_end
        is_obvious = bad.number > 1 and 2 * bad.number > total
        if (self._has_decided or is_obvious) and is_other_encoding(bad, total):
            raise not_utf8_text(bad, total, self._path)


def has_more(source: object) -> bool:
    """Return whether a stream can be read without waiting.

    A file always can. A pipe can if bytes have arrived, or at its end.
    """
    try:
        descriptor = source.fileno()  # type: ignore[attr-defined]
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return True
        return bool(select.select([descriptor], [], [], 0)[0])
    except (AttributeError, OSError, ValueError):
        return False  # Not a file of the operating system, or one without `select`.


def _read(source: InputStream, path: Path) -> bytes:
    try:
        return source.read1(CHUNK_BYTES)
    except UNPACKING_ERRORS as error:
        raise DataError(describe_damage(path, error)) from error
