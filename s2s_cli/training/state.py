"""What a checkpoint holds beside the weights: packed for the disk, and taken up again."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from s2s_cli.checkpoint import TrainingState
from s2s_cli.parallel import Ranks
from s2s_cli.training.averaging import moving_average_tensors, restore_moving_average
from s2s_cli.training.optimizer import optimizer_tensors, restore_optimizer
from s2s_cli.training.random_state import find_random_state, restore_random_state, seed_rank
from s2s_cli.training.record import Record, parse_record


class Learner(NamedTuple):
    """What changes with every update, beside the weights and the record."""

    optimizer: Optimizer
    moving: AveragedModel | None
    scaler: GradScaler
    ranks: Ranks
    whole_batch_size: int
    """Of all processes together."""


def pack_state(learner: Learner, record: Record, random_states: dict[str, Tensor]) -> TrainingState:
    """All of it, with the random states of all processes."""
    facts = {
        **record._asdict(),
        "position": record.position._asdict(),
        "num_ranks": learner.ranks.size,
        "whole_batch_size": learner.whole_batch_size,
        **({"loss_scale": learner.scaler.state_dict()} if learner.scaler.is_enabled() else {}),
    }
    tensors = optimizer_tensors(learner.optimizer) | random_states
    if learner.moving is not None:
        tensors |= moving_average_tensors(learner.moving)
    return TrainingState(tensors, facts)


def restore_state(
    learner: Learner, state: TrainingState, seed: int, device: torch.device
) -> Record:
    """Take up what `pack_state` gave.

    Args:
        learner: its optimizer, moving average and scaler get their former state.
        state: what was packed.
        seed: for a process that was not there when it was packed.
        device: whose random numbers go on.

    Returns:
        The record; at the beginning of the present epoch if batches have another size now.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: the state does not belong to this model.
    """
    facts = dict(state.facts)
    former_size = facts.pop("whole_batch_size", learner.whole_batch_size)
    facts.pop("num_ranks", None)
    if (scale := facts.pop("loss_scale", None)) and learner.scaler.is_enabled():
        if not all(isinstance(number, int | float) for number in dict(scale).values()):
            raise ValueError("loss_scale: not of numbers")
        learner.scaler.load_state_dict(scale)
    record = parse_record(facts)
    if former_size != learner.whole_batch_size:
        record = record.at_epoch_begin()
    restore_optimizer(learner.optimizer, state.tensors)
    if learner.moving is not None:
        restore_moving_average(learner.moving, state.tensors)
    if own := find_random_state(state.tensors, learner.ranks.rank):
        restore_random_state(own, device)
    else:
        seed_rank(seed, learner.ranks.rank, record.position.step)
    return record
