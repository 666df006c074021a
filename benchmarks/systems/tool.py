"""The interface of a tool for the harness: its commands, and how its log is read.

The speed of training is measured in the same way for all tools. The harness records when each line
of a tool's log arrives. Some lines report the number of updates done. Between the report of update
`first` and that of update `last` the tool neither validates nor saves. The speed is the number of
target tokens between the two reports, as the tool counts them (with the end of the sentence, but
without padding), divided by the seconds between their arrivals.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.work import Work


class Line(NamedTuple):
    """A line of a log, and when it arrived."""

    seconds: float
    text: str


class Report(NamedTuple):
    """A progress report of a tool."""

    seconds: float
    """When it arrived, by the clock of the harness."""
    step: int
    """Updates done since the start."""
    tokens: float
    """Target tokens since the previous report."""


class Command(NamedTuple):
    """A process to run."""

    arguments: list[str]
    environment: dict[str, str] = {}  # noqa: RUF012 (never changed, only replaced)
    """Environment variables in addition to those of the harness."""
    files: dict[Path, str] = {}  # noqa: RUF012 (never changed, only replaced)
    """Files that it needs, written before the timing starts."""
    stdin: Path | None = None
    stdout: Path | None = None
    """File of the standard output; None means the log."""
    watched: Path | None = None
    """The file of progress reports; None means the log."""


class Training(NamedTuple):
    """A training to run."""

    work: Work
    folder: Path
    """An empty folder for the training."""
    updates: int
    options: tuple[str, ...] = ()
    """Additional options of the command."""


class Translation(NamedTuple):
    """A translation to run."""

    work: Work
    model: Path
    """The folder of the training of the model."""
    source: Path
    output: Path
    beam_size: int
    options: tuple[str, ...] = ()


class Tool(NamedTuple):
    """A tool that trains and translates."""

    name: str
    title: str
    """Its name in a table."""
    train: Callable[[Training], Command]
    translate: Callable[[Translation], Command]
    help: Command
    read_reports: Callable[[Sequence[Line]], list[Report]]
    stops_by_itself: bool
    """Whether it ends after a number of updates; otherwise SIGTERM stops it."""


class Speed(NamedTuple):
    """The progress between two reports."""

    tokens: float
    seconds: float


def speed_between(reports: Sequence[Report], first: int, last: int) -> Speed | None:
    """The progress from update `first` to `last`; None if either was not reported."""
    found = {report.step: report for report in reports}
    if first not in found or last not in found:
        return None
    tokens = sum(report.tokens for report in reports if first < report.step <= last)
    return Speed(tokens, found[last].seconds - found[first].seconds)
