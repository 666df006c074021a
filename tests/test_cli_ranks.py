"""One command in several processes, started by torchrun as a user starts it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell import s2s, tiny_train
from tally import Tally, trials

# `--`, because torchrun takes `--run` for an abbreviation of its own options.
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
LONG = ["--epochs", 40, "--set", "training.patience=40", "--set", "training.save_every=3"]

LONGER = ["--epochs", 4000, "--set", "training.patience=4000", "--set", "training.save_every=3"]
"""More epochs than can be trained before a signal arrives."""

pytestmark = pytest.mark.slow


def start(*arguments: object, cwd: Path, restarts: int = 0) -> subprocess.Popen[str]:
    command = [*TORCHRUN, f"--max-restarts={restarts}", "-m", "--", "s2s_cli"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ours(stderr: str) -> list[str]:
    """Remove the report of torchrun about a failure, which starts with its log line."""
    return re.split(r"^[EW]\d{4} ", stderr, flags=re.MULTILINE)[0].splitlines()


def wait_for(path: Path, count: int) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the process ids, ordered by rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        facts = dict(
            entry.split("=", 1)
            for entry in Path(f"/proc/{child}/environ").read_text().split("\0")
            if "=" in entry
        )
        if "RANK" in facts:
            ranks[int(facts["RANK"])] = int(child)
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.fault("C10")
def test_only_the_first_process_reports_saves_and_prints_the_result(texts: Path) -> None:
    process = start(*tiny_train("--epochs", 2, "--run", "r"), cwd=texts)
    stdout, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    assert stdout == f"{Path('r/model')}\n"
    assert stderr.count("no vocabularies in r/vocab: building them") == 1
    assert stderr.count("epoch 2  loss") == 1
    assert "the first of 2 processes" in stderr
    assert not list((texts / "r").rglob(".*"))
    resumed = s2s(*tiny_train("--epochs", 3, "--run", "r"), cwd=texts)
    assert "trained by 2 processes, continued by 1" in resumed.stderr


@pytest.mark.fault("A10")
@pytest.mark.timeout(1500)
def test_a_killed_process_is_restarted_and_the_run_ends_with_the_same_bytes(
    texts: Path, tally: Tally
) -> None:
    whole = start(*tiny_train("--run", "whole", *LONG), cwd=texts)
    assert whole.communicate(timeout=250)
    assert whole.returncode == 0
    for number in range(trials(2, 20)):
        run = texts / f"killed-{number}"
        process = start(*tiny_train("--run", run, "--fresh", *LONG), cwd=texts, restarts=2)
        wait_for(run / "train.jsonl", 1 + number)
        os.kill(workers_of(process)[number % 2], signal.SIGKILL)
        _, stderr = process.communicate(timeout=250)
        with tally.trial(number):
            assert process.returncode == 0, stderr
            assert "resumed after update" in stderr
            assert "--fresh already took effect" in stderr
            one, two = (folder / "model/model.safetensors" for folder in (texts / "whole", run))
            assert one.read_bytes() == two.read_bytes()


@pytest.mark.fault("A9")
def test_a_signal_to_any_process_stops_all_after_the_same_update(texts: Path) -> None:
    process = start(*tiny_train("--run", "r", *LONGER), cwd=texts, restarts=2)
    wait_for(texts / "r/train.jsonl", 2)
    os.kill(workers_of(process)[1], signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr  # and torchrun restarts nothing
    assert stdout == ""
    stopped = re.findall(r"stopped after update (\d+); everything is saved", stderr)
    assert len(stopped) == 1
    assert f"r/checkpoints/step-{int(stopped[0]):08d}" in map(
        str, (path.relative_to(texts) for path in (texts / "r/checkpoints").iterdir())
    )
    assert "resumed" not in stderr


@pytest.mark.fault("A11")
def test_a_signal_to_torchrun_stops_all_processes(texts: Path) -> None:
    process = start(*tiny_train("--run", "r", *LONGER), cwd=texts)
    wait_for(texts / "r/train.jsonl", 2)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=250)  # it kills what has not ended in 30 seconds
    assert len(re.findall(r"stopped after update \d+; everything is saved", stderr)) == 1
    step = int(re.findall(r"stopped after update (\d+); everything is saved", stderr)[0])
    resumed = s2s(*tiny_train("--run", "r", "--epochs", 1 + step, *LONGER[2:]), cwd=texts)
    assert f"resumed after update {step:,}" in resumed.stderr


@pytest.mark.fault("E3")
def test_an_error_is_reported_once_and_ends_all_processes(texts: Path) -> None:
    for arguments, message in (
        (tiny_train("--set", "training.epoch=3"), "training.epoch: no such key"),
        (["eval", "--bleu"], "s2s eval: runs in one process, but torchrun started 2"),
        (["translate"], "2 processes cannot share stdin; name a FILE"),
    ):
        process = start(*arguments, cwd=texts)
        stdout, stderr = process.communicate(timeout=250)
        assert process.returncode == 1
        assert stdout == ""
        errors = [line for line in ours(stderr) if line.startswith("error: ")]
        assert len(errors) == 1, stderr
        assert message in errors[0]
        assert "Traceback" not in "\n".join(ours(stderr))


@pytest.mark.fault("E3")
def test_a_hanging_process_does_not_block_the_others_forever(texts: Path) -> None:
    s2s("vocab", "build", *tiny_train("--run", "r")[1:], cwd=texts)
    script = Path(__file__).with_name("one_falls_silent.py")
    command = [*TORCHRUN, "--", script, *map(str, tiny_train("--run", "r"))]
    found = subprocess.run(
        command, cwd=texts, capture_output=True, text=True, timeout=250, check=False
    )
    assert found.returncode == 1
    errors = [line for line in ours(found.stderr) if line.startswith("error: ")]
    assert len(errors) == 1, found.stderr
    assert "another process of this job has ended, or cannot be reached" in errors[0]
    assert "train: 64 pairs" in found.stderr  # up to here, both processes responded


def test_the_order_of_lines_is_kept(texts: Path) -> None:
    s2s(*tiny_train("--epochs", 2, "--run", "r"), cwd=texts)
    lines = (texts / "my.zh").read_text(encoding="utf-8").splitlines()
    long = "".join(f"{line * (1 + i % 4)}\n" for i, line in enumerate(lines * 5))
    (texts / "long.zh").write_text(long, encoding="utf-8")
    ask = ["translate", "long.zh", "-m", "r", "--batch-size", 2, "--alignments"]
    alone = s2s(*ask, "one", cwd=texts)
    process = start(*ask, "two", cwd=texts)
    stdout, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    assert stdout == alone.stdout
    assert (texts / "two").read_bytes() == (texts / "one").read_bytes()
