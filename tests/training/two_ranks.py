"""What two processes do together, for `test_distributed.py`, which looks at what they write."""

import json
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any

import torch
from jobs import CONFIG, finish, make_trainer
from safetensors.torch import save_file
from test_loop import small_model

from s2s_cli.config import Training
from s2s_cli.errors import NotFiniteError
from s2s_cli.launch import read_launch
from s2s_cli.parallel import SINGLE_PROCESS, Ranks, current_ranks, process_group
from s2s_cli.training.loop import Progress, train
from s2s_cli.training.loss import LossModule
from s2s_cli.training.optimizer import make_optimizer
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.trainer import Trainer

PAIRS = [
    ([4 + i % 5] * (1 + i % 4), [4 + (i + k * k) % 7 for k in range(1 + i % 5)]) for i in range(33)
]
"""Of many lengths; in batches of 4 or 8 the last has one pair, of which one process gets none."""

WHOLE = {"optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.5, "epochs": 3, "batch_size": 8}

CASES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "plain": ({"context": "attention"}, {}),
    "accumulated": ({"context": "initial", "cell": "lstm"}, {"accumulate": 2}),
    "tokens": (
        {"attend": "after", "input_feeding": True},
        {"batch_by": "tokens", "batch_size": 24},
    ),
    "smoothed": ({"attend": "below", "num_layers": 2}, {"label_smoothing": 0.1, "clip_norm": 0.2}),
    "consistent": ({"context": "attention"}, {"consistency": "rdrop"}),
}
"""Settings of model and training without chance."""


def fit_case(
    name: str, ranks: Ranks = SINGLE_PROCESS
) -> tuple[list[list[float]], dict[str, torch.Tensor]]:
    """Loss, tokens and batches of each update of a case, and its weights."""
    kind, settings = CASES[name]
    whole = Training.model_validate({**WHOLE, **settings})
    config = whole.model_copy(update={"batch_size": whole.batch_size // ranks.size})
    model = small_model(kind)
    step = TrainingStep(model, make_optimizer(model.parameters(), config), config, ranks)
    updates = train(step, lambda _: PAIRS)
    sums = [[p.result.loss, p.result.num_tokens, p.num_batches] for p in updates]
    return sums, model.state_dict()


def talk(ranks: Ranks) -> dict[str, object]:
    """What the collectives return on this rank."""
    return {
        "sum": ranks.sum(ranks.rank + 1),
        "max": ranks.max(-ranks.rank),
        "broadcast": ranks.broadcast(lambda: {"says": f"process {ranks.rank}", "score": 1 / 3}),
        "gathered": [part.decode() for part in ranks.gather(b"x" * (3 * ranks.rank))],
    }


def fit_spoiled(trainer: Trainer, spoiled: range) -> list[object]:
    """Which updates were applied, and how it ended, where some losses of one process are NaN."""
    numbers, forward = count(1), LossModule.forward

    def spoiling(*arguments: Any) -> torch.Tensor:
        loss = forward(*arguments)
        return loss * torch.nan if next(numbers) in spoiled else loss

    LossModule.forward = spoiling  # type: ignore[method-assign]
    found: list[object] = []
    try:
        for event in trainer.train(lambda: False):
            if isinstance(event, Progress):
                found.append([event.position.step, event.result.is_applied])
    except NotFiniteError as error:
        found.append(str(error))
    LossModule.forward = forward  # type: ignore[method-assign]
    return found


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group(read_launch()):
        ranks = current_ranks()
        (folder / f"talk-{ranks.rank}.json").write_text(json.dumps(talk(ranks)))
        for name in CASES:
            sums, weights = fit_case(name, ranks)
            save_file(weights, folder / f"{name}-{ranks.rank}.safetensors")
            (folder / f"{name}-{ranks.rank}.json").write_text(json.dumps(sums))
        config = CONFIG.model_copy(update={"average": 2, "ema": 0.9, "batch_size": 4})
        for run, stops in (("whole", []), ("halved", [10])):
            steps = []
            for stop in [*stops, None]:
                with ranks.rank_zero_first():
                    trainer = make_trainer(folder / run, config, ranks=ranks)
                # One of them wants to stop, and both do.
                events = finish(trainer, stop if ranks.rank == 1 else None)
                steps += [event.step for event in events]
                if stop is not None and ranks.is_first:
                    shutil.copytree(folder / run, folder / "stopped")
            outcome = steps, trainer.record._replace(epoch_seconds=0)
            (folder / f"{run}-{ranks.rank}.json").write_text(json.dumps(outcome))
        few = config.model_copy(update={"max_skipped": 2})
        with ranks.rank_zero_first():
            trainer = make_trainer(folder / "spoiled", few, ranks=ranks)
        found = fit_spoiled(trainer, range(3, 6) if ranks.rank == 1 else range(0))
        (folder / f"spoiled-{ranks.rank}.json").write_text(json.dumps(found))
        save_file(trainer.loaded.model.state_dict(), folder / f"spoiled-{ranks.rank}.safetensors")
        make_trainer(folder / "begun", config.model_copy(update={"epochs": 1}), ranks=ranks)
        draws = torch.rand(3).tolist()
        (folder / f"draws-{ranks.rank}.json").write_text(json.dumps(draws))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
