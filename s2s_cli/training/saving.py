"""Whether a training can be saved: room for it beforehand, and what is said if it fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.optim import Optimizer

from s2s_cli.errors import CheckpointError, UnsavedError
from s2s_cli.files import describe_os_error
from s2s_cli.run import RunFolder
from s2s_cli.sealed import free_bytes
from s2s_cli.training.optimizer import count_copies

ROOM = 2.5
"""Checkpoints that there must be room for: those that are kept, and the model."""


def check_room(run: RunFolder, model: nn.Module, optimizer: Optimizer, *, has_ema: bool) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        CheckpointError: there is too little.
    """
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    need = ROOM * weights * (1 + count_copies(optimizer) + has_ema)
    free = free_bytes(run.path)
    if free < need:
        raise CheckpointError(
            f"{run.path}: {free / 1e6:,.0f} MB are free, and the states of this training need "
            f"{need / 1e6:,.0f} MB; make room, or train elsewhere with --run DIR"
        )


@contextmanager
def saving(run: RunFolder, step: int) -> Iterator[None]:
    """Say what it means that something of a run could not be saved.

    Raises:
        UnsavedError: the disk is full or read-only, the run folder is gone, or the like.
    """
    try:
        if step and not run.path.is_dir():
            raise CheckpointError(f"{run.path}: is not there any more")
        yield
    except (CheckpointError, OSError) as error:
        reason = str(error) if isinstance(error, CheckpointError) else describe_os_error(error)
        raise UnsavedError(f"update {step:,} could not be saved: {reason}") from error
