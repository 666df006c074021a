"""Messages, tables and progress on stderr; results on stdout."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from s2s_cli.errors import ReaderGoneError, S2SError

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


_IS_QUIET = ContextVar("_IS_QUIET", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing while the block runs: another process of the same job reports for all."""
    token = _IS_QUIET.set(True)
    try:
        yield
    finally:
        _IS_QUIET.reset(token)


class _StderrConsole(Console):
    """A console that fails if its reader goes away, because the work is unfinished."""

    def on_broken_pipe(self) -> None:
        raise S2SError("stderr: its reader has closed it; keep it open")


def make_console() -> Console:
    """Make a console on stderr that prints text unchanged: no markup, emoji codes or wrapping."""
    return _StderrConsole(
        stderr=True,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=True,
        quiet=_IS_QUIET.get(),
    )


_LIVE: list[Console] = []
"""The console of the progress bar that is visible, if one is: it prints messages above the bar."""


@contextmanager
def _live(progress: Progress) -> Iterator[Progress]:
    """Show a progress bar while the block runs; messages appear above it."""
    with progress:
        _LIVE.append(progress.console)
        try:
            yield progress
        finally:
            _LIVE.pop()


def _print(message: str | Text) -> None:
    """Print a message; on a terminal it is wrapped between words."""
    console = _LIVE[-1] if _LIVE and not _IS_QUIET.get() else make_console()
    console.print(message, soft_wrap=not console.is_terminal)


def say(message: str) -> None:
    """Print a message on stderr, with control characters made visible."""
    _print(printable(message))


def warn(message: str) -> None:
    """Print a warning: something was assumed, or may be wrong."""
    _print(Text.assemble(("warning: ", "yellow"), printable(message)))


_WARNED: set[str] = set()


def warn_once(message: str) -> None:
    """Print a warning only once, although every reading of a file finds its cause."""
    if message not in _WARNED:
        _WARNED.add(message)
        warn(message)


PLAIN_SECONDS = 30.0
"""Shortest time between two progress lines where stderr is not a terminal."""


class Pace:
    """Limits how often progress lines appear where stderr is not a terminal."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def is_due(self) -> bool:
        """Whether enough time has passed since this was last true."""
        now = time.monotonic()
        if now - self._shown <= PLAIN_SECONDS:
            return False
        self._shown = now
        return True


def printable(text: str) -> str:
    """Show control characters and changes of writing direction as escapes."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stderr; columns of text are folded in a narrow terminal, numbers never."""
    say(title)
    table = Table()
    for index, column in enumerate(columns):
        is_text = index > 0 and max(len(row[index]) for row in rows) > 12
        table.add_column(
            column,
            justify="left" if is_text or not index else "right",
            no_wrap=not is_text,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = make_console()
    console.width = max(console.width, 72) if console.is_terminal else 200
    console.print(table, soft_wrap=False)


def is_terminal() -> bool:
    """Whether stderr is a terminal that this process may use."""
    return sys.stderr.isatty() and make_console().is_terminal and not _IS_QUIET.get()


def is_stdout_terminal() -> bool:
    """Whether results would appear between the messages for people."""
    return sys.stdout.isatty()


def write_result(text: str) -> None:
    """Write a line to stdout."""
    write_stdout(f"{text}\n")


def write_stdout(text: str) -> None:
    """Write text to stdout immediately, in UTF-8 whatever the locale.

    Raises:
        ReaderGoneError: the reader of stdout has closed it.
        OSError: stdout cannot be written; the error names it.
    """
    with _named_stdout():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()


def flush_stdout() -> None:
    """Write what stdout still buffers, while an error can still be reported.

    Raises:
        ReaderGoneError: the reader of stdout has closed it.
        OSError: stdout cannot be written; the error names it.
    """
    with _named_stdout():
        sys.stdout.flush()


@contextmanager
def _named_stdout() -> Iterator[None]:
    """Name stdout in errors of writing to it, and drop what the interpreter would still write."""
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError("the reader of stdout has closed it") from error
        raise OSError(error.errno, error.strerror, "stdout") from error


class TrainingBar:
    """The progress bar of a training: share of the epoch, loss, speed, time left, best BLEU."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, status="")

    def start(self, label: str, total: int, done: int) -> None:
        """Start an epoch of `total` updates, `done` of which are already done."""
        self._progress.reset(self._task, description=label, total=total, completed=done)

    def advance(self, done: int, status: str) -> None:
        """Show the progress of the epoch."""
        self._progress.update(self._task, completed=done, status=status)

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        say(message)


@contextmanager
def training_bar() -> Iterator[TrainingBar]:
    """Show a progress bar while the block runs; for terminals only."""
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        TimeRemainingColumn(compact=True),
    ]
    with _live(Progress(*columns, console=make_console(), transient=True)) as progress:
        yield TrainingBar(progress)


ProgressCallback = Callable[[str, int, int | None], None]
"""Reports progress: the stage, the units done, and the total if it is known."""


@contextmanager
def counting(unit: str) -> Iterator[ProgressCallback]:
    """Show progress in a unit such as `pairs`: a bar on a terminal, else occasional lines."""
    if is_terminal():
        with _counting_bar(unit) as report:
            yield report
        return
    pace = Pace()

    def print_sometimes(stage: str, done: int, total: int | None) -> None:
        if pace.is_due():
            say(f"{stage}: {done:,}{f' of {total:,}' if total else ''} {unit}")

    yield print_sometimes


@contextmanager
def _counting_bar(unit: str) -> Iterator[ProgressCallback]:
    """A progress bar that is visible while a stage is in progress."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn(f"{{task.completed:,}} {unit}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    stages: dict[str, TaskID] = {}
    with _live(Progress(*columns, console=make_console(), transient=True)) as progress:

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in stages:
                for task in stages.values():
                    progress.remove_task(task)
                stages.clear()
                stages[stage] = progress.add_task(stage, total=total)
            progress.update(stages[stage], completed=done)
            if done == total:
                progress.remove_task(stages.pop(stage))

        yield report
