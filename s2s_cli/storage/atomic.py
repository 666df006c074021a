"""Files and folders that appear under their name complete, or not at all.

Everything is written in four steps:

1. Write under a temporary name next to the place, `.tmp-NAME-HOST-PID`.
2. Sync it to the disk: every file, then the folder.
3. Rename it to its place. A file replaces an older one in a single step. A folder cannot, so the
   older folder is first renamed to `.old-NAME-HOST-PID` and removed at the end.
4. Sync the parent folder, so that the rename survives a power failure.

An error undoes all of it. Only a process that is killed leaves temporary names behind;
`clear_debris` removes them, and puts a folder back that was caught between its two renames.
"""

import gzip
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

CHUNK_BYTES = 1 << 20

_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:20] or "_"
"""Process numbers mean something on the same machine only, and a disk may be shared."""

_TEMPORARY_NAME = re.compile(r"\.(tmp|old)-(.+)-([A-Za-z0-9._]+)-(\d+)")

_IN_USE: set[Path] = set()
"""Temporary files and folders that this process is writing."""

_STANDARD_STREAMS = re.compile(r"/dev/(stdout|stderr|fd/\d+)|/proc/[^/]+/fd/\d+")
"""Names of files that this process has already opened."""


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file; see `replacing`."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its place when the block ends without an error.

    If the name ends in `.gz` the content is compressed, the same content to the same bytes.
    Missing parent folders are created. A symbolic link is followed, not replaced. A device or a
    pipe is written to directly.
    """
    with _replacing_raw(path) as file:
        if path.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:  # no name, no time
            yield cast("BinaryIO", compressed)


@contextmanager
def _replacing_raw(path: Path) -> Iterator[BinaryIO]:
    if _STANDARD_STREAMS.fullmatch(str(path)):
        # It may be a file that the shell redirects to: append, never truncate.
        with path.open("ab") as stream:
            yield stream
        return
    place = path.resolve()
    if place.exists() and not place.is_file():
        with place.open("wb") as stream:
            yield stream
        return
    temporary = _temporary_path("tmp", place)
    with creating(place.parent), _marked_as_in_use(temporary):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename == str(temporary):
                # The user knows the place, not the temporary name.
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise
        sync_folder(place.parent)


@contextmanager
def replacing_folder(place: Path) -> Iterator[Path]:
    """Create a folder that takes its place when the block ends without an error.

    Missing parent folders are created. The block must sync its files: `write_synced` and
    `HashedFile` do.

    Yields:
        The folder to write to, empty.
    """
    temporary, aside = _temporary_path("tmp", place), _temporary_path("old", place)
    with creating(place.parent), _marked_as_in_use(temporary, aside):
        clear_debris_of(place)
        try:
            temporary.mkdir()
            yield temporary
            sync_folder(temporary)
            if place.exists():
                place.rename(aside)
            temporary.rename(place)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if aside.exists() and not place.exists():
                aside.rename(place)
            raise
        sync_folder(place.parent)
        if aside.exists():
            shutil.rmtree(aside)


@contextmanager
def creating(folder: Path) -> Iterator[None]:
    """Create a folder with its parents; those that are empty when the block ends are removed."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in created:
            with suppress(OSError):  # not empty, or gone
                path.rmdir()


def remove_folder(folder: Path) -> None:
    """Delete a folder; nobody sees half of it under its name."""
    temporary = _temporary_path("tmp", folder)
    folder.rename(temporary)
    shutil.rmtree(temporary)


def clear_debris(folder: Path) -> None:
    """Repair the entries of a folder after a process was killed while it wrote one of them.

    Temporary files and folders are removed; a folder that was renamed to make way for a successor
    that never came is renamed back. What a running process of this machine writes stays. What
    another machine wrote does not, so the caller must hold the lock of the folder.
    """
    for path, found in _find_temporaries(folder):
        _clear(path, found)


def clear_debris_of(place: Path) -> None:
    """Repair one file or folder, as `clear_debris` does, after processes of this machine only."""
    for path, found in _find_temporaries(place.parent):
        if (found.place, found.host) == (place, _HOST):
            _clear(path, found)


def find_replaced(place: Path) -> Path:
    """Return a folder, or, for the moment between the two renames of a replacement, the older one.

    Without either, the place itself.
    """
    if place.exists():
        return place
    older = [
        path
        for path, found in _find_temporaries(place.parent)
        if (found.kind, found.place) == ("old", place)
    ]
    return older[0] if len(older) == 1 else place


def write_synced(path: Path, content: bytes) -> None:
    """Write a file in chunks and sync it to the disk."""
    with path.open("wb") as file:
        for start in range(0, len(content), CHUNK_BYTES):
            file.write(content[start : start + CHUNK_BYTES])
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, where the system can (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # Some network file systems refuse; the rename itself has happened.
    finally:
        os.close(descriptor)


def is_stdout(path: Path) -> bool:
    """Whether a path means standard output: `-`, `/dev/stdout`."""
    return str(path) in {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}


def describe_os_error(error: OSError) -> str:
    """Return the system's message, with the file that it is about."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


class _Temporary(NamedTuple):
    """What a temporary name says."""

    kind: str
    place: Path
    host: str
    pid: int


def _temporary_path(kind: Literal["tmp", "old"], place: Path) -> Path:
    return place.parent / f".{kind}-{place.name}-{_HOST}-{os.getpid()}"


def _find_temporaries(folder: Path) -> list[tuple[Path, _Temporary]]:
    found = []
    for path in sorted(folder.glob(".*")):
        if match := _TEMPORARY_NAME.fullmatch(path.name):
            kind, name, host, pid = match.groups()
            found.append((path, _Temporary(kind, folder / name, host, int(pid))))
    return found


def _clear(path: Path, found: _Temporary) -> None:
    """Remove or rename back what a process left, unless it is still running."""
    if path.resolve() in _IN_USE or (found.host == _HOST and _is_running(found.pid)):
        return
    if found.kind == "old" and not found.place.exists():
        path.rename(found.place)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    """Whether another process of this machine has this number."""
    if pid == os.getpid():
        return False  # left by an earlier process with the number of this one
    if os.name != "posix":
        return True  # unknown: on Windows signal 0 would end the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # a process of another user
    return True


@contextmanager
def _marked_as_in_use(*paths: Path) -> Iterator[None]:
    resolved = {path.resolve() for path in paths}
    _IN_USE.update(resolved)
    try:
        yield
    finally:
        _IN_USE.difference_update(resolved)
