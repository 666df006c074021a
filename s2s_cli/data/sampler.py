"""Which pairs make up which batch: a pure function of (seed, epoch)."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

POOL_BATCHES = 40
"""Pairs are sorted by length within pools of this many batches: little padding, yet other
neighbours in every epoch."""

Lengths = npt.NDArray[np.int32] | Sequence[tuple[int, int]]
"""Source and target length of every pair `(pairs, 2)`."""

Numbers = npt.NDArray[np.int64]


class EpochBatches(Sequence[list[int]]):
    """The batches of an epoch in the order of training; each is cut when it is asked for."""

    def __init__(self, order: Numbers, starts: Numbers, turns: Numbers) -> None:
        """Keep what the batches follow from.

        Args:
            order: the pairs, batch behind batch.
            starts: where in `order` each batch begins, and where the last one ends.
            turns: which batch comes when.
        """
        self._order, self._starts, self._turns = order, starts, turns

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        """The pairs of a batch, or of several."""
        if isinstance(index, slice):
            return [self._cut(int(turn)) for turn in self._turns[index]]
        return self._cut(int(self._turns[index]))

    def _cut(self, batch: int) -> list[int]:
        pairs: list[int] = self._order[self._starts[batch] : self._starts[batch + 1]].tolist()
        return pairs


def epoch_batches(
    lengths: Lengths,
    batch_size: int,
    seed: int,
    epoch: int,
    weights: npt.ArrayLike | None = None,
    *,
    by_tokens: bool = False,
) -> EpochBatches:
    """Indices of the pairs of each batch of an epoch, in the order of training.

    Nothing is remembered from call to call, so a run resumes from `(seed, epoch, step)` alone.

    Args:
        lengths: source and target length of every pair.
        batch_size: pairs in a batch, or tokens; the last of an epoch may be smaller.
        seed: of the run.
        epoch: from 0.
        weights: how often each pair comes in an epoch, above 0; of a fraction, a share of the
            pairs is drawn. Once if None.
        by_tokens: count tokens of the longer side, markers and padding included.
    """
    generator = np.random.default_rng([seed, epoch])
    drawn = len(lengths) if weights is None else _draw(np.asarray(weights), generator)
    order: Numbers = generator.permutation(drawn)
    src, tgt = np.asarray(lengths).T
    total = int(np.maximum(src, tgt).sum()) + len(src) if by_tokens else len(src)
    pool_size = POOL_BATCHES * max(1, batch_size * len(src) // total)
    sizes: list[int] = []
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        pool = pool[np.lexsort((src[pool], tgt[pool]))]
        order[start : start + pool_size] = pool
        if by_tokens:
            sizes += _fill(np.maximum(src[pool], tgt[pool]) + 1, batch_size)
        else:
            sizes += _divide(len(pool), batch_size)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return EpochBatches(order, starts, generator.permutation(len(sizes)))


def _divide(num_pairs: int, batch_size: int) -> list[int]:
    """Sizes of the batches of a pool by pairs."""
    whole, rest = divmod(num_pairs, batch_size)
    return [batch_size] * whole + [rest] * (rest > 0)


def _fill(widths: npt.NDArray[np.int32], batch_size: int) -> Iterator[int]:
    """Sizes of the batches of a pool by tokens; a pair that is too wide by itself stands alone.

    Args:
        widths: tokens of the longer side of each pair, in the pool's order.
        batch_size: tokens of a batch, padding included.
    """
    begin = 0
    while begin < len(widths):
        # No more than this can be in it: the batch is at least as wide as its first pair.
        most = max(1, batch_size // int(widths[begin]))
        widest = np.maximum.accumulate(widths[begin : begin + most])
        too_many = widest * np.arange(1, len(widest) + 1) > batch_size
        size = max(1, int(too_many.argmax())) if too_many.any() else len(widest)
        yield size
        begin += size


def _draw(weights: npt.NDArray[np.float64], generator: np.random.Generator) -> Numbers:
    """The pairs of an epoch, each as often as its weight says; at least one.

    Fractions are drawn systematically: the pairs are laid end to end in random order, each as long
    as its fraction, and those in which a whole number falls are taken. So every source gets its
    share, give or take one pair, and each of its pairs has the same chance.
    """
    whole = np.floor(weights).astype(np.int64)
    order = generator.permutation(len(weights))
    order = order[np.argsort(weights[order], kind="stable")]  # the pairs of a source side by side
    ends = np.cumsum((weights - whole)[order]) + generator.random()
    whole[order] += np.diff(np.floor(ends), prepend=0.0).astype(np.int64)
    if not whole.any():
        whole[order[0]] = 1
    return np.repeat(np.arange(len(weights)), whole)
