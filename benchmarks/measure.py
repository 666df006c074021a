"""Measure a process from outside: time, memory, and the arrival of each line of its log.

The harness reads the log and the memory of the process many times a second. This costs some
thousandths of a core, the same for every system.
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
    """The cost of a process."""

    wall_seconds: float
    cpu_seconds: float
    """Of the process and its children."""
    peak_mb: float
    """Peak memory of the process and its children, shared pages counted once (10^6 bytes). With
    children it is sampled twice a second; for a process without children it is exact."""
    others_cores: float | None
    """Cores that other processes used in that time; None if unknown."""
    load_before: float
    """Load average of the last minute before it started."""
    lines: list[Line]
    """Of the watched log, with seconds since the start."""


def run(
    command: Command, log: Path, environment: dict[str, str], ends: Callable[[str], bool] | None
) -> Measured:
    """Run a command to its end and measure it.

    Args:
        command: the command to run.
        log: receives its output.
        environment: all its environment variables.
        ends: given a line of the watched log, says whether to stop the process now, by SIGTERM;
            None lets it end by itself.

    Raises:
        RunError: the command failed before it was stopped.
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
            "its output"
        )
    cpu = usage.ru_utime + usage.ru_stime
    busy_now = busy_seconds()
    others = None
    if busy is not None and busy_now is not None:
        others = max(0.0, (busy_now - busy - cpu) / wall)
    peak = max(watch.peak_bytes, exact_peak(usage.ru_maxrss))
    return Measured(wall, cpu, peak / 1e6, others, load, watch.lines)


def exact_peak(peak: int) -> int:
    """Peak memory in bytes that the system reports for an ended process; 0 if it is unreliable.

    A process inherits the peak of its parent, so a peak that is not above ours may be ours.
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
        """Watch until the process has ended; returns its status and resource usage."""
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
    """Complete lines of a growing file, each returned once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def read(self) -> list[str]:
        """The new lines; none while the file does not exist."""
        if self._file is None:
            if not self._path.is_file():
                return []
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


@contextlib.contextmanager
def _killed_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kill the process if the harness is interrupted."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def memory_of_tree(pid: int) -> int:
    """Memory of a process and its children in bytes; 0 if unknown.

    For one process it is the peak so far. For several it is the sum of their present proportional
    shares, so that a page that forked processes share is counted once.
    """
    pids = list(family(pid))
    if len(pids) == 1:
        return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024
    return sum(_kilobytes(Path(f"/proc/{one}/smaps_rollup"), "Pss:") for one in pids) * 1024


def family(pid: int) -> Iterator[int]:
    """The ids of a process and all its descendants."""
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
