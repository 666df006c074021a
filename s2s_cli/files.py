"""Writing files so that a reader never meets half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 20


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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file bit by bit; it takes its place, whole, when the block ends without an error.

    A symbolic link keeps pointing where it did; a device or a pipe is written to, never replaced.
    """
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
