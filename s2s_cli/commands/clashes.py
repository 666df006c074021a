"""Files that one call must not both read and write, or write twice: refused before any work."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import ConfigError


class Named(NamedTuple):
    """A file that an option or argument names."""

    option: str
    """As it is written on the command line."""
    path: Path | None
    """None if it was not given."""


def refuse_clashes(inputs: Iterable[Named], outputs: Iterable[Named]) -> None:
    """Refuse an output that is also an input, two outputs in one file, and stdin read twice.

    Raises:
        ConfigError: files clash, or an output is a folder.
    """
    read: dict[str, Named] = {}
    for named in inputs:
        key = _identify(named.path, is_output=False)
        if key == "stdin" and key in read:
            raise ConfigError(
                f"{named.option} {named.path}: {read[key].option} reads stdin as well, which gives "
                "its text only once; name a file for one of them"
            )
        if key is not None:
            read[key] = named
    written: dict[str, Named] = {}
    for named in outputs:
        if named.path is not None and named.path.is_dir():
            raise ConfigError(f"{named.option} {named.path}: is a folder; name a file in it")
        key = _identify(named.path, is_output=True)
        if key is None:
            continue
        for others, does in ((read, "is read"), (written, "is written")):
            if key in others:
                raise ConfigError(
                    f"{named.option} {named.path}: the same file {does} by "
                    f"{others[key].option}; name another"
                )
        written[key] = named


def _identify(path: Path | None, *, is_output: bool) -> str | None:
    """What tells a file from others, by whatever name it goes; None for devices such as null."""
    from s2s_cli.data.file_kinds import STDIN
    from s2s_cli.files import is_stdout

    if path is None:
        return None
    if is_output and is_stdout(path):
        return "stdout"
    if not is_output and (path == STDIN or str(path) in {"/dev/stdin", "/dev/fd/0"}):
        return "stdin"
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return None if stat.S_ISCHR(found.st_mode) else f"{found.st_dev}:{found.st_ino}"
