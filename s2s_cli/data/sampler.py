"""Which pairs make up which batch: a pure function of (seed, epoch)."""

from collections.abc import Iterator, Sequence

import numpy as np

POOL_BATCHES = 40
"""Pairs are sorted by length within pools of this many batches: little padding, yet other
neighbours in every epoch."""


def epoch_batches(
    lengths: Sequence[tuple[int, int]],
    batch_size: int,
    seed: int,
    epoch: int,
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
        by_tokens: count tokens of the longer side, markers and padding included.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths)).tolist()
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
