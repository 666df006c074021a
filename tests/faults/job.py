"""A small training in a process that may be killed, and checks of its run folder."""

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
"""Ten updates per epoch; dropout, Adam, and a learning rate that changes with every update."""

MODEL = Model(embed_size=4, hidden_size=6, attention_size=4, dropout=0.3)

Setup = Callable[[], None]
"""Called in the process before the training, to plant faults or kill it at some call."""


def live(
    folder: Path,
    setup: Setup = lambda: None,
    error_status: int = 1,
    work: Callable[[Path], None] | None = None,
) -> int:
    """Start or resume a training in a new process, and return its pid.

    Args:
        folder: of the run; the steps are logged next to it (`steps_path`), one a line.
        setup: called before it.
        error_status: exit status if the training ends with an `S2SError`.
        work: what to do with the run folder; `train` by default.
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
    except BaseException:  # noqa: BLE001 (reported to the parent, whatever it is)
        traceback.print_exc()
    finally:
        os._exit(status)


def train(folder: Path) -> None:
    """Do what `s2s train` does with a run folder: repair it, resume, train to the end.

    Raises:
        CheckpointError: something that has its final name is incomplete.
    """
    run = RunFolder(folder)
    run.repair()
    for place in (run.model_path, *run.checkpoints()):
        if place.exists():
            load_model(place)
    trainer = make_trainer(folder, CONFIG, MODEL)
    log = os.open(steps_path(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, b"started\n")
    for event in trainer.train(lambda: False):
        if isinstance(event, Progress):
            os.write(log, f"{event.position.step}\n".encode())


def train_with_log(folder: Path) -> None:
    """Train with averaging at the end, and write the log as `s2s train` does."""
    run = RunFolder(folder)
    run.repair()
    trainer = make_trainer(folder, CONFIG.model_copy(update={"average": 2, "log_every": 4}), MODEL)
    folder.mkdir(exist_ok=True)
    truncate_log(run.log_path, trainer.record)
    for event in trainer.train(lambda: False):
        log_event(run.log_path, event, trainer.record, trainer.config.log_every)


def steps_path(folder: Path) -> Path:
    """Return the path of the log of all updates, outside the run folder."""
    return folder.with_name(f"{folder.name}.steps")


def wait(pid: int) -> int:
    """Wait for a process and return its exit status; negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    """Send SIGKILL."""
    os.kill(pid, signal.SIGKILL)


def final_state(folder: Path) -> dict[str, bytes]:
    """Read the bytes of the model and of the newest checkpoint."""
    run = RunFolder(folder)
    found = {}
    for place in (run.model_path, run.checkpoints()[0]):
        for path in sorted(place.iterdir()):
            if path.suffix != ".json":  # which contain the time
                found[f"{place.name}/{path.name}"] = path.read_bytes()
    return found


def undisturbed(folder: Path) -> dict[str, bytes]:
    """Train without any disturbance, and return the final state.

    It runs in this process, so that processes forked from it have all modules imported.
    """
    train(folder)
    return final_state(folder)


def count_calls(folder: Path) -> int:
    """Count the calls of an undisturbed run that change the disk."""
    assert wait(live(folder / "run", counted_in(folder / "calls"))) == 0
    return int((folder / "calls").read_text())


def repeated_steps(folder: Path) -> int:
    """Return the largest number of updates that a resumed training had to repeat."""
    trainings = steps_path(folder).read_text().split("started\n")[1:]
    done, repeated = 0, 0
    for training in trainings:
        steps = [int(line) for line in training.split()]
        if steps:
            repeated = max(repeated, done - steps[0] + 1)
            done = max(done, steps[-1])
    return repeated


def debris(folder: Path) -> list[str]:
    """List temporary names, which must be gone when a training has ended."""
    return [str(path) for path in folder.rglob(".*") if path.name.startswith((".tmp-", ".old-"))]


def check(folder: Path, reference: dict[str, bytes], setup: Setup = lambda: None) -> None:
    """Train to the end, then check the weights, the repeated updates and the folder.

    Raises:
        AssertionError: one of them is wrong.
    """
    assert wait(live(folder, setup)) == 0, "did not resume"
    assert final_state(folder) == reference, "the weights differ from those of an undisturbed run"
    assert repeated_steps(folder) <= SAVE_EVERY, f"{repeated_steps(folder)} updates repeated"
    assert not debris(folder), f"debris: {debris(folder)}"
