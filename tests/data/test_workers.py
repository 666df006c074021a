import os
import signal
from collections.abc import Callable, Iterator

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
