"""The training loop: a generator of updates. It does not print, save or validate."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy.typing as npt

from s2s_cli.data.batching import Batch, collate, epoch_batches, prefetch
from s2s_cli.data.dataset import EncodedPairs, lengths_of
from s2s_cli.parallel import Ranks, report_lost_ranks
from s2s_cli.training.memory import report_out_of_memory
from s2s_cli.training.optimizer import learning_rate, set_learning_rate, teacher_forcing
from s2s_cli.training.step import StepResult, TrainingStep

PREFETCHED_DEVICES = frozenset({"cuda"})
"""Kinds of devices that compute while the CPU makes the next batch."""


class Position(NamedTuple):
    """How far a run is; seed and position determine the batches that follow."""

    epoch: int = 0
    """Completed epochs."""
    batch: int = 0
    """Completed batches of the current epoch."""
    step: int = 0
    """Updates since the start of the run."""


class Progress(NamedTuple):
    """What one update did."""

    position: Position
    """Where the run is after this update: after the last batch of epoch e, `(e, num_batches)`."""
    num_batches: int
    """Batches of the epoch."""
    result: StepResult
    learning_rate: float
    seconds: float
    pairs: tuple[int, ...] = ()
    """The pairs of an update that was not applied."""

    @property
    def is_epoch_end(self) -> bool:
        """Whether this was the last update of its epoch."""
        return self.position.batch == self.num_batches


def train(
    step: TrainingStep,
    pairs_of: Callable[[int], EncodedPairs],
    start: Position = Position(),  # noqa: B008 (immutable)
    weights: npt.ArrayLike | None = None,
    count_decays: Callable[[], int] = lambda: 0,
) -> Iterator[Progress]:
    """Update the model batch by batch, from `start` to the end of the last epoch.

    Args:
        step: the model and its optimizer.
        pairs_of: returns the training pairs of an epoch (from 0).
        start: where to start or resume.
        weights: how often each pair occurs in an epoch; once if None.
        count_decays: returns how many plateaus have lowered the learning rate so far. A callable,
            not a number, because the caller validates while this generator is suspended.

    Raises:
        DeviceError: a batch does not fit into memory.
        LostError: another rank does not respond.
    """
    config, ranks, position = step.config, step.ranks, start
    with report_lost_ranks():
        step.distribute()
    for epoch in range(start.epoch, config.epochs):
        pairs = pairs_of(epoch)
        epoch_of_batches = epoch_batches(
            lengths_of(pairs),
            step.global_batch_size,
            config.seed,
            epoch,
            weights,
            by_tokens=config.batch_by == "tokens",
        )
        num_batches = len(epoch_of_batches)
        starts = range(position.batch, num_batches, config.accumulate)
        groups = (epoch_of_batches[first : first + config.accumulate] for first in starts)
        loaded = load_batches(groups, pairs, ranks, step.device.type)
        for _ in starts:
            started = time.perf_counter()
            group, batches = next(loaded)
            rate = learning_rate(config, epoch, position.step, count_decays())
            set_learning_rate(step.optimizer, rate)
            forcing = teacher_forcing(config, position.step)
            with report_lost_ranks(), report_out_of_memory(batches, step.device):
                moved = [batch.to(step.device) for batch in batches]
                losses, num_tokens = step.backward(moved, forcing)
                result = step.apply(losses, num_tokens)
            position = Position(epoch, position.batch + len(group), position.step + 1)
            yield Progress(
                position,
                num_batches,
                result,
                learning_rate=rate,
                seconds=time.perf_counter() - started,
                pairs=() if result.is_applied else tuple(chain.from_iterable(group)),
            )
        position = Position(epoch + 1, 0, position.step)


Group = Sequence[Sequence[int]]
"""The batches of an update, as indices of pairs."""


def load_batches(
    groups: Iterable[Group], pairs: EncodedPairs, ranks: Ranks, device_type: str
) -> Iterator[tuple[Group, list[Batch]]]:
    """Make this rank's share of the batches of each update.

    For a GPU a second thread makes the next ones, in pinned memory, while the current ones are
    computed.
    """

    def load(group: Group) -> tuple[Group, list[Batch]]:
        return group, [share_batch(batch, pairs, ranks) for batch in group]

    def load_pinned(group: Group) -> tuple[Group, list[Batch]]:
        _, batches = load(group)
        return group, [batch.pin_memory() for batch in batches]

    if device_type not in PREFETCHED_DEVICES:
        return map(load, groups)
    return prefetch(load_pinned if device_type == "cuda" else load, groups)


def share_batch(indices: Sequence[int], pairs: EncodedPairs, ranks: Ranks) -> Batch:
    """Make this rank's share of a batch: every n-th pair, so that the shares have similar lengths.

    If there are fewer pairs than ranks, a rank without a pair gets the first one, with no counted
    tokens: every rank has to take part in every update.
    """
    own = indices[ranks.rank :: ranks.size]
    if len(own):
        return collate([pairs[i] for i in own])
    return collate([pairs[indices[0]]])._replace(num_tokens=0)
