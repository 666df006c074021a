"""`train.jsonl`: one JSON object per validation, for machines."""

import json
from pathlib import Path

from s2s_cli.files import write_file
from s2s_cli.training.record import Averaging, Validation


def append_validation(path: Path, validation: Validation | Averaging) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(validation._asdict(), ensure_ascii=False, allow_nan=False) + "\n")


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will do again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # blank, or cut short by a kill
    write_file(path, "".join(f"{line}\n" for line in kept))
