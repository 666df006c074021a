"""Opening text files: plain files, `.gz`, pipes and standard input.

Training reads its text several times, but a pipe can be read only once. Therefore a pipe is copied
to a temporary file when it is opened for the first time, and read from there.
"""

import gzip
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from s2s_cli.data.file_kinds import HEAD_BYTES, STDIN, find_problem, name_input
from s2s_cli.errors import DataError

_COPIES: dict[Path, IO[bytes]] = {}
"""Temporary files with the content of pipes; removed when this process ends."""


def open_text(path: Path) -> BinaryIO:
    """Open a file that may be read several times; `-` is standard input, `.gz` is unpacked.

    Raises:
        DataError: there is no such file, it is a folder, or it cannot be read.
    """
    with _naming_problem(path):
        return _open(_copy_of(path) if path == STDIN or is_pipe(path) else path, path.suffix)


def open_stream(path: Path) -> BinaryIO:
    """Open a file that is read only once; a pipe is read as its content arrives.

    Raises:
        DataError: as `open_text`.
    """
    with _naming_problem(path):
        return _open_stdin() if path == STDIN else _open(path, path.suffix)


def is_pipe(path: Path) -> bool:
    """Return whether a file can be read only once: a pipe (`<(...)`), terminal or socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def check_exists(path: Path) -> None:
    """Refuse a missing file or a folder, without opening it.

    Raises:
        DataError: there is no such file, or it is a folder.
    """
    if path != STDIN:
        with _naming_problem(path):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError


def describe_damage(path: Path, error: Exception) -> str:
    """Describe why a `.gz` file cannot be unpacked, and what to do."""
    name = name_input(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if isinstance(error, gzip.BadGzipFile) and not head.startswith(b"\x1f\x8b"):
        problem = find_problem(head)
        what = f"it {problem.what}" if problem else "if it is plain text, remove .gz from its name"
        return f"{name}: not a gzip file, though its name ends in .gz; {what}"
    return f"{name}: the gzip file is damaged or incomplete ({error}); download or copy it again"


@contextmanager
def _naming_problem(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into errors that name the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{name_input(path)}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder; name a file in it") from error
    except OSError as error:
        raise DataError(f"{name_input(path)}: cannot be read ({error.strerror})") from error


UNPACKING_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)
"""Errors raised by reading a damaged `.gz` file."""


def _open_stdin() -> BinaryIO:
    if sys.stdin is None:
        raise DataError("stdin is closed; name a file")
    return sys.stdin.buffer


def _open(path: Path, suffix: str) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if suffix == ".gz" else path.open("rb")


def _copy_of(path: Path) -> Path:
    """Return a file with the content of a pipe."""
    if path not in _COPIES:
        source = _open_stdin() if path == STDIN else path.open("rb")
        copy = tempfile.NamedTemporaryFile(prefix="s2s-pipe-")  # noqa: SIM115 (stays open)
        shutil.copyfileobj(source, copy)
        copy.flush()
        _COPIES[path] = copy
    return Path(_COPIES[path].name)
