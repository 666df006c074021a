"""The training loop: a generator of updates. It never prints, saves or validates."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy.typing as npt
import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, collate, epoch_batches, prefetch
from s2s_cli.data.tokenized import EncodedPairs, lengths_of
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.parallel import ALONE, Ranks
from s2s_cli.training.optimizer import learning_rate, set_learning_rate, teacher_forcing
from s2s_cli.training.step import Gradients


class Position(NamedTuple):
    """Where a run stands: three integers from which the order of data follows."""

    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Batches of the present epoch done."""
    step: int = 0
    """Updates done since the start."""


BEGINNING = Position()

MADE_AHEAD = frozenset({"cuda"})
"""Kinds of devices that work while the processor makes the next batch."""


class Lessons(NamedTuple):
    """What a model learns from."""

    pairs_of: Callable[[int], EncodedPairs]
    """The pairs of an epoch (from 0)."""
    weights: npt.ArrayLike | None = None
    """How often each pair is seen in an epoch; once if None."""
    ranks: Ranks = ALONE
    """Which part of each batch is for this process."""


class Progress(NamedTuple):
    """What one update did."""

    position: Position
    """After the update; at an epoch's last update still within that epoch."""
    num_batches: int
    """Batches of the epoch."""
    loss: float
    """Sum over the target tokens of all processes, in nats, label smoothing included."""
    num_tokens: int
    """Real target tokens, eos counted."""
    learning_rate: float
    seconds: float
    is_applied: bool = True
    """Whether the weights were changed: not where the loss or the gradient is not finite."""
    is_overflow: bool = False
    """Whether that is float16's fault: the next update has a smaller scale."""
    pairs: tuple[int, ...] = ()
    """The pairs of an update that was not applied."""
    num_parts: int = 0
    """Into how many its batches had to be split, if that is more than before."""

    @property
    def is_epoch_end(self) -> bool:
        """Whether this was the epoch's last update."""
        return self.position.batch == self.num_batches


class Update(NamedTuple):
    """What one optimizer step came to."""

    loss: float
    """In nats, label smoothing included."""
    num_tokens: int
    """Real target tokens, eos counted."""
    num_parts: int
    """Into how many parts the batches were split, if that is more than before."""
    is_applied: bool
    is_overflow: bool


def train(
    model: Seq2Seq,
    lessons: Lessons,
    optimizer: Optimizer,
    config: Training,
    start: Position = BEGINNING,
    count_decays: Callable[[], int] = lambda: 0,
    scaler: GradScaler | None = None,
) -> Iterator[Progress]:
    """Update the model batch by batch, from `start` to the last epoch.

    An update whose loss or gradient is not finite is left out: the weights stay as they are.

    Args:
        model: on its device.
        lessons: what it learns from.
        optimizer: of the model's parameters.
        config: sizes and schedules.
        start: where to begin, or to go on.
        count_decays: asked at each update how often a plateau was met so far.
        scaler: of the loss; a new one if None.

    Raises:
        DeviceError: the memory is too small for a single pair.
    """
    device = next(model.parameters()).device
    ranks = lessons.ranks
    gradients = Gradients(model, config, ranks, scaler)
    position = start
    for epoch in range(start.epoch, config.epochs):
        pairs = lessons.pairs_of(epoch)
        batches = epoch_batches(
            lengths_of(pairs),
            config.batch_size * ranks.size,
            config.seed,
            epoch,
            lessons.weights,
            by_tokens=config.batch_by == "tokens",
        )
        indices = range(position.batch, len(batches), config.accumulate)
        groups = (batches[index : index + config.accumulate] for index in indices)
        shared = _share_all(groups, pairs, ranks, is_ahead=device.type in MADE_AHEAD)
        for index in indices:
            started = time.perf_counter()
            group, own = next(shared)
            rate = learning_rate(config, epoch, position.step, count_decays())
            set_learning_rate(optimizer, rate)
            loaded = [batch.to(device) for batch in own]
            forcing = teacher_forcing(config, position.step)
            done = update(gradients, loaded, optimizer, config, forcing)
            position = Position(epoch, index + len(group), position.step + 1)
            yield Progress(
                position,
                len(batches),
                done.loss,
                done.num_tokens,
                learning_rate=rate,
                seconds=time.perf_counter() - started,
                is_applied=done.is_applied,
                is_overflow=done.is_overflow,
                pairs=() if done.is_applied else tuple(chain.from_iterable(group)),
                num_parts=done.num_parts,
            )
        position = Position(epoch + 1, 0, position.step)


Group = Sequence[Sequence[int]]
"""The batches of an update: numbers of pairs."""


def _share_all(
    groups: Iterable[Group], pairs: EncodedPairs, ranks: Ranks, *, is_ahead: bool
) -> Iterator[tuple[Group, list[Batch]]]:
    """Each group, and this process's part of it; made one ahead of need where that helps."""

    def make(group: Group) -> tuple[Group, list[Batch]]:
        return group, [share(batch, pairs, ranks) for batch in group]

    return prefetch(make, groups) if is_ahead else map(make, groups)


def share(indices: Sequence[int], pairs: EncodedPairs, ranks: Ranks) -> Batch:
    """This process's part of a batch: every so many-th pair, so that lengths stay alike.

    Where there are fewer pairs than processes, one that has none takes the first, and counts
    nothing of it: every process has to take part in every update.
    """
    own = indices[ranks.rank :: ranks.size]
    if len(own):
        return collate([pairs[i] for i in own])
    return collate([pairs[indices[0]]])._replace(num_tokens=0)


def update(
    gradients: Gradients,
    batches: Sequence[Batch],
    optimizer: Optimizer,
    config: Training,
    forcing: float = 1.0,
) -> Update:
    """One optimizer step on the mean loss of a token of some batches.

    Args:
        gradients: of the model; they are added up over the batches.
        batches: on the model's device.
        optimizer: of the model's parameters.
        config: the gradient norm.
        forcing: chance that a decoder input is the reference token.

    Returns:
        What was done, over all processes, which all do alike. If the loss or its gradient is not
        finite, the weights stay untouched.

    Raises:
        DeviceError: the memory is too small for a single pair.
    """
    gradients.model.train()
    optimizer.zero_grad(set_to_none=True)
    scaler = gradients.scaler
    sums, scale = gradients.add_up(batches, forcing), scaler.get_scale()
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(gradients.model.parameters(), config.clip_norm)
    is_finite = math.isfinite(sums.loss) and bool(torch.isfinite(norm))
    if is_finite:
        scaler.step(optimizer)
    scaler.update()
    # With a scale of 1 there is nothing left to blame it on.
    is_overflow = math.isfinite(sums.loss) and 1 <= scaler.get_scale() < scale
    return Update(*sums, is_applied=is_finite, is_overflow=is_overflow)
