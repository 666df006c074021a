"""What the harness knows of a tool: its commands, and how its log is read.

Speed of training follows one rule for all. The harness stamps each line of a tool's log with its
own clock when the line arrives. Some lines report progress: so many updates are done. Between the
report of update `first` and that of update `last` there is no validation and nothing is saved; the
target tokens between the two, as the tool counts them (real ones, the end of the sentence
included, no padding), over the seconds between the two arrivals, is the speed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.work import Work


class Line(NamedTuple):
    """A line of a log and when it came."""

    seconds: float
    text: str


class Report(NamedTuple):
    """What a tool said of its progress."""

    seconds: float
    """When it said so, by the harness's clock."""
    step: int
    """Updates done since the start."""
    tokens: float
    """Target tokens since the report before."""


class Command(NamedTuple):
    """A process to be run."""

    arguments: list[str]
    environment: dict[str, str] = {}  # noqa: RUF012 (never changed, only replaced)
    """Variables beside those of the harness."""
    files: dict[Path, str] = {}  # noqa: RUF012 (never changed, only replaced)
    """Files that it needs, written before the clock runs."""
    stdin: Path | None = None
    stdout: Path | None = None
    """Where standard output goes; None is the log."""
    watched: Path | None = None
    """The file that reports progress; None is the log."""


class Training(NamedTuple):
    """A training to be run."""

    work: Work
    folder: Path
    """An empty folder of its own."""
    updates: int
    options: tuple[str, ...] = ()
    """Further options of the tool's command."""


class Translation(NamedTuple):
    """A translation to be run."""

    work: Work
    model: Path
    """The folder of the training that made the model."""
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
    """Whether it ends after a number of updates; if not it is asked to stop by SIGTERM."""


class Speed(NamedTuple):
    """What was done between two reports."""

    tokens: float
    seconds: float


def speed_between(reports: Sequence[Report], first: int, last: int) -> Speed | None:
    """What was done after update `first` and up to `last`; None if either was not reported."""
    found = {report.step: report for report in reports}
    if first not in found or last not in found:
        return None
    tokens = sum(report.tokens for report in reports if first < report.step <= last)
    return Speed(tokens, found[last].seconds - found[first].seconds)
