"""Which pairs make up which batch: a pure function of (seed, epoch)."""

from collections.abc import Sequence

import numpy as np

POOL_BATCHES = 40
"""Pairs are sorted by length within pools of this many batches: little padding, yet other
neighbours in every epoch."""


def epoch_batches(
    lengths: Sequence[tuple[int, int]], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Indices of the pairs of each batch of an epoch, in the order of training.

    Nothing is remembered from call to call, so a run resumes from `(seed, epoch, step)` alone.

    Args:
        lengths: source and target length of every pair.
        batch_size: pairs in a batch; the last of an epoch may be smaller.
        seed: of the run.
        epoch: from 0.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths)).tolist()
    pool_size = batch_size * POOL_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda i: lengths[i][::-1])
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches)).tolist()]
