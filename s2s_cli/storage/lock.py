"""One process at a time in a folder."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s2s_cli.errors import ConfigError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def locked(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes out of a folder, which is made if need be, while the block runs.

    The lock is the kernel's, on a file `.lock` that says who holds it: it is gone when its process
    is, however that ended. A folder that was made and is empty at the end goes again.

    Args:
        folder: what is held.
        warn: told where the file system knows no locks.

    Raises:
        ConfigError: another process holds it.
        OSError: the folder cannot be made or written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _take(folder / LOCK, warn)
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK).unlink()
        os.close(descriptor)
        for path in made:
            with suppress(OSError):  # not empty, or gone
                path.rmdir()


def _take(path: Path, warn: Callable[[str], None]) -> int:
    """The lock file, held."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _hold(descriptor)
        except BlockingIOError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f"{path.parent}: is in use by {holder}; wait until it has ended, or take another "
                "folder with --run DIR"
            ) from error
        except OSError as error:
            warn(
                f"{path.parent}: the file system knows no locks ({error.strerror}); see to it "
                "that no other s2s works in this folder"
            )
        if _is_at(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(
                descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
            )
            return descriptor
        os.close(descriptor)  # Its holder took it away in the meantime.


def _hold(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(facts['pid'])} on {str(facts['host'])[:100]}"
    except (ValueError, TypeError, KeyError):
        return "another process"
