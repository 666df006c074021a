"""A small training in a process of its own that may be killed, and what must hold afterwards."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from calls import counted_in
from jobs import make_trainer

from s2s_cli.checkpoint import load_model
from s2s_cli.config import Model, Training
from s2s_cli.errors import S2SError
from s2s_cli.run import RunFolder
from s2s_cli.training.log import log_event, truncate_log
from s2s_cli.training.loop import Progress

SAVE_EVERY = 3

CONFIG = Training(
    epochs=2,
    batch_size=5,
    learning_rate=0.02,
    schedule="exponential",
    learning_rate_decay=0.5,
    warmup_steps=4,
    save_every=SAVE_EVERY,
    patience=9,
)
"""Ten updates an epoch; dropout, Adam, and a learning rate that changes with every update."""

MODEL = Model(embed_size=4, hidden_size=6, attention_size=4, dropout=0.3)

Setup = Callable[[], None]
"""Done in the process before the training: planted faults, a call that kills it, and the like."""


def live(
    folder: Path,
    setup: Setup = lambda: None,
    error_status: int = 1,
    work: Callable[[Path], None] | None = None,
) -> int:
    """Begin or go on training in a process of its own; its pid.

    Args:
        folder: of the run; steps done go to `steps` beside it, one line each.
        setup: done before.
        error_status: exit status if the training ends in an error of ours.
        work: what is done with the run folder, if it is not `train`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        setup()
        (work or train)(folder)
        status = 0
    except S2SError:
        status = error_status
    except BaseException:  # noqa: BLE001 (the parent is to know of it, whatever it is)
        traceback.print_exc()
    finally:
        os._exit(status)


def train(folder: Path) -> None:
    """What `s2s train` does with a run folder: repair it, go on, train to the end.

    Raises:
        CheckpointError: something with a name is not whole.
    """
    run = RunFolder(folder)
    run.repair()
    for place in (run.model_path, *run.checkpoints()):
        if place.exists():
            load_model(place)
    trainer = make_trainer(folder, CONFIG, MODEL)
    log = os.open(steps_path(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, b"begun\n")
    for event in trainer.train(lambda: False):
        if isinstance(event, Progress):
            os.write(log, f"{event.position.step}\n".encode())


def train_with_log(folder: Path) -> None:
    """A training that averages at its end, and writes its log as `s2s train` does."""
    run = RunFolder(folder)
    run.repair()
    trainer = make_trainer(folder, CONFIG.model_copy(update={"average": 2, "log_every": 4}), MODEL)
    folder.mkdir(exist_ok=True)
    truncate_log(run.log_path, trainer.record)
    for event in trainer.train(lambda: False):
        log_event(run.log_path, event, trainer.record, trainer.config.log_every)


def steps_path(folder: Path) -> Path:
    """Which updates were done, life by life; not in the run folder."""
    return folder.with_name(f"{folder.name}.steps")


def wait(pid: int) -> int:
    """Exit status of a life; negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    """SIGKILL, whatever it is doing."""
    os.kill(pid, signal.SIGKILL)


def final_state(folder: Path) -> dict[str, bytes]:
    """The bytes of the model and of the newest checkpoint."""
    run = RunFolder(folder)
    found = {}
    for place in (run.model_path, run.checkpoints()[0]):
        for path in sorted(place.iterdir()):
            if path.suffix != ".json":  # which have times of saving
                found[f"{place.name}/{path.name}"] = path.read_bytes()
    return found


def undisturbed(folder: Path) -> dict[str, bytes]:
    """What a run comes to that nobody disturbs.

    It runs in this very process, which from then on has all that a training imports on its way.
    """
    train(folder)
    return final_state(folder)


def count_calls(folder: Path) -> int:
    """How many calls of such a run change the disk."""
    assert wait(live(folder / "run", counted_in(folder / "calls"))) == 0
    return int((folder / "calls").read_text())


def repeated_steps(folder: Path) -> int:
    """The most updates that a life had to do again."""
    lives = steps_path(folder).read_text().split("begun\n")[1:]
    done, repeated = 0, 0
    for life in lives:
        steps = [int(line) for line in life.split()]
        if steps:
            repeated = max(repeated, done - steps[0] + 1)
            done = max(done, steps[-1])
    return repeated


def debris(folder: Path) -> list[str]:
    """What should not be there when a training has ended."""
    return [str(path) for path in folder.rglob(".*") if path.name.startswith((".tmp-", ".old-"))]


def check(folder: Path, reference: dict[str, bytes], setup: Setup = lambda: None) -> None:
    """Train to the end; then the weights, the work done twice, and the folder must be right.

    Raises:
        AssertionError: one of them is not.
    """
    assert wait(live(folder, setup)) == 0, "did not go on"
    assert final_state(folder) == reference, "other weights than those of an undisturbed run"
    assert repeated_steps(folder) <= SAVE_EVERY, f"{repeated_steps(folder)} updates done again"
    assert not debris(folder), f"debris: {debris(folder)}"
