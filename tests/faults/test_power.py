"""Power loss at any call: there is a complete checkpoint, not older than the last one saved."""

import random
import re
from pathlib import Path

import pytest
from job import train
from power import Recorder, power_lost, recorded, write_tree
from savers import PLANTED, Planted
from tally import Tally, trials

from s2s_cli.checkpoint import load_model
from s2s_cli.errors import S2SError
from s2s_cli.run import RunFolder
from s2s_cli.training.resume import find_resumable


def record(folder: Path, saver: Planted | None = None) -> Recorder:
    """A recording of an undisturbed run."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        if saver is not None:
            saver.plant(patch)
        with recorded(folder) as found:
            train(folder)
    return found


def check_after_loss(found: Recorder, number: int, draw: random.Random, folder: Path) -> None:
    """Check a run after a loss of power at a number of calls.

    Raises:
        AssertionError: it does not.
    """
    steps = found.steps[:number]
    write_tree(power_lost(steps, draw), found.folder, folder)
    saved = [step.path for step in steps if step.kind == "saved"]
    checkpoints = [path for path in saved if path.name.startswith("step-")]
    run = RunFolder(folder)
    try:
        run.repair()
        resumable = find_resumable(run, [])
        if checkpoints:
            assert resumable is not None, "no checkpoint is left"
            assert resumable.loaded.card.step >= step_of(checkpoints[-1]), "an older one"
        if any(path.name == "model" for path in saved):
            load_model(run.model_path)
    except (S2SError, OSError) as error:
        raise AssertionError(str(error)) from error


def step_of(path: Path) -> int:
    """Return the update at which a checkpoint was saved."""
    return int(re.sub(r"\D", "", path.name))


@pytest.mark.fault("A5")
def test_power_is_lost(tmp_path: Path, tally: Tally) -> None:
    found, draw = record(tmp_path / "run"), random.Random(1)
    assert sum(step.kind == "saved" for step in found.steps) > 8
    for number in range(trials(60, 1000)):
        after = draw.randrange(1, len(found.steps) + 1)
        with tally.trial(f"after call {after}: {found.steps[after - 1]}"):
            check_after_loss(found, after, draw, tmp_path / str(number))


@pytest.mark.fault("A13")
@pytest.mark.parametrize("name", ["in place", "rename before sync", "no manifest"])
def test_power_loss_reveals_a_broken_saver(tmp_path: Path, tally: Tally, name: str) -> None:
    found, draw, caught = record(tmp_path / "run", PLANTED[name]), random.Random(2), 0
    for number in range(trials(30, 200)):
        try:
            after = draw.randrange(1, len(found.steps) + 1)
            check_after_loss(found, after, draw, tmp_path / str(number))
        except AssertionError:
            caught += 1
    with tally.trial(name):
        assert caught, f"{name} was not caught"
