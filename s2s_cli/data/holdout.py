"""Held-out shares: which training pairs go to validation and test instead.

Each source sentence has a hash of (seed, folded sentence). Pairs whose hash lies below a threshold
are held out. So all pairs of one source sentence go to one side, whichever source they come from;
pairs do not change sides when others are added; and a large corpus is split while it is read.
For a large corpus the threshold is the share itself. For a small one it is the k-th smallest hash,
so that the number of held-out pairs is exact.
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
"""With fewer pairs the number of held-out pairs is exact."""

_NUM_HASHES = 1 << 64


class Holdout(NamedTuple):
    """How training pairs are divided among splits."""

    splits: tuple[str, ...]
    """The splits that are held out, then `train`."""
    thresholds: tuple[int, ...]
    """Upper bounds of the hashes of each held-out split, ascending."""
    seed: int

    def split_of(self, src: str) -> str:
        """The split of all pairs with this source sentence."""
        if not self.thresholds:
            return self.splits[-1]
        found = _hash(self.seed, src)
        return self.splits[sum(found >= threshold for threshold in self.thresholds)]


def choose_holdout(sources: Sequence[PairSource], shares: dict[str, float], seed: int) -> Holdout:
    """Choose thresholds that hold out shares of the pairs.

    Args:
        sources: of train; the first `SMALL_CORPUS` pairs are read, none without shares.
        shares: by split, above 0.
        seed: another seed holds out other pairs.

    Raises:
        DataError: the text is malformed, or there are too few pairs for the shares.
    """
    if sum(shares.values()) >= 1:
        raise DataError("data.valid and data.test hold out everything; leave some pairs to train")
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
    """Thresholds that hold out whole groups of equal hashes until each share is reached."""
    unique, counts = np.unique(hashes, return_counts=True)
    num_before = np.cumsum(counts) - counts
    numbers = [int(np.searchsorted(num_before, bound * len(hashes))) for bound in bounds]
    return tuple(int(unique[number]) if number < len(unique) else _NUM_HASHES for number in numbers)


def check_parts(num_pairs: dict[str, int]) -> None:
    """Refuse a share that got no pairs.

    Args:
        num_pairs: pairs of each split into which train was divided.

    Raises:
        DataError: one has none.
    """
    for name, number in num_pairs.items():
        if not number:
            total = sum(num_pairs.values())
            raise DataError(
                f"data.{name}: {total:,} pairs are too few to hold out such a share (all pairs of "
                "one source sentence go to one side); give more text, or files for valid and test"
            )


def _hash(seed: int, src: str) -> int:
    """The first 8 bytes of the SHA-256 of the seed and the folded sentence."""
    content = f"{seed}\t{fold_sentence(src)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:8])
