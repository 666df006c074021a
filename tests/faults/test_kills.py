"""Killed at any moment: the run resumes to the same weights, and repeats only a few updates."""

import itertools
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest
from calls import counted_in, killed_at
from job import (
    Setup,
    check,
    count_calls,
    debris,
    kill,
    live,
    train,
    train_with_log,
    undisturbed,
    wait,
)
from savers import PLANTED, Planted
from tally import IS_FULL, Tally, trials

from s2s_cli.storage import checksummed


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The final state of an undisturbed run."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Duration of an undisturbed run."""
    started = time.monotonic()
    assert wait(live(tmp_path_factory.mktemp("timed") / "run")) == 0
    return time.monotonic() - started


@pytest.fixture(scope="module")
def num_calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Number of calls of an undisturbed run that change the disk."""
    return count_calls(tmp_path_factory.mktemp("counted"))


@pytest.mark.fault("A1")
def test_killed_at_a_random_moment(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes], seconds: float
) -> None:
    draw = random.Random(1)
    for number in range(trials(10, 400)):
        folder = tmp_path / str(number)
        pid = live(folder)
        time.sleep(draw.uniform(0, seconds))
        kill(pid)
        wait(pid)
        with tally.trial(number):
            check(folder, reference)


@pytest.mark.fault("A2")
def test_killed_at_every_call_that_changes_the_disk(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes], num_calls: int
) -> None:
    assert num_calls > 100
    every = range(1, num_calls + 1)
    chosen = random.Random(2).sample(every, trials(15, num_calls))
    for number in chosen:
        folder = tmp_path / str(number)
        with tally.trial(number):
            assert wait(live(folder, killed_at(number))) == -9
            check(folder, reference)


def read_log(folder: Path) -> list[tuple[int, list[str]]]:
    """Read the step and the names of each line, in order."""
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [(line["step"], sorted(line)) for line in map(json.loads, lines)]


@pytest.mark.fault("A2")
def test_each_line_of_the_log_is_written_once_whenever_killed(tmp_path: Path, tally: Tally) -> None:
    undisturbed_run, calls = tmp_path / "undisturbed", tmp_path / "calls"
    assert wait(live(undisturbed_run, counted_in(calls), work=train_with_log)) == 0
    expected, num_calls = read_log(undisturbed_run), int(calls.read_text())
    averagings = [names for _, names in expected if "averaged_epochs" in names]
    assert len(averagings) == 1
    # All of the last calls are tried: they log and save the mean of the epochs.
    early = random.Random(6).sample(range(1, num_calls - 49), trials(2, num_calls - 50))
    for number in [*early, *range(num_calls - 49, num_calls + 1, 1 if IS_FULL else 8)]:
        folder = tmp_path / str(number)
        with tally.trial(number):
            assert wait(live(folder, killed_at(number), work=train_with_log)) == -9
            assert wait(live(folder, work=train_with_log)) == 0
            assert read_log(folder) == expected


@pytest.mark.fault("A3")
def test_killed_while_a_save_is_in_progress(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes]
) -> None:
    draw = random.Random(3)
    for number in range(trials(5, 100)):
        folder = tmp_path / str(number)
        pid = live(folder, killed_soon_after(draw.randrange(1, 25), draw.uniform(0, 0.004)))
        with tally.trial(number):
            assert wait(pid) == -9
            check(folder, reference)


def killed_soon_after(count: int, seconds: float) -> Setup:
    """Return a setup with a thread that kills its process while its n-th file is saved, or after.

    The thread knows when saving starts; a watching process would have to guess.
    """

    def kill_itself() -> None:
        time.sleep(seconds)
        kill(os.getpid())

    def setup() -> None:
        write, saved = checksummed.write_synced, itertools.count(1)

        def write_and_kill(path: Path, content: bytes) -> None:
            if next(saved) == count:
                threading.Thread(target=kill_itself).start()
            write(path, content)

        checksummed.write_synced = write_and_kill

    return setup


@pytest.mark.fault("A4")
def test_killed_several_times(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes], num_calls: int
) -> None:
    draw = random.Random(4)
    for number in range(trials(3, 100)):
        folder = tmp_path / str(number)
        for _ in range(3):
            wait(live(folder, killed_at(draw.randrange(1, num_calls // 2))))
        with tally.trial(number):
            check(folder, reference)


def catch(folder: Path, reference: dict[str, bytes], saver: Planted, numbers: list[int]) -> int:
    """Count the kills that reveal a broken saver."""

    def plant() -> None:
        saver.plant(pytest.MonkeyPatch())  # not undone, because the process ends here

    caught = 0
    for number in numbers:
        place, kill_it = folder / str(number), killed_at(number)
        wait(live(place, lambda kill_it=kill_it: (plant(), kill_it())))  # type: ignore[misc]
        try:
            check(place, reference, plant)
        except AssertionError:
            caught += 1
    return caught


@pytest.mark.fault("A13")
@pytest.mark.parametrize("name", [name for name, saver in PLANTED.items() if saver.shows_in_kills])
def test_kills_reveal_a_broken_saver(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes], num_calls: int, name: str
) -> None:
    draw = random.Random(5)
    numbers = sorted(draw.sample(range(num_calls // 8, num_calls // 2), trials(5, 25)))
    with tally.trial(name):
        assert catch(tmp_path, reference, PLANTED[name], numbers), f"{name} was not caught"


def test_an_undisturbed_run_leaves_no_debris(tmp_path: Path) -> None:
    train(tmp_path / "run")
    assert not debris(tmp_path / "run")
