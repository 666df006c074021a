"""What a run remembers: its record, and the tensors that a checkpoint keeps besides the weights.

Resuming from a checkpoint gives the same bytes as never having stopped. So a checkpoint contains,
besides the weights: the state of the optimizer, of the loss scaler and of the moving average; the
random states of every rank; and the record, whose position determines the batches that follow.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from s2s_cli.checkpoint import TrainingState
from s2s_cli.parallel import Ranks
from s2s_cli.training.averaging import ema_tensors, restore_ema
from s2s_cli.training.loop import Position, Progress
from s2s_cli.training.optimizer import optimizer_tensors, restore_optimizer
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.validate import CRITERIA, Criterion


class Record(NamedTuple):
    """What a run remembers besides tensors; every checkpoint keeps it as JSON."""

    position: Position = Position()
    best_score: float = -sys.float_info.max
    """Of the measure that selects the model, as `Criterion.rank` returns it."""
    best_loss: float = sys.float_info.max
    """Validation loss at the best score; it decides between equal scores, such as 0 and 0."""
    best_epoch: int = 0
    averaged_epochs: list[int] = []  # noqa: RUF012 (replaced, never changed)
    """The epochs whose averaged weights are the best model; empty if a single epoch's are."""
    num_worse: int = 0
    """Validations since the best."""
    num_decays: int = 0
    """Plateaus that lowered the learning rate."""
    num_flat: int = 0
    """Validations since the best or since the last plateau."""
    is_averaged: bool = False
    """Whether averaging weights was tried after the last epoch."""
    epoch_loss: float = 0.0
    """Sum over the target tokens of the current epoch so far."""
    epoch_tokens: int = 0
    epoch_skipped: int = 0
    """Updates of the current epoch that were not applied, float16 overflows excluded."""
    epoch_seconds: float = 0.0
    """Seconds of updates in the current epoch, validation and saving excluded."""
    valid_scores: dict[str, float] = {}  # noqa: RUF012 (replaced, never changed)
    """Of the latest validation."""

    @property
    def train_loss(self) -> float:
        """Mean training loss of the current epoch so far, in nats per target token."""
        return self.epoch_loss / max(1, self.epoch_tokens)

    @property
    def tokens_per_second(self) -> float:
        """Speed of the current epoch so far, in target tokens."""
        return self.epoch_tokens / max(1e-9, self.epoch_seconds)

    def after_update(self, progress: Progress) -> "Record":
        """Count an update."""
        result = progress.result
        if not result.is_applied:
            return self._replace(
                position=progress.position,
                epoch_skipped=self.epoch_skipped + (not result.is_overflow),
            )
        return self._replace(
            position=progress.position,
            epoch_loss=self.epoch_loss + result.loss,
            epoch_tokens=self.epoch_tokens + result.num_tokens,
            epoch_seconds=self.epoch_seconds + progress.seconds,
        )

    def after_epoch(
        self, valid_scores: dict[str, float], decay_patience: int, *, is_best: bool
    ) -> "Record":
        """Count a validated epoch and go to the start of the next one.

        Args:
            valid_scores: of the epoch.
            decay_patience: validations without improvement before the learning rate decays.
            is_best: whether no earlier epoch scored better.
        """
        num_flat = 0 if is_best else self.num_flat + 1
        is_plateau = num_flat > decay_patience
        return self.at_epoch_start(self.position.epoch + 1)._replace(
            num_worse=self.num_worse + 1,
            num_decays=self.num_decays + is_plateau,
            num_flat=0 if is_plateau else num_flat,
            is_averaged=False,
            valid_scores=valid_scores,
        )

    def at_epoch_start(self, epoch: int) -> "Record":
        """Go to the start of an epoch; the number of updates stays."""
        return self._replace(
            position=Position(epoch, 0, self.position.step),
            **{name: Record._field_defaults[name] for name in EPOCH_FIELDS},
        )

    def with_latest_as_best(self, criterion: Criterion) -> "Record":
        """Make the latest validated model the best one."""
        return self._replace(
            best_score=criterion.rank(self.valid_scores)[0],
            best_loss=self.valid_scores["loss"],
            best_epoch=self.position.epoch,
            num_worse=0,
            averaged_epochs=[],
        )


EPOCH_FIELDS = [name for name in Record._fields if name.startswith("epoch_")]

_RECORD = TypeAdapter(Record)


def parse_record(facts: dict[str, Any]) -> Record:
    """Check the record of a checkpoint, which may come from anywhere.

    Raises:
        ValueError: it is not a record.
    """
    record = _RECORD.validate_python(facts)
    if min(record.position) < 0:
        raise ValueError(f"position {record.position}")
    if record.best_epoch and not {*CRITERIA, "loss"} <= record.valid_scores.keys():
        raise ValueError(f"valid_scores {', '.join(record.valid_scores)}")
    return record


def pack_state(
    record: Record,
    step: TrainingStep,
    ema: AveragedModel | None,
    random_states: Mapping[str, Tensor],
) -> TrainingState:
    """Collect what a checkpoint keeps besides the weights.

    Args:
        record: of the run.
        step: its optimizer and loss scaler.
        ema: the moving average of the weights, if there is one.
        random_states: of all ranks.
    """
    facts = {
        **record._asdict(),
        "position": record.position._asdict(),
        "num_ranks": step.ranks.size,
        "whole_batch_size": step.global_batch_size,
        **({"loss_scale": step.scaler.state_dict()} if step.scaler.is_enabled() else {}),
    }
    tensors = {**optimizer_tensors(step.optimizer), **random_states}
    if ema is not None:
        tensors |= ema_tensors(ema)
    return TrainingState(tensors, facts)


def restore_state(step: TrainingStep, ema: AveragedModel | None, state: TrainingState) -> Record:
    """Restore what `pack_state` collected, and this rank's random state.

    Args:
        step: its optimizer and loss scaler are restored.
        ema: the moving average, restored as well.
        state: of the checkpoint.

    Returns:
        The record; at the start of its epoch if the global batch size has changed.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the state does not belong to this model.
    """
    facts, rank, seed = dict(state.facts), step.ranks.rank, step.config.seed
    saved_batch_size = facts.pop("whole_batch_size", step.global_batch_size)
    facts.pop("num_ranks", None)
    if (scale := facts.pop("loss_scale", None)) and step.scaler.is_enabled():
        if not all(isinstance(number, int | float) for number in dict(scale).values()):
            raise ValueError("loss_scale: not numbers")
        step.scaler.load_state_dict(scale)
    record = parse_record(facts)
    if saved_batch_size != step.global_batch_size:
        record = record.at_epoch_start(record.position.epoch)
    restore_optimizer(step.optimizer, state.tensors)
    if ema is not None:
        restore_ema(ema, state.tensors)
    if not restore_random_state(state.tensors, rank, step.device):
        seed_rank(seed, rank, record.position.step)
    return record


def random_state(device: torch.device) -> dict[str, Tensor]:
    """PyTorch's random states as tensors."""
    state = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["random.mps"] = torch.mps.get_rng_state()
    return state


def gather_random_states(ranks: Ranks, device: torch.device) -> dict[str, Tensor]:
    """Gather the random states of all ranks; names carry the rank, except those of rank 0."""
    states = ranks.gather(safetensors.torch.save(random_state(device)))
    return {
        f"{_prefix(rank)}{name}": tensor
        for rank, content in enumerate(states)
        for name, tensor in safetensors.torch.load(content).items()
    }


def restore_random_state(tensors: Mapping[str, Tensor], rank: int, device: torch.device) -> bool:
    """Restore a rank's part of what `gather_random_states` returned; False if it has none."""
    prefix = f"{_prefix(rank)}random."
    if f"{prefix}cpu" not in tensors:
        return False
    torch.set_rng_state(tensors[f"{prefix}cpu"])
    if device.type == "cuda" and f"{prefix}cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{prefix}cuda"], device)
    if device.type == "mps" and f"{prefix}mps" in tensors:
        torch.mps.set_rng_state(tensors[f"{prefix}mps"])
    return True


def seed_rank(seed: int, rank: int, step: int) -> None:
    """Seed a rank that has no saved random state, differently from all other ranks.

    Args:
        seed: of the run.
        rank: of this process.
        step: updates done so far.
    """
    state = np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def _prefix(rank: int) -> str:
    return f"rank-{rank}." if rank else ""
