"""A folder that is written beside its place, and gets there when it is whole."""

import os
import re
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from s2s_cli.storage.atomic import sync_folder

_HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
"""Whose process numbers can be asked about; on a shared disk there are those of others."""


class NewFolder:
    """A folder that may come to replace another one; it is made when it is first asked for."""

    def __init__(self, place: Path) -> None:
        """Name its place; nothing is made yet."""
        self._place = place
        self._temporary: Path | None = None
        self._parents: list[Path] = []

    def path(self) -> Path:
        """Where it is written; what was left there by processes that are gone is cleared away."""
        if self._temporary is None:
            parent = self._place.parent
            for kind in ("tmp", "old"):
                for leftover in parent.glob(f".{kind}-{self._place.name}-{_HOST}-*"):
                    if not _is_at_work(leftover):
                        shutil.rmtree(leftover, ignore_errors=True)
            self._parents = [path for path in (parent, *parent.parents) if not path.exists()]
            self._temporary = parent / f".tmp-{self._place.name}-{_HOST}-{os.getpid()}"
            self._temporary.mkdir(parents=True)
        return self._temporary

    def commit(self, without: Iterable[str] = ()) -> None:
        """Put it into its place, if it was made; what was there goes.

        Args:
            without: names of files that were of use on the way only.
        """
        if self._temporary is None:
            return
        for name in without:
            (self._temporary / name).unlink(missing_ok=True)
        sync_folder(self._temporary)
        aside = self._place.with_name(f".old-{self._place.name}-{_HOST}-{os.getpid()}")
        if self._place.exists():
            self._place.rename(aside)
        self._temporary.rename(self._place)
        self._temporary = None
        sync_folder(self._place.parent)
        shutil.rmtree(aside, ignore_errors=True)

    def discard(self) -> None:
        """Take away what was not committed, and the folders that were made for it."""
        if self._temporary is None:
            return
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary = None
        for made in self._parents:
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()


def _is_at_work(leftover: Path) -> bool:
    """Whether the process that writes a temporary folder still lives."""
    number = leftover.name.rpartition("-")[2]
    if not number.isdecimal():
        return True  # not one of ours
    if int(number) == os.getpid():
        return False
    try:
        if os.name == "posix":  # elsewhere signal 0 is no question
            os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
