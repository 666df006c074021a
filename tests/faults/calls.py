"""Count the system calls that change the disk, and kill or fail at a chosen one."""

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate")


class Calls:
    """Calls that write, rename, remove or sync, numbered from 1."""

    def __init__(self, at: Callable[[int, str], None]) -> None:
        """Watch nothing yet; `at` receives the number and name of each call in advance."""
        self.number = 0
        self._at = at

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Watch this process."""
        for name in NAMES:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))
        opened = io.open

        def watched_open(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            stream = opened(file, mode, *rest, **more)
            if set(mode) & set("wax+") and not isinstance(file, int):
                self._notify("open")
                return WatchedStream(stream, self._notify)
            return stream

        patch.setattr(io, "open", watched_open)
        patch.setattr(builtins, "open", watched_open)

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **more: Any) -> Any:
            self._notify(name)
            return call(*args, **more)

        return watched

    def _notify(self, name: str) -> None:
        self.number += 1
        self._at(self.number, name)


class WatchedStream:
    """A file that reports each write when half of it is done."""

    def __init__(self, stream: Any, notify: Callable[[str], None]) -> None:
        self._stream, self._notify = stream, notify

    def write(self, content: Any) -> int:
        half = len(content) // 2
        self._stream.write(content[:half])
        self._stream.flush()
        self._notify("write")
        self._stream.write(content[half:])
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> "WatchedStream":
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)


def killed_at(number: int) -> Callable[[], None]:
    """Return a setup that kills the process at its n-th call."""
    return _signalled_at(number, signal.SIGKILL)


def interrupted_at(number: int) -> Callable[[], None]:
    """Return a setup that sends Ctrl-C to the process at its n-th call."""
    return _signalled_at(number, signal.SIGINT)


def _signalled_at(number: int, with_signal: signal.Signals) -> Callable[[], None]:
    def at(found: int, _: str) -> None:
        if found == number:
            os.kill(os.getpid(), with_signal)

    return lambda: Calls(at).install(pytest.MonkeyPatch())


def failing_at(number: int, code: int, *, forever: bool = False) -> Callable[[], None]:
    """Return a setup in which the n-th write, sync or creation of a folder fails."""

    def at(found: int, name: str) -> None:
        can_fail = name in {"write", "fsync", "mkdir", "open"}
        if can_fail and (found >= number if forever else found == number):
            raise OSError(code, os.strerror(code))

    return lambda: Calls(at).install(pytest.MonkeyPatch())


def counted_in(path: Path) -> Callable[[], None]:
    """Return a setup that counts the calls of the process in a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    return lambda: Calls(lambda number, _: _write(descriptor, number)).install(pytest.MonkeyPatch())


def _write(descriptor: int, number: int) -> None:
    os.pwrite(descriptor, f"{number:9}".encode(), 0)
