"""`train.jsonl`: one JSON object per validation, and one every so many updates if asked for."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from s2s_cli.checkpoint import s2s_version
from s2s_cli.device import describe_device
from s2s_cli.parallel import ALONE, Ranks
from s2s_cli.storage.atomic import write_file
from s2s_cli.training.loop import Progress
from s2s_cli.training.record import Averaging, Record, Validation


def append_validation(path: Path, validation: Validation | Averaging) -> None:
    """Add a line."""
    # On disk before the checkpoint that says that this is done: a log may say too much, which
    # `forget_after` takes back, but never too little.
    _append(path, validation._asdict(), is_synced=True)


def append_progress(path: Path, progress: Progress, record: Record) -> None:
    """Add a line about the present epoch so far.

    Sums are of the epoch, because a checkpoint knows them: a resumed run writes the lines that it
    would have written anyway.
    """
    line = {
        "epoch": progress.position.epoch + 1,
        "step": progress.position.step,
        "epoch_loss": record.epoch_loss / max(1, record.epoch_tokens),
        "epoch_tokens": record.epoch_tokens,
        "epoch_seconds": record.epoch_seconds,
        "learning_rate": progress.learning_rate,
    }
    _append(path, line)


def _append(path: Path, line: Mapping[str, object], *, is_synced: bool = False) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        if is_synced:
            file.flush()
            os.fsync(file.fileno())


def forget_after(path: Path, record: Record) -> None:
    """Drop the lines about what a resumed run will do again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            if not _is_ahead(json.loads(line), record):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # blank, or cut short by a kill
    write_file(path, "".join(f"{line}\n" for line in kept))


def _is_ahead(line: Mapping[str, Any], record: Record) -> bool:
    """Whether a line reports an update or mean that comes after the checkpoint of this record."""
    step = record.position.step
    is_averaging = "averaged_epochs" in line
    if line["step"] == step and is_averaging:
        return not record.is_averaged
    return bool(line["step"] > step)


CPU_INFO = Path("/proc/cpuinfo")


def describe_run(
    recipe: str, num_parameters: int, device: torch.device, ranks: Ranks = ALONE
) -> dict[str, object]:
    """The facts that `run.json` keeps."""
    together = f"; {ranks.size} such processes" if ranks.size > 1 else ""
    return {
        "recipe": recipe,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "machine": f"{_processor()}; {describe_device(device)}{together}",
        "num_parameters": num_parameters,
        "s2s_version": s2s_version(),
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").split("\n"):
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
