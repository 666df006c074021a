"""What was measured: `.bench/results.jsonl`, one line a measurement, each complete in itself.

A file holds one benchmark: the same work, source of `s2s`, machine and versions. Measurements that
are there already are not made again, so that an interrupted benchmark goes on where it stopped.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import DataError

Facts = dict[str, Any]
"""As JSON."""


class Key(NamedTuple):
    """Which measurement it is."""

    kind: str
    """`products`, `train`, `model`, `translate` or `help`."""
    system: str
    repetition: int
    search: str = ""
    """Of a translation: `greedy` or `beam5`."""
    part: str = ""
    """Of a translation: `all` of the test sentences, or `one`."""


class Results:
    """The measurements of one benchmark."""

    def __init__(self, path: Path, context: Facts) -> None:
        """Take up what is there; `context` says what the benchmark is, and goes into each line."""
        self.path = path
        self.context = context
        self._known: set[Key] = set()
        if path.is_file():
            self._known = {key_of(line) for line in read_results(path)}
            content = path.read_bytes()
            with path.open("rb+") as file:  # a line that was cut short is not gone on with
                file.truncate(content.rfind(b"\n") + 1)

    def has(self, key: Key) -> bool:
        """Whether it was measured already."""
        return key in self._known

    def add(self, key: Key, facts: Facts) -> None:
        """Write a measurement down, at once."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        line = {"date": now, **key._asdict(), **facts, **self.context}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._known.add(key)


def key_of(line: Facts) -> Key:
    """The key of a line."""
    return Key(*(line[field] for field in Key._fields))


def read_results(path: Path) -> list[Facts]:
    """The lines of a file; one that an interruption cut short is left out.

    Raises:
        DataError: there is no such file, or a line is not one of ours.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there; `python -m benchmarks run` writes it") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
            key_of(found[-1])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: not a measurement; remove that line") from error
    return found


def set_aside(path: Path, context: Facts, is_fresh: bool) -> Path | None:
    """Move the file away if it is of another benchmark, or if all is to be measured anew."""
    if not path.is_file():
        return None
    others = [line for line in read_results(path) if line["identity"] != context["identity"]]
    if not others and not is_fresh:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))


def identify(files: Iterable[Path], *facts: object) -> str:
    """A hash of all that makes measurements comparable, files by their content."""
    digest = sha256(repr(facts).encode())
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
