"""Gradients of the mean loss of a token, over all batches of an update and all processes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch
from s2s_cli.errors import DeviceError, is_out_of_memory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.parallel import ALONE, Ranks, noticing_loss
from s2s_cli.training.loss import batch_loss
from s2s_cli.training.optimizer import make_scaler
from s2s_cli.training.random_state import random_state, restore_random_state
from s2s_cli.training.room import Room, release_memory


class Sums(NamedTuple):
    """Of an update, over all its batches and all processes."""

    loss: float
    """In nats, label smoothing included."""
    num_tokens: int
    """Real target tokens, eos counted."""
    num_parts: int = 0
    """Into how many parts the batches were split, if that is more than before."""


class Lesson(nn.Module):
    """Forward pass and loss in one, so that one call begins all that a gradient flows through."""

    def __init__(self, model: Seq2Seq, config: Training) -> None:
        super().__init__()
        self.model = model
        self._config = config

    def forward(self, batch: Batch, forcing: float) -> Tensor:
        """The loss of a batch, summed over its target tokens.

        Args:
            batch: on the model's device.
            forcing: chance that a decoder input is the reference token.
        """
        return batch_loss(self.model, batch, self._config, forcing)


class Gradients:
    """Adds up the gradients of a model, which all processes train alike.

    Each process computes those of its own part of a batch, and DistributedDataParallel takes the
    mean over processes while the backward pass is still running. To be the gradient of one large
    batch, each part's is divided by the tokens of all parts together, not by its own.
    """

    def __init__(
        self,
        model: Seq2Seq,
        config: Training,
        ranks: Ranks = ALONE,
        scaler: GradScaler | None = None,
    ) -> None:
        """Take the first process's weights in all of them; without a `scaler` begin with a new one.

        Gradients are as much larger as the scaler says.
        """
        self.model = model
        device = next(model.parameters()).device
        self.scaler = make_scaler(config, device) if scaler is None else scaler
        self._ranks = ranks
        self._room = Room()
        self._lesson: nn.Module = Lesson(model, config)
        if ranks.size > 1:
            with noticing_loss():
                self._lesson = DistributedDataParallel(self._lesson)

    def add_up(self, batches: Sequence[Batch], forcing: float) -> Sums:
        """Put into `grad` of each parameter what `batches` give, here and in all processes.

        Args:
            batches: as many as in every other process. One without counted tokens is there to
                take part only.
            forcing: chance that a decoder input is the reference token.

        Raises:
            DeviceError: the memory is too small for a single pair, or for a batch of one of
                several processes.
        """
        former, device = random_state(batches[0].src.device), batches[0].src.device
        parts, num_parts = self._room.cut(batches), 0
        while True:
            try:
                return self._add_up(parts, forcing)._replace(num_parts=num_parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())[:200]
            # Out of the handler, which keeps what the failed pass has in memory alive.
            if self._ranks.size > 1:
                raise DeviceError(
                    f"{device}: too little memory for a batch of {len(batches[0].src)} pairs "
                    f"({reason}); halve training.batch_size and double training.accumulate"
                )
            release_memory(device)
            self.model.zero_grad(set_to_none=True)
            restore_random_state(former, device)
            self._room.shrink(parts, reason)
            parts = self._room.cut(batches)
            num_parts = len(parts)

    def _add_up(self, batches: Sequence[Batch], forcing: float) -> Sums:
        ranks = self._ranks
        num_tokens = ranks.total(sum(batch.num_tokens for batch in batches))
        total = 0.0
        with noticing_loss():
            for number, batch in enumerate(batches, 1):
                with nullcontext() if number == len(batches) else self._kept_here():
                    loss = self._lesson(batch, forcing)
                    mean = loss / (num_tokens / ranks.size)
                    self.scaler.scale(mean if batch.num_tokens else 0.0 * mean).backward()
                total += loss.item() if batch.num_tokens else 0.0
        return Sums(ranks.total(total), int(num_tokens))

    def _kept_here(self) -> AbstractContextManager[None]:
        """Leave gradients where they are: the last batch of an update sends those of all."""
        if isinstance(self._lesson, DistributedDataParallel):
            return cast("AbstractContextManager[None]", self._lesson.no_sync())
        return nullcontext()
