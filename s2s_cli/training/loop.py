"""The training loop: a generator of updates. It never prints, saves or validates."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.optim import Adam

from s2s_cli.config import Training
from s2s_cli.data.batch import Batch, collate
from s2s_cli.data.sampler import epoch_batches
from s2s_cli.data.tokenized import EncodedPair
from s2s_cli.errors import S2SError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.loss import token_loss
from s2s_cli.training.optimizer import learning_rate


class Position(NamedTuple):
    """Where a run stands: three integers from which the order of data follows."""

    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Batches of the present epoch done."""
    step: int = 0
    """Updates done since the start."""


BEGINNING = Position()


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
    pairs: Sequence[EncodedPair],
    optimizer: Adam,
    config: Training,
    start: Position = BEGINNING,
) -> Iterator[Progress]:
    """Update the model batch by batch, from `start` to the last epoch.

    Raises:
        S2SError: the loss or its gradient is not finite; the weights are still those before.
    """
    device = next(model.parameters()).device
    lengths = [(len(src), len(tgt)) for src, tgt in pairs]
    position = start
    for epoch in range(start.epoch, config.epochs):
        rate = learning_rate(config, epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batches = epoch_batches(lengths, config.batch_size, config.seed, epoch)
        for index in range(position.batch, len(batches)):
            started = time.perf_counter()
            batch = collate([pairs[i] for i in batches[index]]).to(device)
            loss = update(model, batch, optimizer, config)
            position = Position(epoch, index + 1, position.step + 1)
            seconds = time.perf_counter() - started
            yield Progress(position, len(batches), loss, batch.num_tokens, rate, seconds)
        position = Position(epoch + 1, 0, position.step)


def update(model: Seq2Seq, batch: Batch, optimizer: Adam, config: Training) -> float:
    """One optimizer step on one batch.

    Returns:
        The batch's loss, summed over its target tokens.

    Raises:
        S2SError: the loss or its gradient is not finite; the weights stay untouched.
    """
    model.train()
    optimizer.zero_grad(set_to_none=True)
    if config.teacher_forcing < 1:
        # Drawn on the CPU, so that every device sees the same draws.
        forced = torch.rand(batch.tgt_in.shape) < config.teacher_forcing
        logits = model.forward_sampled(
            batch.src,
            batch.src_lengths,
            batch.tgt_in,
            batch.tgt_mask,
            forced.to(batch.tgt_in.device),
        )
    else:
        logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    loss = token_loss(logits, batch.tgt_out[batch.tgt_mask], config.label_smoothing)
    (loss / batch.num_tokens).backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    if not bool(torch.isfinite(norm)):
        raise S2SError(
            f"the gradient is not finite (loss {loss.item():g}); the weights were left as they "
            "were; lower training.learning_rate or training.clip_norm"
        )
    optimizer.step()
    return loss.item()
