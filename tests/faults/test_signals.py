"""Signals: one stops cleanly, two stop immediately, and the run resumes to the same weights."""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from calls import interrupted_at, killed_at
from forked import s2s, signalled, start, when_logged
from shell import tiny_train
from tally import Tally, trials

from s2s_cli.checkpoint import load_model
from s2s_cli.run import RunFolder

TRAIN = [
    *tiny_train("--run", "r", "--epochs", 3),
    *("--set", "training.patience=99", "--set", "training.save_every=2"),
]


def final_weights(folder: Path) -> list[bytes]:
    """Read the weights of the model and of the newest checkpoint."""
    run = RunFolder(folder / "r")
    places = run.model_path, run.checkpoints()[0]
    return [(place / "model.safetensors").read_bytes() for place in places]


@pytest.fixture
def reference(texts: Path) -> list[bytes]:
    """The weights of an undisturbed run, whose folder is removed again."""
    done = s2s(*TRAIN, cwd=texts)
    assert done.status == 0, done.stderr
    weights = final_weights(texts)
    shutil.rmtree(texts / "r")
    return weights


LOGGED = [*TRAIN, "--set", "training.log_every=1"]


def check_resumes(texts: Path, reference: list[bytes]) -> None:
    """Run the same command again, and check that it ends with the same weights."""
    done = s2s(*LOGGED, cwd=texts)
    assert done.status == 0, done.stderr
    assert final_weights(texts) == reference, "other weights"
    assert not list((texts / "r").rglob(".*")), "debris"
    shutil.rmtree(texts / "r")


def stop(texts: Path, number: signal.Signals, updates: int, reference: list[bytes]) -> None:
    """Stop a training by a signal, and check its exit and that it can be resumed."""
    done = s2s(*LOGGED, cwd=texts, setup=signalled(updates, number))
    assert done.status == 128 + number, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("everything is saved; run the same command again to continue") == 1
    check_resumes(texts, reference)


@pytest.mark.fault("A6")
def test_sigterm_stops_after_the_update(texts: Path, tally: Tally, reference: list[bytes]) -> None:
    draw = random.Random(1)
    for number in range(trials(2, 20)):
        with tally.trial(number):
            stop(texts, signal.SIGTERM, draw.randrange(1, 9), reference)


@pytest.mark.fault("A8")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_signals_of_slurm_and_of_a_lost_terminal_stop_too(
    texts: Path, tally: Tally, reference: list[bytes], number: signal.Signals
) -> None:
    with tally.trial(number.name):
        stop(texts, number, 4, reference)


@pytest.mark.fault("A8")
def test_under_nohup_a_lost_terminal_has_no_effect(texts: Path, tally: Tally) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def setup() -> None:
        ignore()
        signalled(1, signal.SIGHUP)()

    with tally.trial():
        assert s2s(*LOGGED, cwd=texts, setup=setup).status == 0


@pytest.mark.fault("A7")
def test_ctrl_c_stops_after_the_update(texts: Path, tally: Tally, reference: list[bytes]) -> None:
    with tally.trial():
        stop(texts, signal.SIGINT, 3, reference)


@pytest.mark.fault("A7")
def test_ctrl_c_twice_stops_immediately(texts: Path, tally: Tally, reference: list[bytes]) -> None:
    draw = random.Random(2)
    for number in range(trials(1, 10)):
        updates, calls = draw.randrange(1, 9), draw.randrange(1, 20)

        def interrupt(calls: int = calls) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            interrupted_at(calls)()  # while it saves

        done = s2s(*LOGGED, cwd=texts, setup=when_logged(updates, interrupt))
        with tally.trial(number):
            assert done.status in {1, 130}, done.stderr
            assert (texts / "r/train.jsonl").read_bytes().count(b"\n") <= updates + 1
            check_resumes(texts, reference)


OUTPUTS = {
    "vocab build": (["vocab", "build", *TRAIN[1:9], "--run", "r"], ["r/vocab"]),
    "translate -o": (["translate", "-m", "r", "my.zh", "-o", "out.txt"], ["out.txt"]),
    "eval": (
        ["eval", "-m", "r", "--test-src", "my.zh", "--test-tgt", "my.en", "--report", "report"],
        ["report/scores.json", "report/report.html"],
    ),
}


@pytest.mark.fault("A12")
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_old_or_new_and_never_incomplete(texts: Path, tally: Tally, name: str) -> None:
    assert s2s(*TRAIN, cwd=texts).status == 0
    arguments, outputs = OUTPUTS[name]
    done = s2s(*arguments, cwd=texts)
    assert done.status == 0, done.stderr
    old = {output: read(texts / output) for output in outputs}
    every = range(1, 60)
    for number in random.Random(3).sample(every, trials(4, 40)):
        done = start(arguments, texts, setup=killed_at(number)).wait()
        with tally.trial(number):
            assert done.status in {-9, 0}, done.stderr
            for output in outputs:
                if name == "vocab build":
                    vocabularies = RunFolder(texts / "r").load_vocabularies()
                    assert len(vocabularies.src) > 4
                else:
                    assert mask(read(texts / output)) == mask(old[output]), output
        assert s2s(*arguments, cwd=texts).status == 0  # the command works again
    load_model(texts / "r/model")


def read(path: Path) -> bytes:
    """Read a file, or all files of a folder."""
    if path.is_dir():
        return b"".join(read(entry) for entry in sorted(path.iterdir()))
    return path.read_bytes()


def mask(content: bytes) -> bytes:
    """Remove lines with durations and dates, which differ between runs."""
    lines = content.split(b"\n")
    return b"\n".join(line for line in lines if b"second" not in line and b"date" not in line)
