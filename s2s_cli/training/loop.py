"""The training loop: a generator of updates. It never prints, saves or validates."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy.typing as npt
import torch
from torch.optim import Optimizer

from s2s_cli.config import Training
from s2s_cli.data.batch import Batch, collate
from s2s_cli.data.sampler import epoch_batches
from s2s_cli.data.tokenized import EncodedPairs, lengths_of
from s2s_cli.distributed import ALONE, Ranks
from s2s_cli.errors import S2SError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.gradients import Gradients, Sums
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
    ranks = lessons.ranks
    gradients = Gradients(model, config, ranks)
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
        for index in range(position.batch, len(batches), config.accumulate):
            started = time.perf_counter()
            rate = learning_rate(config, epoch, position.step, count_decays())
            set_learning_rate(optimizer, rate)
            group = batches[index : index + config.accumulate]
            loaded = [share(batch, pairs, ranks).to(device) for batch in group]
            forcing = teacher_forcing(config, position.step)
            sums = update(gradients, loaded, optimizer, config, forcing)
            position = Position(epoch, index + len(group), position.step + 1)
            seconds = time.perf_counter() - started
            yield Progress(position, len(batches), *sums, rate, seconds)
        position = Position(epoch + 1, 0, position.step)


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
) -> Sums:
    """One optimizer step on the mean loss of a token of some batches.

    Args:
        gradients: of the model; they are added up over the batches.
        batches: on the model's device.
        optimizer: of the model's parameters.
        config: the gradient norm.
        forcing: chance that a decoder input is the reference token.

    Returns:
        The batches' loss and tokens, over all processes.

    Raises:
        S2SError: the loss or its gradient is not finite; the weights stay untouched.
    """
    gradients.model.train()
    optimizer.zero_grad(set_to_none=True)
    sums = gradients.add_up(batches, forcing)
    norm = torch.nn.utils.clip_grad_norm_(gradients.model.parameters(), config.clip_norm)
    if not bool(torch.isfinite(norm)):
        raise S2SError(
            f"the gradient is not finite (loss {sums.loss:g}); the weights were left as they "
            "were; lower training.learning_rate or training.clip_norm"
        )
    optimizer.step()
    return sums
