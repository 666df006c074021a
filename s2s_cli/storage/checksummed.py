"""Folders that are written whole or not at all, and sealed with hashes.

A folder is written beside its place, file by file, each synced; a manifest with the size and
SHA-256 of every file comes last; it is read back, and only then renamed into place. A reader
compares every file with the manifest before it parses anything.
"""

import datetime
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import CheckpointError
from s2s_cli.storage.atomic import read_regular, sync_folder, write_synced

MANIFEST = "manifest.json"

MOST_BYTES = 1 << 20
"""Of a manifest; one of ours has some hundred."""


def write_sealed(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, object]) -> None:
    """Write a folder, replacing an older one.

    Args:
        folder: its place.
        files: plain names and contents.
        facts: added to the manifest, for people.

    Raises:
        CheckpointError: what was written does not read back the same, or the disk is full.
        OSError: it cannot be written for another reason.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".tmp-{folder.name}-{os.getpid()}"
    aside = folder.parent / f".old-{folder.name}-{os.getpid()}"
    manifest = {
        "saved_at": datetime.datetime.now(datetime.UTC).isoformat(),
        **facts,
        "files": {
            name: {"bytes": len(content), "sha256": sha256(content)}
            for name, content in files.items()
        },
    }
    try:
        temporary.mkdir()
        for name, content in files.items():
            write_synced(temporary / name, content)
        write_synced(temporary / MANIFEST, to_json(manifest))
        sync_folder(temporary)
        read_sealed(temporary, tuple(files))
        # A folder cannot be renamed over another: between the next two lines the old one stands
        # aside, and `repair_sealed` puts it back should the process end there.
        if folder.exists():
            folder.rename(aside)
        temporary.rename(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        if isinstance(error, OSError):
            explain_full_disk(error, folder, sum(map(len, files.values())))
        raise
    sync_folder(folder.parent)
    if aside.exists():
        shutil.rmtree(aside)


def explain_full_disk(error: OSError, folder: Path, need: int) -> None:
    """If an error says that there is no room, say how much is needed.

    Raises:
        CheckpointError: there is no room.
    """
    if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return
    room = f"{need / 1e6:,.1f} MB are needed, {free_bytes(folder) / 1e6:,.1f} MB are free"
    raise CheckpointError(
        f"{folder}: {error.strerror}: {room}; what was saved before is whole; make room"
    ) from error


def free_bytes(folder: Path) -> int:
    """Room on the disk where a folder is, or would be."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free


def read_sealed(
    folder: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """The named files, each checked against the manifest before anything parses it.

    Args:
        folder: the sealed folder.
        names: files that it must have.
        optional: files that are read too if they were written.

    Raises:
        CheckpointError: the folder, its manifest or a file is missing or damaged.
    """
    while True:
        place = _find(folder)
        manifest = _read_manifest(place)
        wanted = [*names, *(name for name in optional if name in manifest)]
        try:
            # Names are ours, never the manifest's: it cannot lead out of the folder.
            return {name: _read_file(place / name, manifest.get(name)) for name in wanted}
        except CheckpointError:
            # Replaced while it was read? Then its manifest is another one now.
            if _read_manifest(_find(folder)) == manifest:
                raise


class _Entry(NamedTuple):
    """What a manifest says about a file."""

    size: int
    sha256: str


def _read_file(path: Path, entry: _Entry | None) -> bytes:
    try:
        content = b"" if entry is None else read_regular(path, entry.size)
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


def parse_json(content: bytes, path: Path) -> Any:
    """What a file that may be anybody's says.

    Raises:
        CheckpointError: it is not JSON, or nested without end.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not JSON ({reason}); restore it from a copy") from error


def _find(folder: Path) -> Path:
    """The folder, or the older one that stands aside while it is being replaced."""
    if folder.exists():
        return folder
    aside = [path for path in folder.parent.glob(f".old-{folder.name}-*") if is_sealed(path)]
    return aside[0] if len(aside) == 1 else folder


def is_sealed(folder: Path) -> bool:
    """Whether there is something here that `read_sealed` would try to read."""
    return (folder / MANIFEST).is_file() or _find(folder) != folder


def saved_at(folder: Path) -> str:
    """When a folder was written, as an ISO time that sorts; empty if unknown."""
    try:
        return str(_read_json(_find(folder) / MANIFEST)["saved_at"])
    except (OSError, CheckpointError, KeyError, TypeError):
        return ""


def sealed_hash(folder: Path, name: str) -> str:
    """SHA-256 of a file, as the manifest has it."""
    return _read_manifest(_find(folder))[name].sha256


def repair_sealed(folder: Path) -> None:
    """Finish or undo a replacement that was cut short, and clear half-written folders away."""
    for leftover in sorted(folder.parent.glob(f".*-{folder.name}-*")):
        if leftover.name.startswith(".old-") and not folder.exists():
            leftover.rename(folder)
        elif leftover.name.startswith((".old-", ".tmp-")):
            shutil.rmtree(leftover)


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def to_json(tree: object) -> bytes:
    """Readable JSON, UTF-8, closed by a newline."""
    return (json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def _read_manifest(folder: Path) -> dict[str, _Entry]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such model folder; `s2s train` makes one")
    try:
        files = _read_json(path)["files"]
        entries = {name: _Entry(entry["bytes"], entry["sha256"]) for name, entry in files.items()}
        if not all(isinstance(entry.size, int) for entry in entries.values()):
            raise TypeError
        return entries
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: not a model folder (no {MANIFEST})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (CheckpointError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged; restore the folder from a copy") from error


def _read_json(path: Path) -> Any:
    return parse_json(read_regular(path, MOST_BYTES), path)
