"""Writing files so that a reader never meets half of one."""

import errno
import gzip
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

CHUNK_BYTES = 1 << 20


def describe_os_error(error: OSError) -> str:
    """What the system says, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def write_file(path: Path, content: str | bytes) -> None:
    """Replace a file whole: written beside its place, synced, renamed.

    Missing parent folders are made. The file gets the modes that the umask asks for.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_synced(path: Path, content: bytes) -> None:
    """Write bytes in chunks and wait until they are on the disk."""
    with path.open("wb") as file:
        for start in range(0, len(content), CHUNK_BYTES):
            file.write(content[start : start + CHUNK_BYTES])
        file.flush()
        os.fsync(file.fileno())


_ONLY_FILES = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # which not every system has
    _ONLY_FILES |= getattr(os, _name, 0)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file that may be anybody's: no link, device or pipe is read.

    Raises:
        OSError: there is no such file; it is of another kind (`ELOOP` for a symbolic link), or
            larger (`EFBIG`).
    """
    with os.fdopen(os.open(path, _ONLY_FILES), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > most_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(most_bytes + 1)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # Some network file systems refuse it; the rename itself has happened.
    finally:
        os.close(descriptor)


def is_stdout(path: Path) -> bool:
    """Whether a name means standard output: `-`, `/dev/stdout`."""
    return str(path) in {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


_OPEN_ALREADY = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")
"""Names of files that a process has open."""


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """As `replacing`, packed if the name ends in `.gz`."""
    with replacing(path) as file:
        if path.suffix != ".gz":
            yield file
            return
        # Without name and time: the same text is packed into the same bytes.
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            yield cast("BinaryIO", packed)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file bit by bit; it takes its place, whole, when the block ends without an error.

    A symbolic link keeps pointing where it did; a device or a pipe is written to, never replaced.
    """
    if _OPEN_ALREADY.fullmatch(str(path)):
        # What stands behind such a name is open already: it is added to, never cut short.
        with path.open("ab") as stream:
            yield stream
        return
    place = path.resolve()
    if place.exists() and not place.is_file():
        with place.open("wb") as stream:
            yield stream
        return
    temporary = place.parent / f".tmp-{place.name}-{os.getpid()}"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.filename == str(temporary):  # a name that the user has never seen
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(place.parent)
