"""Held-out shares: which training pairs belong to validation and test instead.

Each pair has the hash of its source sentence (with the seed; case and white space do not matter).
Pairs whose hash is below a threshold are held out. Therefore

- all pairs of a source sentence are in the same split, in whichever source of the recipe they are;
- a large corpus is divided while it is read;
- pairs of a large corpus stay in their split when other pairs are added.

In a large corpus the threshold is the share times 2^64. In a small one it is the k-th smallest
hash, so that the number of held-out pairs is exact (up to repeated source sentences).
"""

import hashlib
from collections.abc import Sequence
from itertools import accumulate, chain, islice
from typing import NamedTuple

import numpy as np

from s2s_cli.data.fingerprints import fold_sentence
from s2s_cli.data.pairs import PairSource
from s2s_cli.errors import DataError

SMALL_CORPUS = 20_000
"""A corpus with fewer pairs is small: its number of held-out pairs is exact."""

_NUM_HASHES = 1 << 64


class Holdout(NamedTuple):
    """Decides to which split each training pair belongs."""

    splits: tuple[str, ...]
    """The held-out splits, then `train`."""
    thresholds: tuple[int, ...]
    """Upper bounds of the hashes of each held-out split, ascending."""
    seed: int

    def split_of(self, src: str) -> str:
        """Return the split of all pairs with this source sentence."""
        if not self.thresholds:
            return self.splits[-1]
        found = _hash(self.seed, src)
        return self.splits[sum(found >= threshold for threshold in self.thresholds)]


def choose_holdout(sources: Sequence[PairSource], shares: dict[str, float], seed: int) -> Holdout:
    """Choose thresholds that hold out shares of the pairs.

    Args:
        sources: of train; if there are shares, up to `SMALL_CORPUS` pairs are read.
        shares: by split, above 0, less than 1 in all.
        seed: another seed holds out other pairs.

    Raises:
        DataError: the text is malformed, or there are too few pairs for the shares.
    """
    if not shares:
        return Holdout(("train",), (), seed)
    bounds = list(accumulate(shares.values()))
    rows = chain.from_iterable(source.read() for source in sources)
    hashes = [_hash(seed, row[0]) for row in islice(rows, SMALL_CORPUS)]
    if len(hashes) == SMALL_CORPUS:
        thresholds = tuple(int(bound * _NUM_HASHES) for bound in bounds)
    else:
        thresholds = _find_thresholds(np.array(hashes, dtype=np.uint64), bounds)
    return Holdout((*shares, "train"), thresholds, seed)


def _find_thresholds(
    hashes: "np.ndarray[tuple[int], np.dtype[np.uint64]]", bounds: Sequence[float]
) -> tuple[int, ...]:
    """Return thresholds that hold out groups of equal hashes until each share is reached."""
    unique, counts = np.unique(hashes, return_counts=True)
    num_before = np.cumsum(counts) - counts
    # Rounded, because 0.1 + 0.2 of 1,500 pairs is not more than 450 pairs.
    wanted = [round(bound * len(hashes), 6) for bound in bounds]
    numbers = [int(np.searchsorted(num_before, number)) for number in wanted]
    return tuple(int(unique[number]) if number < len(unique) else _NUM_HASHES for number in numbers)


def check_split_sizes(num_pairs: dict[str, int]) -> None:
    """Refuse shares that are too small to contain a pair, or leave none to train.

    Args:
        num_pairs: by split, including train.

    Raises:
        DataError: a split has no pairs.
    """
    for name, number in num_pairs.items():
        if not number:
            total = sum(num_pairs.values())
            raise DataError(
                f"data.{name}: {total:,} pairs are too few to hold out such a share (all pairs of "
                "one source sentence go to one side); give more text, or files for valid and test"
            )


def _hash(seed: int, src: str) -> int:
    """Hash a seed and a folded sentence to 8 bytes."""
    content = f"{seed}\t{fold_sentence(src)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8])
