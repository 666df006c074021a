"""The measurements: `.bench/results.jsonl`, one self-contained line per measurement.

A file holds one benchmark: the same work, source of `s2s`, machine and versions. Existing
measurements are not repeated, so that an interrupted benchmark can continue.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import DataError

Facts = dict[str, Any]
"""A JSON object."""


class Key(NamedTuple):
    """Identifies a measurement."""

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
        """Load existing measurements; `context` describes the benchmark, in every line."""
        self.path = path
        self.context = context
        self._known: set[Key] = set()
        if path.is_file():
            self._known = {key_of(line) for line in read_results(path)}
            content = path.read_bytes()
            with path.open("rb+") as file:  # drop an incomplete last line
                file.truncate(content.rfind(b"\n") + 1)

    def has(self, key: Key) -> bool:
        """Whether the measurement exists."""
        return key in self._known

    def add(self, key: Key, facts: Facts) -> None:
        """Append a measurement to the file."""
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
    """The complete lines of a file.

    Raises:
        DataError: there is no such file, or a line is not a measurement.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; `python -m benchmarks run` writes it") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
            key_of(found[-1])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}:{number}: not a measurement; remove that line") from error
    return found


def set_aside(path: Path, context: Facts, is_fresh: bool) -> Path | None:
    """Move the file if it is of another benchmark, or if everything is to be measured again."""
    if not path.is_file():
        return None
    others = [line for line in read_results(path) if line["identity"] != context["identity"]]
    if not others and not is_fresh:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))


def identify(files: Iterable[Path], *facts: object) -> str:
    """A hash of everything that must be equal for measurements to be comparable."""
    digest = sha256(repr(facts).encode())
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()
