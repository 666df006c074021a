r"""Lines of text files, as a stream: nothing is read before it is asked for, but for one block.

One reader for all text: bytes, split at `\n` only (Python's text mode and `splitlines` split at
up to ten characters), UTF-8, CRLF accepted, `.gz` unpacked; byte order marks are dropped where they
begin a line.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from s2s_cli.data.file_kinds import (
    HEAD_BYTES,
    BadLines,
    describe_encoding,
    is_other_encoding,
    name_input,
    refuse_head,
)
from s2s_cli.data.opening import UNPACKING, describe_damage, open_text
from s2s_cli.errors import DataError

BOM = b"\xef\xbb\xbf"

BLOCK_BYTES = 1 << 18

Errors = Literal["strict", "surrogateescape"]
"""What becomes of bytes that are not UTF-8: an error, or lone surrogates, which no UTF-8 holds."""


class Digest(Protocol):
    """What takes in bytes and says their hash, as hashlib has it."""

    def update(self, data: bytes, /) -> None:
        """Take in some bytes."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far."""


def stream_lines(
    path: Path, digest: Digest | None = None, errors: Errors = "strict"
) -> Iterator[str]:
    """The lines of a text file, blank ones included.

    Args:
        path: the file, unpacked if its name ends in `.gz`.
        digest: takes in all (unpacked) bytes; complete when the last line was given.
        errors: what becomes of bytes that are not UTF-8.

    Raises:
        DataError: the file is missing, unreadable, not UTF-8, or a damaged archive.
    """
    blocks = _check_first(_stream_blocks(path), path)
    return decode_blocks(blocks if digest is None else _digesting(blocks, digest), path, errors)


def read_lines(path: Path, errors: Errors = "strict") -> list[str]:
    """The lines of a text file, all at once.

    Raises:
        DataError: as `stream_lines`.
    """
    return list(stream_lines(path, errors=errors))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file is missing, unreadable or a damaged archive.
    """
    digest = hashlib.sha256()
    for block in _stream_blocks(path):
        digest.update(block)
    return digest.hexdigest()


def is_utf8(text: str) -> bool:
    """Whether a text was read from UTF-8: whatever was not holds lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def stream_raw_lines(path: Path) -> Iterator[bytes]:
    r"""The lines of a text file as bytes, without `\n`; a byte order mark is taken off the first.

    Raises:
        DataError: as `stream_lines`, but for bytes that are not UTF-8.
    """
    lines = _split(_check_first(_stream_blocks(path), path))
    yield from map(strip_marks, islice(lines, 1))
    yield from lines


def strip_marks(line: bytes) -> bytes:
    """A line without byte order marks at its beginning, which come from files that were joined."""
    while line.startswith(BOM):
        line = line.removeprefix(BOM)
    return line


def check_text(path: Path) -> None:
    """Refuse a file that is not UTF-8 text; a few damaged lines are accepted.

    Raises:
        DataError: it is something else; the message says what it looks like.
    """
    bad_lines, num_lines = _find_bad_lines(path)
    if is_other_encoding(bad_lines, num_lines):
        raise not_utf8_text(bad_lines, num_lines, path)


def not_utf8_text(bad_lines: BadLines, num_lines: int, path: Path) -> DataError:
    """What a text in another encoding is, and how to convert it."""
    advice = describe_encoding(bad_lines.sample, path)
    share = f"{bad_lines.number:,} of {num_lines:,} lines are not UTF-8"
    return DataError(f"{name_input(path)}: {share}; {advice}")


def decode_blocks(blocks: Iterable[bytes], path: Path, errors: Errors = "strict") -> Iterator[str]:
    r"""Split at `\n`, decode UTF-8; byte order marks, and the CR of CRLF, are taken off.

    Raises:
        DataError: some bytes are not UTF-8; the message names line and byte, and what `path`, from
            where they are, looks like.
    """
    for number, raw in enumerate(_split(blocks), start=1):
        try:
            yield strip_marks(raw).removesuffix(b"\r").decode("utf-8", errors)
        except UnicodeDecodeError as error:
            # Where it is in the line as it stands in the file, marks included.
            place = len(raw) - len(strip_marks(raw)) + error.start
            raise DataError(
                f"{name_input(path)}:{number}: byte {place + 1} (0x{raw[place]:02x}) is not UTF-8; "
                f"{_describe_bad_text(path)}"
            ) from error


def _describe_bad_text(path: Path) -> str:
    """What is wrong with a file that has a line that is not UTF-8."""
    bad_lines, num_lines = _find_bad_lines(path)
    if is_other_encoding(bad_lines, num_lines):
        return describe_encoding(bad_lines.sample, path)
    return (
        f"{bad_lines.number:,} of {num_lines:,} lines are damaged so; correct them, or leave such "
        "training pairs out with --on-bad-utf8 skip"
    )


def _find_bad_lines(path: Path) -> tuple[BadLines, int]:
    """The lines of a file that are not UTF-8, and the number of all."""
    found, num_lines = BadLines(), 0
    for raw in _split(_check_first(_stream_blocks(path), path)):
        num_lines += 1
        if not is_decodable(raw):
            found.add(raw)
    return found, num_lines


def is_decodable(raw: bytes) -> bool:
    """Whether some bytes are UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def name_of(path: Path) -> str:
    """What a corpus is called: its folder and the file's name without extensions.

    The same from wherever the file is named; a link is called by its own name.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (`absolute` keeps "..", `resolve` no links)
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return "-".join(part for part in (path.parent.name, stem) if part)


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; what follows the last end is a line if it is not empty."""
    parts: list[bytes] = []
    has_ended = False
    for block in blocks:
        first, *others = block.split(b"\n")
        parts.append(first)
        if others:
            has_ended = True
            yield b"".join(parts)
            *whole, last = others
            yield from whole
            parts = [last]
    rest = b"".join(parts)
    # A byte order mark alone is an empty file.
    if rest and (has_ended or strip_marks(rest)):
        yield rest


def _digesting(blocks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _check_first(blocks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """The same blocks; the first is checked, and refused if it shows another kind of file."""
    for number, block in enumerate(blocks):
        if not number:
            refuse_head(block[:HEAD_BYTES], path)
        yield block


def _stream_blocks(path: Path) -> Iterator[bytes]:
    with open_text(path) as file:
        while block := _read(file, path):
            yield block


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except UNPACKING as error:
        raise DataError(describe_damage(path, error)) from error
    except OSError as error:
        raise DataError(f"{name_input(path)}: cannot be read ({error.strerror})") from error
