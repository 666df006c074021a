r"""Lines of text files, as a stream: nothing is read before it is asked for, but for one block.

One reader for all text: bytes, split at `\n` only (Python's text mode and `splitlines` split at
up to ten characters), UTF-8 with or without a byte order mark, CRLF accepted, `.gz` unpacked.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

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
    blocks = _stream_blocks(path)
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


def decode_blocks(blocks: Iterable[bytes], where: Path, errors: Errors = "strict") -> Iterator[str]:
    r"""Split at `\n`, decode UTF-8; a BOM, and the CR of CRLF, are taken off.

    Raises:
        DataError: some bytes are not UTF-8; the message names file, line and byte.
    """
    for number, raw in enumerate(_split(blocks), start=1):
        content = raw.removeprefix(BOM) if number == 1 else raw
        try:
            yield content.removesuffix(b"\r").decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}:{number}: byte {error.start + 1} (0x{content[error.start]:02x}) is not "
                "UTF-8; convert the file, for instance with iconv -f GB18030 -t UTF-8"
            ) from error


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
    if rest and (has_ended or rest != BOM):
        yield rest


def _digesting(blocks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    for block in blocks:
        digest.update(block)
        yield block


def _stream_blocks(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
