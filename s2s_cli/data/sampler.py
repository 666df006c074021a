"""Which pairs make up which batch: a pure function of (seed, epoch)."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

POOL_BATCHES = 40
"""Pairs are sorted by length within pools of this many batches: little padding, yet other
neighbours in every epoch."""


def epoch_batches(
    lengths: Sequence[tuple[int, int]],
    batch_size: int,
    seed: int,
    epoch: int,
    weights: Sequence[float] | None = None,
    *,
    by_tokens: bool = False,
) -> list[list[int]]:
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
    order = generator.permutation(drawn).tolist()
    sizes = [max(pair) + 1 if by_tokens else 1 for pair in lengths]
    pool_size = POOL_BATCHES * max(1, batch_size * len(sizes) // sum(sizes))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda i: lengths[i][::-1])
        batches += _cut(pool, sizes, batch_size)
    return [batches[i] for i in generator.permutation(len(batches)).tolist()]


def _cut(pool: list[int], sizes: list[int], batch_size: int) -> Iterator[list[int]]:
    """Batches of a pool, in its order; one that is too large by itself stands alone."""
    batch: list[int] = []
    widest = 0
    for i in pool:
        widest = max(widest, sizes[i])
        if batch and (len(batch) + 1) * widest > batch_size:
            yield batch
            batch, widest = [], sizes[i]
        batch.append(i)
    if batch:
        yield batch


def _draw(
    weights: npt.NDArray[np.float64], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
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
