"""Text that flows: lines are handed on as they come, never waiting for more than there is."""

import os
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from s2s_cli.data.file_kinds import (
    HEAD_BYTES,
    STDIN,
    TOLERATED,
    BadLines,
    is_other_encoding,
    name_input,
    refuse_head,
)
from s2s_cli.data.lines import check_text, is_decodable, not_utf8_text, strip_marks
from s2s_cli.data.opening import UNPACKING, describe_damage, is_pipe, open_stream
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


def open_source(path: Path) -> Source:
    """Open a file (`.gz` is unpacked), or stdin for `-`.

    A regular file is read through once before: what is not UTF-8 text is refused as a whole.

    Raises:
        DataError: the file is missing, unreadable or not text.
    """
    if path == STDIN:
        return open_stream(STDIN)  # type: ignore[return-value]
    if not is_pipe(path):
        check_text(path)
    return open_stream(path)  # type: ignore[return-value]


def read_blocks(
    source: Source, warn: Callable[[str], None], most_lines: int, path: Path = STDIN
) -> Iterator[list[str]]:
    r"""Blocks of lines, split at `\n` only; byte order marks, and the CR of CRLF, are taken off.

    A block is as large as may be without waiting: where there is no more to read as yet, what has
    come is handed on.

    Args:
        source: the stream.
        warn: told once if bytes were not UTF-8; they become U+FFFD, and no line is lost.
        most_lines: in a block.
        path: names the stream in messages.

    Raises:
        DataError: a `.gz` file is damaged, or the first block shows that this is not UTF-8 text.
    """
    decode = _Decoder(warn, path)
    block: list[bytes] = []
    rest: list[bytes] = []  # of a line whose end has not come
    size = num_bytes = 0
    while chunk := _read(source, path):
        if not num_bytes:
            refuse_head(chunk, path, is_whole=False)
        *whole, tail = chunk.split(b"\n")
        if whole:
            whole[0], rest = b"".join([*rest, whole[0]]), []
        rest.append(tail)
        block += whole
        size += len(chunk)
        num_bytes += len(chunk)
        while len(block) >= most_lines:
            yield decode(block[:most_lines])
            block, size = block[most_lines:], 0
        if block and (size >= most_lines * LINE_BYTES or not has_more(source)):
            yield decode(block)
            block, size = [], 0
    last = b"".join(rest)
    if len(last) == num_bytes:  # there is no line feed at all
        refuse_head(last[:HEAD_BYTES], path)
        last = strip_marks(last)
    if block or last:
        yield decode([*block, last] if last else block, is_end=True)


class _Decoder:
    """Lines as bytes to text; refuses what is no UTF-8 text, and warns of damage once.

    A stream is judged when it has brought `TOLERATED` lines or is at its end, or as soon as most
    lines, and more than one, are not UTF-8: whether it drips makes no difference.
    """

    def __init__(self, warn: Callable[[str], None], path: Path) -> None:
        self._warn = warn
        self._path = path
        self._num_lines = 0
        self._bad_lines = BadLines()
        self._is_judged = False
        self._has_warned = False

    def __call__(self, block: list[bytes], *, is_end: bool = False) -> list[str]:
        bad_numbers = [number for number, raw in enumerate(block) if not is_decodable(raw)]
        if not self._is_judged:
            self._judge([block[number] for number in bad_numbers], len(block), is_end=is_end)
        if bad_numbers and not self._has_warned:
            self._has_warned = True
            self._warn(
                f"{name_input(self._path)}: line {self._num_lines + bad_numbers[0] + 1} is not "
                "UTF-8; bytes that cannot be decoded are read as U+FFFD, here and in what follows"
            )
        self._num_lines += len(block)
        return [strip_marks(raw).removesuffix(b"\r").decode("utf-8", "replace") for raw in block]

    def _judge(self, bad_lines: list[bytes], num_lines: int, *, is_end: bool) -> None:
        for line in bad_lines:
            self._bad_lines.add(line)
        bad, total = self._bad_lines, self._num_lines + num_lines
        self._is_judged = total >= TOLERATED or is_end
        is_clear = bad.number > 1 and 2 * bad.number > total
        if (self._is_judged or is_clear) and is_other_encoding(bad, total):
            raise not_utf8_text(bad, total, self._path)


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


def _read(source: Source, path: Path) -> bytes:
    try:
        return source.read1(CHUNK_BYTES)
    except UNPACKING as error:
        raise DataError(describe_damage(path, error)) from error
