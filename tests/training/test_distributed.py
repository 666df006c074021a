"""Two real processes, started once by torchrun; each test checks one of their results."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from jobs import CONFIG, finish, make_trainer, weights_of
from safetensors.torch import load_file
from two_ranks import CASES, PAIRS, WHOLE, fit_case

from s2s_cli.checkpoint import load_training_state
from s2s_cli.config import Config, Training
from s2s_cli.data.batching import collate
from s2s_cli.errors import ConfigError
from s2s_cli.parallel import SINGLE_PROCESS, Ranks, current_ranks
from s2s_cli.run import RunFolder
from s2s_cli.training.loop import Position, share_batch
from s2s_cli.training.resume import allow_other_ranks, check_same_on_all_ranks, describe_other_ranks

SCRIPT = Path(__file__).with_name("two_ranks.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the output of the two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    audited = os.environ["PYTHONPATH"]
    paths = os.pathsep.join(map(str, (audited, SCRIPT.parents[2], SCRIPT.parents[1])))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [*TORCHRUN, SCRIPT, folder]
    found = subprocess.run(command, env=environment, capture_output=True, timeout=200, check=False)
    assert found.returncode == 0, found.stderr.decode()
    return folder


def read(path: Path) -> object:
    return json.loads(path.read_bytes())


def test_collectives_return_the_same_on_all_ranks(done: Path) -> None:
    sent = {"says": "process 0", "score": 1 / 3}
    for rank in (0, 1):
        found = read(done / f"talk-{rank}.json")
        assert found == {"sum": 3, "max": 0, "broadcast": sent, "gathered": ["", "xxx"]}


def test_a_single_process_needs_no_collectives() -> None:
    assert current_ranks() == SINGLE_PROCESS
    assert (SINGLE_PROCESS.sum(2), SINGLE_PROCESS.max(3), SINGLE_PROCESS.gather(b"x")) == (
        2,
        3,
        [b"x"],
    )
    assert SINGLE_PROCESS.broadcast(lambda: (1, "a")) == (1, "a")


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_like_one_with_a_doubled_batch(done: Path, name: str) -> None:
    torch.manual_seed(1)
    expected, weights = fit_case(name)
    found = read(done / f"{name}-0.json")
    assert isinstance(found, list)
    assert len(found) == len(expected)
    for (loss, *counts), (expected_loss, *expected_counts) in zip(found, expected, strict=True):
        assert counts == expected_counts
        assert loss / counts[0] == pytest.approx(expected_loss / counts[0], abs=1e-6)
    together = load_file(done / f"{name}-0.safetensors")
    for key, tensor in weights.items():
        torch.testing.assert_close(together[key], tensor, rtol=0, atol=1e-6)
    assert {*together} == {*weights}
    assert (
        expected[-1][0] / expected[-1][1] < 0.95 * expected[0][0] / expected[0][1]
    )  # the loss decreases


@pytest.mark.parametrize("name", CASES)
def test_both_processes_have_the_same_weights(done: Path, name: str) -> None:
    one, other = (load_file(done / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
    assert read(done / f"{name}-0.json") == read(done / f"{name}-1.json")


def test_the_last_batch_of_an_epoch_may_leave_a_process_without_pairs() -> None:
    assert len(PAIRS) % WHOLE["batch_size"] == 1
    parts = [share_batch([5], PAIRS, Ranks(rank, 2)) for rank in (0, 1)]
    assert [part.num_tokens for part in parts] == [len(PAIRS[5][1]) + 1, 0]
    assert torch.equal(parts[0].tgt_out, parts[1].tgt_out)


def test_the_parts_of_a_batch_make_up_the_batch_and_have_similar_lengths() -> None:
    indices = sorted(range(30), key=lambda i: len(PAIRS[i][1]))
    parts = [share_batch(indices, PAIRS, Ranks(rank, 4)) for rank in range(4)]
    assert sum(part.num_tokens for part in parts) == collate(PAIRS[:30]).num_tokens
    assert sorted(len(part.src) for part in parts) == [7, 7, 8, 8]
    assert {part.tgt_in.size(1) for part in parts} == {1 + 5}


def test_stopping_and_resuming_equals_never_having_stopped(done: Path) -> None:
    one, other = RunFolder(done / "whole"), RunFolder(done / "halved")
    for first, second in zip(one.checkpoints(), other.checkpoints(), strict=True):
        for name in ("model.safetensors", "training.safetensors"):
            assert (first / name).read_bytes() == (second / name).read_bytes()
    assert weights_of(one.model_path) == weights_of(other.model_path)
    assert read(done / "whole-0.json") == read(done / "halved-0.json")


def test_every_process_has_the_same_record(done: Path) -> None:
    for run in ("whole", "halved"):
        assert read(done / f"{run}-0.json") == read(done / f"{run}-1.json")


@pytest.mark.fault("E1")
def test_a_loss_that_is_not_finite_in_one_process_is_skipped_by_all(done: Path) -> None:
    found = read(done / "spoiled-0.json")
    assert isinstance(found, list)
    *updates, end = found
    assert updates == [[1, True], [2, True], [3, False], [4, False], [5, False]]
    assert "is not finite in 3 updates of epoch 1" in end
    assert read(done / "spoiled-1.json") == found
    one, other = (load_file(done / f"spoiled-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
    assert all(tensor.isfinite().all() for tensor in one.values())


def test_every_rank_draws_its_own_random_numbers(done: Path) -> None:
    draws = [read(done / f"draws-{rank}.json") for rank in (0, 1)]
    assert draws[0] != draws[1]
    state = load_training_state(RunFolder(done / "whole").checkpoints()[0]).tensors
    assert not torch.equal(state["random.cpu"], state["rank-1.random.cpu"])


def test_one_process_resumes_a_run_of_two(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "stopped", tmp_path / "run")
    config = CONFIG.model_copy(update={"batch_size": 8})  # like two processes with batches of 4
    trainer = make_trainer(tmp_path / "run", config)
    assert trainer.record.position == Position(1, 3, 10)
    assert [validation.step for validation in finish(trainer)] == [14, 21]


def test_with_another_batch_size_the_epoch_starts_again(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "stopped", tmp_path / "run")
    config = CONFIG.model_copy(update={"batch_size": 4})
    trainer = make_trainer(tmp_path / "run", config)
    assert trainer.record.position == Position(1, 0, 10)
    assert (trainer.record.epoch_loss, trainer.record.epoch_tokens) == (0, 0)
    assert [validation.step for validation in finish(trainer)] == [10 + 13, 10 + 26]


def test_another_number_of_processes_is_reported_and_may_share_the_batch(
    done: Path,
) -> None:
    state = load_training_state(RunFolder(done / "stopped").checkpoints()[0])
    former, present = (Config(training=Training(batch_size=size)) for size in (4, 8))
    assert allow_other_ranks(former, present, state, SINGLE_PROCESS) == present
    assert allow_other_ranks(former, present, state, Ranks(0, 3)) == former
    assert describe_other_ranks(state, former, Ranks(0, 2)) is None
    described = describe_other_ranks(state, present, SINGLE_PROCESS)
    assert described == (
        "trained by 2 processes, continued by 1 with the same global batch size; the weights will "
        "not be the same bytes"
    )
    described = describe_other_ranks(state, former, Ranks(0, 3))
    assert described is not None
    assert described.endswith("batches of 12 sentences in total, not 8: the epoch starts again")


def test_processes_with_different_data_are_refused(tmp_path: Path) -> None:
    class Second(Ranks):
        """The second of two processes; the first has read other text."""

        def broadcast(self, compute: Callable[[], object]) -> object:
            found = compute()
            return {**found, "text": "other"} if "text" in found else found  # type: ignore[dict-item]

    trainer = make_trainer(tmp_path, CONFIG)
    check_same_on_all_ranks(trainer)
    trainer.ranks = Second(1, 2)
    with pytest.raises(
        ConfigError, match=r"process 1: differs from the first process \(text other -> \w+\)"
    ):
        check_same_on_all_ranks(trainer)
