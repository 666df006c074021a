"""Locks that keep other processes out of a folder."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s2s_cli.errors import ConfigError
from s2s_cli.storage.atomic import creating

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def locked(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs.

    The kernel locks the file `.lock`, and releases it when the process ends in any way. The file
    says which process holds it. A folder that does not exist is created, and removed again if it is
    empty at the end.

    Args:
        folder: the folder to lock.
        warn: called if the file system does not support locks.

    Raises:
        ConfigError: another process holds the lock.
        OSError: the folder cannot be created or written to.
    """
    with creating(folder):
        descriptor = _acquire(folder / LOCK, warn)
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / LOCK).unlink()
            os.close(descriptor)


def _acquire(path: Path, warn: Callable[[str], None]) -> int:
    """Open and lock the lock file; return its descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f"{path.parent}: is in use by {holder}; wait until it ends, or name another folder"
            ) from error
        except OSError as error:
            warn(
                f"{path.parent}: the file system does not support locks ({error.strerror}); make "
                "sure that no other s2s uses this folder"
            )
        if _is_at(path, descriptor):
            content = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
            os.ftruncate(descriptor, 0)
            os.write(descriptor, content.encode())
            return descriptor
        os.close(descriptor)  # The former holder deleted the file after it was opened here.


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (ValueError, TypeError, KeyError):
        return "another process"
