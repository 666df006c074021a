"""A process measured from outside: time, memory, and when each line of its log came.

Its log is looked at, and its memory taken, many times a second; that costs some thousandths of a
core, the same for every system.
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.environments import BENCH
from benchmarks.errors import RunError
from benchmarks.machine import busy_seconds, load_average
from benchmarks.systems.tool import Command, Line
from s2s_cli.storage.atomic import write_file

LOOK_SECONDS = 0.02
MEMORY_SECONDS = 0.5


class Measured(NamedTuple):
    """What a process took."""

    wall_seconds: float
    cpu_seconds: float
    """Of it and of its children."""
    peak_mb: float
    """Most memory that it and its children held at once, shared pages counted once (10^6 bytes).
    Children are looked at twice a second; a process alone is known exactly."""
    others_cores: float | None
    """Cores that other processes of the machine kept busy meanwhile; None if it does not tell."""
    load_before: float
    """Load average of the last minute before it began."""
    lines: list[Line]
    """Of the watched log, stamped with seconds since the start."""


def run(
    command: Command, log: Path, environment: dict[str, str], ends: Callable[[str], bool] | None
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: what is run.
        log: gets what it says.
        environment: the variables that it gets, all of them.
        ends: asked for each line of the watched log whether the process should be stopped now, by
            SIGTERM; None lets it end by itself.

    Raises:
        RunError: it failed, and nobody had asked it to stop.
    """
    for path, text in command.files.items():
        write_file(path, text)
    log.parent.mkdir(parents=True, exist_ok=True)
    busy, load = busy_seconds(), load_average()
    with contextlib.ExitStack() as stack:
        said = stack.enter_context(log.open("wb"))
        stdin = stack.enter_context(command.stdin.open("rb")) if command.stdin else None
        stdout = stack.enter_context(command.stdout.open("wb")) if command.stdout else said
        started = time.perf_counter()
        process = subprocess.Popen(
            command.arguments,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout,
            stderr=said,
            env=environment | command.environment,
            cwd=BENCH,
            start_new_session=True,
        )
        watch = Watch(process.pid, started, command.watched or log, ends)
        with _killed_with_us(process):
            status, usage = watch.until_exit()
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = watch.ended - started
    if process.returncode and not watch.was_stopped:
        raise RunError(
            f"{' '.join(command.arguments[:4])} …: exit status {process.returncode}; {log} has "
            "what it said"
        )
    cpu = usage.ru_utime + usage.ru_stime
    busy_now = busy_seconds()
    others = None
    if busy is not None and busy_now is not None:
        others = max(0.0, (busy_now - busy - cpu) / wall)
    peak = max(watch.peak_bytes, exact_peak(usage.ru_maxrss))
    return Measured(wall, cpu, peak / 1e6, others, load, watch.lines)


def exact_peak(peak: int) -> int:
    """Bytes of the peak that the system tells when a process has ended; 0 if it is not its own.

    A process inherits the peak of the one that started it: ours, where its own is less.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return 0 if peak <= own else peak * (1 if sys.platform == "darwin" else 1024)


class Watch:
    """A process being watched until it ends."""

    def __init__(
        self, pid: int, started: float, watched: Path, ends: Callable[[str], bool] | None
    ) -> None:
        self.pid = pid
        self.started = started
        self.ended = started
        self.peak_bytes = 0
        self.lines: list[Line] = []
        self.was_stopped = False
        self._tail = Tail(watched)
        self._ends = ends

    def until_exit(self) -> tuple[int, "os.struct_rusage"]:  # type: ignore[name-defined]
        """Look until it has ended; its status and what it used."""
        handle = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        next_memory = 0.0
        try:
            while True:
                if handle is None:
                    time.sleep(LOOK_SECONDS / 10)
                else:
                    select.select([handle], [], [], LOOK_SECONDS)
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
                self.ended = time.perf_counter()
                self._read(is_alive=not pid)
                if pid:
                    return status, usage
                if self.ended >= next_memory:
                    self.peak_bytes = max(self.peak_bytes, memory_of_tree(self.pid))
                    next_memory = self.ended + MEMORY_SECONDS
        finally:
            if handle is not None:
                os.close(handle)

    def _read(self, *, is_alive: bool) -> None:
        for text in self._tail.read():
            self.lines.append(Line(self.ended - self.started, text))
            if self._ends is None or self.was_stopped or not is_alive or not self._ends(text):
                continue
            self.was_stopped = True
            os.kill(self.pid, signal.SIGTERM)


class Tail:
    """Lines of a growing file, each handed out once and whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> list[str]:
        """The lines that are new; none while the file is not there yet."""
        if self._file is None:
            if not self._path.is_file():
                return []
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


@contextlib.contextmanager
def _killed_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """No process stays behind when the harness is interrupted."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def memory_of_tree(pid: int) -> int:
    """Bytes that a process and its children hold; 0 where the system does not tell.

    One process: the most that it has held so far. Several: the share of each now, so that a page
    that forked processes have in common is counted once.
    """
    pids = list(family(pid))
    if len(pids) == 1:
        return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024
    return sum(_kilobytes(Path(f"/proc/{one}/smaps_rollup"), "Pss:") for one in pids) * 1024


def family(pid: int) -> Iterator[int]:
    """A process, its children, and theirs."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text(encoding="ascii").split():
                yield from family(int(child))


def _kilobytes(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith(name):
                return int(line.split()[1])
    return 0
