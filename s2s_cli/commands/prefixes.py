"""How translations are to begin: `--prefix` and `--prefix-file`."""

from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import ConfigError, DataError


class Prefixes(NamedTuple):
    """A prefix for every line, or one for each."""

    text: str
    """For every line; empty for none."""
    lines: list[str] | None
    """One for each line, instead."""
    path: Path | None
    """The file of `lines`."""

    def of(self, first: int, count: int) -> list[str]:
        """The prefixes of some lines of the input, numbered from 0.

        Raises:
            DataError: there are more lines than prefixes.
        """
        if self.lines is None:
            return [self.text] * count
        if first + count > len(self.lines):
            raise DataError(
                f"{self.path}: has {len(self.lines)} lines, and the input has more; "
                "each line needs a prefix of its own, a blank one for none"
            )
        return self.lines[first : first + count]

    def check_used(self, count: int) -> None:
        """The input is at its end after `count` lines.

        Raises:
            DataError: there were fewer lines than prefixes.
        """
        if self.lines is not None and count < len(self.lines):
            raise DataError(
                f"{self.path}: has {len(self.lines)} lines, the input only {count}; "
                "each line needs a prefix of its own, and no more"
            )


def read_prefixes(text: str | None, path: Path | None) -> Prefixes:
    """What the two options mean.

    Raises:
        ConfigError: both are given.
        DataError: the file cannot be read.
    """
    from s2s_cli.data.lines import read_lines

    if text is not None and path is not None:
        raise ConfigError("--prefix: of no use with --prefix-file, which has one for each line")
    if text is not None and "\n" in text:
        raise ConfigError("--prefix: holds a line break; give one line")
    return Prefixes(text or "", None if path is None else read_lines(path), path)
