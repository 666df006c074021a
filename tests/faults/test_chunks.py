"""`s2s augment`, killed or interrupted at any moment, continues to the same bytes."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from calls import counted_in, interrupted_at, killed_at
from commands.toys import save_toy
from tally import Tally, trials

COMMAND = [
    *("augment", "-o", "made/t.tsv.gz", "--text", "text", "-m", "toy", "--device", "cpu"),
    *("--sample", "--set", "decoding.max_length_factor=9", "--batch-size", 1),
]
"""Each chunk has 16 lines."""


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    save_toy(folder / "toy")
    draw = random.Random(1)
    lines = (" ".join(draw.choices("stuvwxyz", k=draw.randint(1, 4))) for _ in range(70))
    (folder / "text").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all that the command has written; the time of the toy model is its own."""
    found = {path.name: path.read_bytes() for path in (folder / "made").iterdir()}
    found["t.json"] = b"".join(
        line for line in found["t.json"].splitlines(keepends=True) if b"saved_at" not in line
    )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("chunks") / "f")


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, bytes]:
    """What an undisturbed command writes."""
    assert forked.s2s(*COMMAND, cwd=folder).status == 0
    found = contents(folder)
    assert [*sorted(found)] == ["t.json", "t.tsv.gz"]
    return found


@pytest.fixture(scope="module")
def num_calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Number of calls of an undisturbed command that change the disk."""
    counted = tmp_path_factory.mktemp("counted")
    folder = make_folder(counted / "f")
    assert forked.s2s(*COMMAND, cwd=folder, setup=counted_in(counted / "number")).status == 0
    return int((counted / "number").read_bytes())


@pytest.mark.fault("A14")
@pytest.mark.parametrize(
    ("setup", "status"),
    [(killed_at, -signal.SIGKILL), (interrupted_at, 128 + signal.SIGINT)],
    ids=["killed", "interrupted"],
)
def test_stopped_at_every_call_that_changes_the_disk(
    tmp_path: Path,
    tally: Tally,
    reference: dict[str, bytes],
    num_calls: int,
    setup: Callable[[int], Callable[[], None]],
    status: int,
) -> None:
    assert num_calls > 30
    every = range(1, num_calls + 1)
    for number in random.Random(2).sample(every, trials(8, num_calls)):
        folder = make_folder(tmp_path / str(number))
        with tally.trial(number):
            assert forked.s2s(*COMMAND, cwd=folder, setup=setup(number)).status == status
            done = forked.s2s(*COMMAND, cwd=folder)
            assert done.status == 0, done.stderr
            assert contents(folder) == reference


def test_finished_chunks_are_not_translated_again(
    tmp_path: Path, reference: dict[str, bytes], num_calls: int
) -> None:
    folder = make_folder(tmp_path / "f")
    forked.s2s(*COMMAND, cwd=folder, setup=killed_at(num_calls // 2))
    part = folder / "made" / "t.tsv.gz.part"
    chunks = {path: path.stat().st_ino for path in part.glob("chunk-*")}
    assert chunks
    done = forked.s2s(*COMMAND, cwd=folder, setup=killed_at(num_calls // 4))
    assert "continuing after an interruption" in done.stderr
    assert {path: path.stat().st_ino for path in chunks} == chunks
    assert forked.s2s(*COMMAND, cwd=folder).status == 0
    assert contents(folder) == reference


def test_other_settings_start_over(tmp_path: Path, num_calls: int) -> None:
    folder = make_folder(tmp_path / "f")
    forked.s2s(*COMMAND, cwd=folder, setup=killed_at(num_calls // 2))
    other = [*COMMAND, "--seed", 5]
    done = forked.s2s(*other, cwd=folder)
    assert "was begun with other settings (decoding.seed 1 -> 5); starting over" in done.stderr
    afresh = make_folder(tmp_path / "g")
    (afresh / "toy").rename(afresh / "unused")
    (afresh / "toy").symlink_to(folder / "toy")
    forked.s2s(*other, cwd=afresh)
    assert contents(folder) == contents(afresh)
