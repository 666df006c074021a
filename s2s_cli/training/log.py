"""What a training reports: events for its caller, lines for `train.jsonl`, facts for `run.json`.

`train.jsonl` has one JSON object per validation and, if asked for, one every so many updates.
"""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from s2s_cli.checkpoint import s2s_version
from s2s_cli.config import Training
from s2s_cli.device import describe_device
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.scoring.caveats import find_collapse
from s2s_cli.storage.atomic import write_file
from s2s_cli.training.loop import Progress
from s2s_cli.training.state import Record
from s2s_cli.training.training_data import TrainingData
from s2s_cli.training.validate import Criterion, Measures


class Validation(NamedTuple):
    """An epoch and its scores on the validation pairs."""

    epoch: int
    """From 1."""
    step: int
    train_loss: float
    """Nats per real target token, label smoothing and dropout included."""
    loss: float
    perplexity: float
    accuracy: float
    bleu: float
    chrf: float
    is_best: bool
    learning_rate: float
    tokens_per_second: float
    """Real target tokens per second of updates."""
    seconds: float
    """Of the epoch's updates."""
    valid_seconds: float
    examples: list[tuple[str, str, str]]
    """Source, reference and current translation of some validation sentences."""
    collapse: str | None
    """A warning with the likely cause if most validation sentences get the same translation."""
    ranked_by: str
    """The measure that ranks this epoch: the recipe's, unless it is too low to compare models."""
    caveat: str | None
    """Why BLEU says little about these validation pairs, if the recipe ranks by it."""
    divergence: str | None
    """A warning with the remedy if a loss is much too high."""


class Averaging(NamedTuple):
    """The validation scores of the averaged weights of several epochs."""

    averaged_epochs: list[int]
    step: int
    loss: float
    perplexity: float
    accuracy: float
    bleu: float
    chrf: float
    is_best: bool
    """Whether they are better than every single epoch, and therefore are the model now."""
    ranked_by: str
    """As for a single epoch."""


Event = Progress | Validation | Averaging
"""What a training yields."""


def describe_epoch(
    record: Record,
    progress: Progress,
    measures: Measures,
    data: TrainingData,
    criterion: Criterion,
    shown: Sequence[int],
) -> Validation:
    """Describe an epoch.

    Args:
        record: before the epoch is counted.
        progress: of the epoch's last update.
        measures: of the model after it.
        data: whose validation pairs were measured.
        criterion: ranks epochs.
        shown: lines of the validation pairs to show, from 1; those that do not exist are left out.
    """
    epoch, _, step = progress.position
    places = [line - 1 for line in shown if line <= len(measures.hypotheses)]
    rows = []
    for place in places:
        source, reference, *_ = data.valid_row(place)
        rows.append((source, reference, measures.hypotheses[place]))
    return Validation(
        epoch=epoch + 1,
        step=step,
        train_loss=record.train_loss,
        **measures.scores(),
        is_best=False,
        learning_rate=progress.learning_rate,
        tokens_per_second=record.tokens_per_second,
        seconds=record.epoch_seconds,
        valid_seconds=measures.seconds,
        examples=rows,
        collapse=explain_collapse(record, progress, measures, data),
        ranked_by=criterion.ranked_by(measures.scores()),
        caveat=criterion.caveat,
        divergence=None,
    )


FEW_UPDATES = 1_000
"""A model seldom attends to the source before it has had this many."""


def explain_collapse(
    record: Record, progress: Progress, measures: Measures, data: TrainingData
) -> str | None:
    """Say that most validation sentences get the same translation, and why; None if they do not."""
    references = [row[1] for text in data.valid_texts for row in text.rows]
    collapse = find_collapse(measures.hypotheses, references)
    if collapse is None:
        return None
    step = progress.position.step
    if record.best_epoch and measures.loss > record.best_loss:
        cause = (
            f"the valid loss rose from {record.best_loss:.3f} to {measures.loss:.3f}: lower "
            f"training.learning_rate ({progress.learning_rate:g}) or training.clip_norm"
        )
    elif step < FEW_UPDATES:
        cause = f"it has had {step:,} updates, which may be too few to look at the source; wait"
    else:
        cause = (
            f"after {step:,} updates it should look at the source: check whether the lines of both "
            "sides belong together, and try another training.learning_rate "
            f"({progress.learning_rate:g})"
        )
    return f"{collapse}; {cause}"


def explain_skipped(progress: Progress, record: Record, config: Training) -> str:
    """Say that too many updates of an epoch were skipped, and what to do.

    Args:
        progress: of the last of them.
        record: counts them.
        config: says how many are allowed.
    """
    (epoch, _, step), number = progress.position, record.epoch_skipped
    return (
        f"the loss or its gradient is not finite in {number} update{'s'[: number > 1]} of epoch "
        f"{epoch + 1} (training.max_skipped {config.max_skipped}), update {step:,} the last; none "
        "of them reached the weights, and the last checkpoint is intact; look at the pairs named "
        f"above, lower training.learning_rate ({progress.learning_rate:g}), or train in float32"
    )


def log_event(path: Path, event: Event, record: Record, log_every: int) -> None:
    """Append a validation, or an update whose number is a multiple of `log_every`, to the log.

    Sums are those of the epoch, because a checkpoint contains them: a resumed run writes the lines
    that an uninterrupted one would have written.
    """
    if not isinstance(event, Progress):
        # Synced, so that the log is never behind the checkpoint that follows. It may be ahead of
        # it, which `truncate_log` corrects.
        _append(path, event._asdict(), is_synced=True)
    elif log_every and event.position.step % log_every == 0:
        line = {
            "epoch": event.position.epoch + 1,
            "step": event.position.step,
            "epoch_loss": record.train_loss,
            "epoch_tokens": record.epoch_tokens,
            "epoch_seconds": record.epoch_seconds,
            "learning_rate": event.learning_rate,
        }
        _append(path, line)


def _append(path: Path, line: Mapping[str, object], *, is_synced: bool = False) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        if is_synced:
            file.flush()
            os.fsync(file.fileno())


def truncate_log(path: Path, record: Record) -> None:
    """Remove the lines about what a resumed run will do again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            if not _is_ahead(json.loads(line), record):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # blank, or cut short when the process was killed
    write_file(path, "".join(f"{line}\n" for line in kept))


def _is_ahead(line: Mapping[str, Any], record: Record) -> bool:
    """Whether a line reports something that happened after the checkpoint of this record."""
    step = record.position.step
    is_averaging = "averaged_epochs" in line
    if line["step"] == step and is_averaging:
        return not record.is_averaged
    return bool(line["step"] > step)


CPU_INFO = Path("/proc/cpuinfo")


def describe_run(
    recipe: str, num_parameters: int, device: torch.device, ranks: Ranks = SINGLE_PROCESS
) -> dict[str, object]:
    """The contents of `run.json`."""
    processes = f"; {ranks.size} such processes" if ranks.size > 1 else ""
    return {
        "recipe": recipe,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "machine": f"{_processor_name()}; {describe_device(device)}{processes}",
        "num_parameters": num_parameters,
        "s2s_version": s2s_version(),
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
    }


def _processor_name() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").split("\n"):
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
