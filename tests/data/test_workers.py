import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from s2s_cli.data.workers import LOCAL_CHUNKS, QUEUED_CHUNKS, WorkerTask, map_in_order
from s2s_cli.errors import DataError


def make_times(factor: int, wrong: int | None = None) -> Callable[[int], tuple[int, int]]:
    def times(number: int) -> tuple[int, int]:
        if number == wrong:
            raise DataError(f"{number} is wrong")
        return number * factor, os.getpid()

    return times


def make_dying(parent: int) -> Callable[[int], int]:
    def die(number: int) -> int:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return die


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_with_any_number_of_processes(workers: int) -> None:
    found = list(map_in_order(WorkerTask(make_times, (3,)), range(30), workers))
    assert [number for number, _ in found] == [3 * number for number in range(30)]
    here = [pid == os.getpid() for _, pid in found]
    assert all(here[:LOCAL_CHUNKS])
    assert any(here[LOCAL_CHUNKS:]) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_are_taken_only_when_the_queue_has_room(workers: int) -> None:
    taken = 0

    def chunks() -> Iterator[int]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield number

    for given_out, _ in enumerate(map_in_order(WorkerTask(make_times, (1,)), chunks(), workers), 1):
        assert taken - given_out <= (QUEUED_CHUNKS * workers if given_out >= LOCAL_CHUNKS else 0)


def test_an_error_in_a_worker_is_raised_in_the_main_process() -> None:
    with pytest.raises(DataError, match="25 is wrong"):
        list(map_in_order(WorkerTask(make_times, (1, 25)), range(40), 2))


@pytest.mark.fault("E4")
def test_a_killed_worker_is_an_error() -> None:
    with pytest.raises(DataError, match=r"ended unexpectedly, .* use --workers 1"):
        list(map_in_order(WorkerTask(make_dying, (os.getpid(),)), range(40), 2))


INTERRUPTED = """
import signal, sys, time
sys.path[:0] = {path!r}
from s2s_cli.data.workers import WorkerTask, map_in_order

def make_slow():
    time.sleep(0.3)
    def work(number):
        time.sleep(0.05)
        return number
    return work

if __name__ == "__main__":
    try:
        print("started", flush=True)
        for _ in map_in_order(WorkerTask(make_slow, ()), range(10_000), 2):
            pass
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", flush=True)
"""


@pytest.mark.fault("E4")
@pytest.mark.parametrize("delay", [0.9, 1.0, 1.2, 1.6, 2.5])
def test_interrupts_at_any_time_end_all_processes_quietly(tmp_path: Path, delay: float) -> None:
    (tmp_path / "job.py").write_text(INTERRUPTED.format(path=sys.path))
    job = subprocess.Popen(
        [sys.executable, "job.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "started\n"
    time.sleep(delay)
    for _ in range(3):  # Ctrl-C reaches all processes of the terminal
        os.killpg(job.pid, signal.SIGINT)
        time.sleep(0.1)
    out, err = job.communicate(timeout=60)  # waits for the workers too: they share the pipes
    assert (out, err) == ("interrupted\n", "")
