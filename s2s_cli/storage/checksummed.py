"""Folders of files whose SHA-256 is in a manifest, replaced as a whole.

The manifest, with the size and SHA-256 of every file, is written last, and the folder is read back
before it is renamed to its place. A reader compares every file with the manifest before it parses
anything. The files may come from anybody: names are fixed by the caller, never taken from the
manifest; links, devices and pipes are not read; sizes are checked before memory is taken.
"""

import datetime
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import CheckpointError
from s2s_cli.storage.atomic import find_replaced, replacing_folder, write_synced

MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 1 << 20
"""Ours have a few hundred."""

_FILES_ONLY = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # not every system has them
    _FILES_ONLY |= getattr(os, _flag, 0)


class FileEntry(NamedTuple):
    """Size and SHA-256 of a file in a manifest."""

    size: int
    sha256: str


class HashedFile:
    """A new file that is hashed while it is written, and synced when it is closed.

    For files that are too large to be in memory; a context manager.
    """

    def __init__(self, path: Path) -> None:
        """Create the file."""
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> "HashedFile":
        return self

    def write(self, content: bytes) -> None:
        """Append some bytes."""
        self._file.write(content)
        self._hash.update(content)
        self._size += len(content)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file as file:
            if kind is None:
                file.flush()
                os.fsync(file.fileno())

    @property
    def entry(self) -> FileEntry:
        """Size and SHA-256 of what was written so far."""
        return FileEntry(self._size, self._hash.hexdigest())


def write_checksummed(
    folder: Path, files: Mapping[str, bytes], facts: Mapping[str, object]
) -> None:
    """Write a folder with its manifest, replacing an older one.

    Args:
        folder: its place.
        files: content by plain name.
        facts: further entries of the manifest, for people.

    Raises:
        CheckpointError: the disk is full, or does not read back what was written.
        OSError: the folder cannot be written for another reason.
    """
    try:
        with replacing_folder(folder) as temporary:
            for name, content in files.items():
                write_synced(temporary / name, content)
            entries = {name: FileEntry(len(c), sha256(c)) for name, c in files.items()}
            write_manifest(temporary, entries, facts)
            read_checksummed(temporary, tuple(files))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        need = sum(map(len, files.values()))
        raise CheckpointError(
            f"{folder}: {error.strerror}: {need / 1e6:,.1f} MB are needed, "
            f"{_free_bytes(folder) / 1e6:,.1f} MB are free; free some space"
        ) from error


def write_manifest(
    folder: Path, entries: Mapping[str, FileEntry], facts: Mapping[str, object]
) -> None:
    """Write the manifest of files that are already in a folder."""
    manifest = {
        "saved_at": datetime.datetime.now(datetime.UTC).isoformat(),
        **facts,
        "files": {
            name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in entries.items()
        },
    }
    write_synced(folder / MANIFEST, to_json(manifest))


def read_checksummed(
    folder: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """Read the named files of a folder and compare each with the manifest.

    Args:
        folder: as `write_checksummed` wrote it.
        names: files that it must have.
        optional: files that it may have.

    Raises:
        CheckpointError: the folder, its manifest or a file is missing or damaged.
    """
    while True:
        place = find_replaced(folder)
        entries = read_entries(place)
        present = [*names, *(name for name in optional if name in entries)]
        try:
            return {name: _read_file(place / name, entries.get(name)) for name in present}
        except CheckpointError:
            # If the folder was replaced during the read, its manifest has changed: read again.
            if read_entries(find_replaced(folder)) == entries:
                raise


def _read_file(path: Path, entry: FileEntry | None) -> bytes:
    try:
        content = b"" if entry is None else _read_regular(path, entry.size)
    except FileNotFoundError:
        entry = None
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise CheckpointError(
                f"{path}: cannot be read ({error.strerror}); a model folder holds plain files"
            ) from error
        content = b""
    if entry is None:
        raise CheckpointError(f"{path}: missing; restore the folder from a copy")
    if len(content) != entry.size or sha256(content) != entry.sha256:
        raise CheckpointError(
            f"{path}: differs from what {MANIFEST} says was written (size or SHA-256); "
            "restore the folder from a copy"
        )
    return content


def _read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a regular file, which may come from anybody.

    Raises:
        OSError: there is no such file; it is a link, a device or a pipe; or it is larger than
            `max_bytes` (`EFBIG`).
    """
    with os.fdopen(os.open(path, _FILES_ONLY), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if found.st_size > max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read(max_bytes + 1)


def read_entries(folder: Path) -> dict[str, FileEntry]:
    """Read the size and SHA-256 of every file from a manifest.

    Raises:
        CheckpointError: the folder or its manifest is missing, or the manifest is damaged.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such model folder; `s2s train` makes one")
    try:
        files = _read_json(path)["files"]
        entries = {
            name: FileEntry(entry["bytes"], entry["sha256"]) for name, entry in files.items()
        }
        if not all(isinstance(entry.size, int) for entry in entries.values()):
            raise TypeError
        return entries
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: not a model folder (no {MANIFEST})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (CheckpointError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged; restore the folder from a copy") from error


def is_checksummed(folder: Path) -> bool:
    """Whether there is a folder with a manifest here."""
    return (find_replaced(folder) / MANIFEST).is_file()


def read_saved_at(folder: Path) -> str:
    """Return when a folder was written, as an ISO time, which sorts; empty if unknown."""
    try:
        return str(_read_json(find_replaced(folder) / MANIFEST)["saved_at"])
    except (OSError, CheckpointError, KeyError, TypeError):
        return ""


def read_sha256(folder: Path, name: str) -> str:
    """Return the SHA-256 of a file as its manifest has it."""
    return read_entries(find_replaced(folder))[name].sha256


def parse_json(content: bytes, path: Path) -> Any:
    """Parse a JSON file, which may come from anybody.

    Raises:
        CheckpointError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not JSON ({reason}); restore it from a copy") from error


def to_json(tree: object) -> bytes:
    """Format as indented JSON, UTF-8, with a newline at the end."""
    return (json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _free_bytes(folder: Path) -> int:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free


def _read_json(path: Path) -> Any:
    return parse_json(_read_regular(path, MAX_MANIFEST_BYTES), path)
