"""One update of the weights: how a batch becomes a gradient.

The loss of an update is the mean over all target tokens that the update sees, so that its gradient
does not depend on how the tokens are divided. They are divided twice: `training.accumulate` makes
an update of several batches, computed one after the other, and under torchrun each rank gets its
share of every batch. Write `loss[r, b]` for the summed loss of batch b on rank r, `tokens` for the
number of target tokens in all batches on all ranks, and `ranks` for the number of ranks:

    gradient = sum over r, b of grad(loss[r, b]) / tokens
             = mean over r of (sum over b of grad(loss[r, b] / (tokens / ranks)))

Each rank divides its losses by `tokens / ranks` and calls `backward` batch by batch; PyTorch adds
the gradients up in `Parameter.grad`. DistributedDataParallel takes the mean over ranks during the
backward pass of the last batch; the other batches run under `no_sync`. The gradient is clipped to a
global norm, and the optimizer applies it.

An update whose loss or gradient is not finite is skipped on all ranks: the weights stay as they
are. The losses, the norm of the gradient and the loss scale come to the CPU in one transfer, after
the last backward pass.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, collate
from s2s_cli.data.dataset import EncodedPairs
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.training.loss import LossModule
from s2s_cli.training.optimizer import make_scaler


class StepResult(NamedTuple):
    """The outcome of an update, the same on all ranks."""

    loss: float
    """Sum over target tokens, in nats, label smoothing included."""
    num_tokens: int
    """Real target tokens, eos included."""
    is_applied: bool
    """False if the loss or the gradient was not finite; the weights are unchanged then."""
    is_overflow: bool
    """Whether the gradient overflowed float16; the next update uses a smaller loss scale."""


class TrainingStep:
    """A model and what updates it: loss, optimizer and loss scaler."""

    def __init__(
        self,
        model: Seq2Seq,
        optimizer: Optimizer,
        config: Training,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        """Update `model`, on the device where it is, by `optimizer`."""
        self.model = model
        self.optimizer = optimizer
        self.config = config
        self.ranks = ranks
        self.device = next(model.parameters()).device
        self.scaler = make_scaler(config, self.device)
        self._loss: nn.Module = LossModule(model, config)

    @property
    def global_batch_size(self) -> int:
        """Size of a batch over all ranks."""
        return self.config.batch_size * self.ranks.size

    def distribute(self) -> None:
        """Copy rank 0's weights to all ranks and average gradients over ranks from now on."""
        if self.ranks.size > 1 and not isinstance(self._loss, DistributedDataParallel):
            self._loss = DistributedDataParallel(self._loss)

    def backward(self, batches: Sequence[Batch], forcing: float = 1.0) -> tuple[list[Tensor], int]:
        """Compute the gradient of an update and leave it in each `Parameter.grad`.

        Args:
            batches: on the model's device; as many as on every other rank. A batch without counted
                tokens takes part, because every rank has to, but contributes nothing.
            forcing: probability that a decoder input is the reference token.

        Returns:
            losses: the summed loss of each batch, `()` each, on the device.
            num_tokens: target tokens of all batches on all ranks.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        num_tokens = int(self.ranks.sum(sum(batch.num_tokens for batch in batches)))
        losses = []
        for number, batch in enumerate(batches, 1):
            with nullcontext() if number == len(batches) else self._no_sync():
                loss = self._loss(batch, forcing)
                mean = loss / (num_tokens / self.ranks.size)
                self.scaler.scale(mean if batch.num_tokens else 0.0 * mean).backward()
            if batch.num_tokens:
                losses.append(loss.detach())
        return losses, num_tokens

    def apply(self, losses: Sequence[Tensor], num_tokens: int) -> StepResult:
        """Clip the gradient and apply it to the weights, unless something is not finite.

        Args:
            losses: as `backward` returns them.
            num_tokens: likewise.
        """
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        # Scaling 1 gives the loss scale as a tensor, so that all numbers cross in one transfer.
        scale = self.scaler.scale(torch.ones_like(norm))
        *values, norm_value, scale_value = torch.stack([*losses, norm, scale]).tolist()
        loss = self.ranks.sum(sum(values))
        is_finite = math.isfinite(loss) and math.isfinite(norm_value)
        if is_finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        # If even a scale below 1 gives infinite gradients, the scale is not to blame.
        is_overflow = (
            not is_finite and math.isfinite(loss) and 1 <= self.scaler.get_scale() < scale_value
        )
        return StepResult(loss, num_tokens, is_finite, is_overflow)

    def _no_sync(self) -> AbstractContextManager[None]:
        """Keep gradients on this rank: the last batch of an update sends those of all batches."""
        if isinstance(self._loss, DistributedDataParallel):
            return cast("AbstractContextManager[None]", self._loss.no_sync())
        return nullcontext()

    @torch.no_grad()
    def find_not_finite(self, pairs: EncodedPairs, indices: Sequence[int]) -> list[int]:
        """Find the pairs of a skipped update whose own loss is not finite; all if none is.

        Args:
            pairs: of the epoch.
            indices: the pairs of the update.
        """
        self.model.eval()
        loss = LossModule(self.model, self.config)
        batches = ((index, collate([pairs[index]]).to(self.device)) for index in indices)
        found = [index for index, batch in batches if not bool(loss(batch).isfinite())]
        return found or list(indices)
