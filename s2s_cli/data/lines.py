r"""The reader of all text files: a stream of lines that reads at most one block ahead.

Files are UTF-8; `.gz` is unpacked. Lines end at `\n` only, while Python's text mode and
`splitlines` split at up to ten characters. The CR of CRLF is removed, and byte order marks are
removed at the beginning of every line, because they occur there in concatenated files.

The reading path is a chain of generators, each over the output of the one before it:

    _stream_blocks    blocks of bytes, from the file
    _check_first      the same blocks; an error if the first one shows another kind of file
    _hash_blocks      the same blocks, also given to a hash
    _split            lines as bytes
    decode_blocks     lines as text; an error if a line is not UTF-8
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
from s2s_cli.data.opening import UNPACKING_ERRORS, describe_damage, open_text
from s2s_cli.errors import DataError

BOM = b"\xef\xbb\xbf"

BLOCK_BYTES = 1 << 18
"""Number of bytes read at a time."""

DecodingErrors = Literal["strict", "surrogateescape"]
"""How to decode bytes that are not UTF-8: with an error, or to lone surrogates, which cannot result
from UTF-8."""


class Digest(Protocol):
    """A hash of bytes, with the interface of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Add some bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""


def stream_lines(
    path: Path, digest: Digest | None = None, errors: DecodingErrors = "strict"
) -> Iterator[str]:
    """Yield the lines of a text file, including blank lines.

    Args:
        path: the file, unpacked if its name ends in `.gz`.
        digest: receives all (unpacked) bytes; complete after the last line.
        errors: how to decode bytes that are not UTF-8.

    Raises:
        DataError: the file is missing, unreadable, not UTF-8, or a damaged archive.
    """
    blocks = _check_first(_stream_blocks(path), path)
    return decode_blocks(blocks if digest is None else _hash_blocks(blocks, digest), path, errors)


def read_lines(path: Path, errors: DecodingErrors = "strict") -> list[str]:
    """Read all lines of a text file.

    Raises:
        DataError: as `stream_lines`.
    """
    return list(stream_lines(path, errors=errors))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file is missing, unreadable or a damaged archive.
    """
    digest = hashlib.sha256()
    for block in _stream_blocks(path):
        digest.update(block)
    return digest.hexdigest()


def is_utf8(text: str) -> bool:
    """Return whether decoded text was UTF-8; other bytes became lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def stream_raw_lines(path: Path) -> Iterator[bytes]:
    r"""Yield the lines of a text file as bytes, without `\n`, and without byte order mark.

    Raises:
        DataError: as `stream_lines`; but bytes that are not UTF-8 are no error.
    """
    lines = _split(_check_first(_stream_blocks(path), path))
    yield from map(strip_marks, islice(lines, 1))
    yield from lines


def strip_marks(line: bytes) -> bytes:
    """Remove byte order marks at the beginning of a line; concatenated files contain them."""
    while line.startswith(BOM):
        line = line.removeprefix(BOM)
    return line


def check_text(path: Path) -> None:
    """Refuse a file that is not UTF-8 text; a few damaged lines are accepted.

    Raises:
        DataError: it is something else; the message names the probable encoding or kind of file.
    """
    bad_lines, num_lines = _find_bad_lines(path)
    if is_other_encoding(bad_lines, num_lines):
        raise not_utf8_text(bad_lines, num_lines, path)


def not_utf8_text(bad_lines: BadLines, num_lines: int, path: Path) -> DataError:
    """Make the error for a text in another encoding, which names a command that converts it."""
    advice = describe_encoding(bad_lines.sample, path)
    share = f"{bad_lines.number:,} of {num_lines:,} lines are not UTF-8"
    return DataError(f"{name_input(path)}: {share}; {advice}")


def decode_blocks(
    blocks: Iterable[bytes], path: Path, errors: DecodingErrors = "strict"
) -> Iterator[str]:
    r"""Split blocks at `\n`, decode UTF-8, and remove byte order marks and the CR of CRLF.

    Args:
        blocks: the content of the file.
        path: of the file, which is read once more for a message about bytes that are not UTF-8.
        errors: how to decode them.

    Raises:
        DataError: some bytes are not UTF-8; the message names line and byte, and the probable
            encoding of the file.
    """
    for number, raw in enumerate(_split(blocks), start=1):
        try:
            yield strip_marks(raw).removesuffix(b"\r").decode("utf-8", errors)
        except UnicodeDecodeError as error:
            # Count from the beginning of the line in the file, including byte order marks.
            place = len(raw) - len(strip_marks(raw)) + error.start
            raise DataError(
                f"{name_input(path)}:{number}: byte {place + 1} (0x{raw[place]:02x}) is not UTF-8; "
                f"{_describe_bad_text(path)}"
            ) from error


def _describe_bad_text(path: Path) -> str:
    """Describe a file with bytes that are not UTF-8: damaged, or in another encoding."""
    bad_lines, num_lines = _find_bad_lines(path)
    if is_other_encoding(bad_lines, num_lines):
        return describe_encoding(bad_lines.sample, path)
    return (
        f"{bad_lines.number:,} of {num_lines:,} lines are damaged like this; correct them, or "
        "leave out such training pairs with --on-bad-utf8 skip"
    )


def _find_bad_lines(path: Path) -> tuple[BadLines, int]:
    """Return the lines of a file that are not UTF-8, and the number of all lines."""
    found, num_lines = BadLines(), 0
    for raw in _split(_check_first(_stream_blocks(path), path)):
        num_lines += 1
        if not is_decodable(raw):
            found.add(raw)
    return found, num_lines


def is_decodable(raw: bytes) -> bool:
    """Return whether bytes are UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def name_corpus(path: Path) -> str:
    """Name a corpus after its folder and file, without suffixes: `multi30k-train`.

    The name does not depend on the working folder. Symbolic links are not resolved.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (`absolute` keeps "..", `resolve` no links)
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return "-".join(part for part in (path.parent.name, stem) if part)


def _split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines without line feeds; the text after the last line feed is a line unless empty."""
    parts: list[bytes] = []
    has_ended = False
    for block in blocks:
        first, *others = block.split(b"\n")
        parts.append(first)
        if others:
            has_ended = True
            yield b"".join(parts)
            *complete, last = others
            yield from complete
            parts = [last]
    rest = b"".join(parts)
    # A file with nothing but a byte order mark is empty.
    if rest and (has_ended or strip_marks(rest)):
        yield rest


def _hash_blocks(blocks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _check_first(blocks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Yield the same blocks; refuse the first one if it shows that this is not UTF-8 text."""
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
    except UNPACKING_ERRORS as error:
        raise DataError(describe_damage(path, error)) from error
    except OSError as error:
        raise DataError(f"{name_input(path)}: cannot be read ({error.strerror})") from error
