"""The training loop: a generator of updates. It never prints, saves or validates."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import Optimizer

from s2s_cli.config import Training
from s2s_cli.data.batch import Batch, collate
from s2s_cli.data.sampler import epoch_batches
from s2s_cli.data.tokenized import EncodedPairs, lengths_of
from s2s_cli.errors import S2SError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.loss import token_loss
from s2s_cli.training.optimizer import set_learning_rate
from s2s_cli.training.schedule import learning_rate, teacher_forcing


class Position(NamedTuple):
    """Where a run stands: three integers from which the order of data follows."""

    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Batches of the present epoch done."""
    step: int = 0
    """Updates done since the start."""


BEGINNING = Position()


class Lessons(NamedTuple):
    """What a model learns from."""

    pairs_of: Callable[[int], EncodedPairs]
    """The pairs of an epoch (from 0)."""
    weights: npt.ArrayLike | None = None
    """How often each pair is seen in an epoch; once if None."""


class Progress(NamedTuple):
    """What one update did."""

    position: Position
    """After the update; at an epoch's last update still within that epoch."""
    num_batches: int
    """Batches of the epoch."""
    loss: float
    """Sum over the batch's target tokens, in nats, label smoothing included."""
    num_tokens: int
    """Real target tokens, eos counted."""
    learning_rate: float
    seconds: float

    @property
    def is_epoch_end(self) -> bool:
        """Whether this was the epoch's last update."""
        return self.position.batch == self.num_batches


def train(
    model: Seq2Seq,
    lessons: Lessons,
    optimizer: Optimizer,
    config: Training,
    start: Position = BEGINNING,
    count_decays: Callable[[], int] = lambda: 0,
) -> Iterator[Progress]:
    """Update the model batch by batch, from `start` to the last epoch.

    Args:
        model: on its device.
        lessons: what it learns from.
        optimizer: of the model's parameters.
        config: sizes and schedules.
        start: where to begin, or to go on.
        count_decays: asked at each update how often a plateau was met so far.

    Raises:
        S2SError: the loss or its gradient is not finite; the weights are still those before.
    """
    device = next(model.parameters()).device
    position = start
    for epoch in range(start.epoch, config.epochs):
        pairs = lessons.pairs_of(epoch)
        batches = epoch_batches(
            lengths_of(pairs),
            config.batch_size,
            config.seed,
            epoch,
            lessons.weights,
            by_tokens=config.batch_by == "tokens",
        )
        for index in range(position.batch, len(batches), config.accumulate):
            started = time.perf_counter()
            rate = learning_rate(config, epoch, position.step, count_decays())
            set_learning_rate(optimizer, rate)
            group = batches[index : index + config.accumulate]
            loaded = [collate([pairs[i] for i in batch]).to(device) for batch in group]
            loss = update(model, loaded, optimizer, config, teacher_forcing(config, position.step))
            position = Position(epoch, index + len(group), position.step + 1)
            seconds = time.perf_counter() - started
            num_tokens = sum(batch.num_tokens for batch in loaded)
            yield Progress(position, len(batches), loss, num_tokens, rate, seconds)
        position = Position(epoch + 1, 0, position.step)


def update(
    model: Seq2Seq,
    batches: Sequence[Batch],
    optimizer: Optimizer,
    config: Training,
    forcing: float = 1.0,
) -> float:
    """One optimizer step on the mean loss of a token of some batches.

    Args:
        model: whose gradients are added up over the batches.
        batches: on the model's device.
        optimizer: of the model's parameters.
        config: label smoothing and gradient norm.
        forcing: chance that a decoder input is the reference token.

    Returns:
        The batches' loss, summed over their target tokens.

    Raises:
        S2SError: the loss or its gradient is not finite; the weights stay untouched.
    """
    model.train()
    optimizer.zero_grad(set_to_none=True)
    num_tokens = sum(batch.num_tokens for batch in batches)
    total = 0.0
    for batch in batches:
        with autocast(config, batch.src.device):
            logits = _predict(model, batch, forcing)
        loss = token_loss(logits.float(), batch.tgt_out[batch.tgt_mask], config.label_smoothing)
        (loss / num_tokens).backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not bool(torch.isfinite(norm)):
        raise S2SError(
            f"the gradient is not finite (loss {total:g}); the weights were left as they "
            "were; lower training.learning_rate or training.clip_norm"
        )
    optimizer.step()
    return total


def autocast(config: Training, device: torch.device) -> torch.autocast:
    """Matrix products in bfloat16 while the block runs, if the recipe says so."""
    is_on = config.precision == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_on)


def _predict(model: Seq2Seq, batch: Batch, forcing: float) -> Tensor:
    """Logits `(tokens, vocab)` of a batch's real positions."""
    if forcing >= 1:
        return model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)  # type: ignore[no-any-return]
    # Drawn on the CPU, so that every device sees the same draws.
    forced = torch.rand(batch.tgt_in.shape) < forcing
    return model.forward_sampled(
        batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, forced.to(batch.src.device)
    )
