"""How much of validation and test text also stands in train."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from s2s_cli.data.fingerprints import Fingerprints


class Leakage(NamedTuple):
    """Pairs of a split, and those of them that stand in train."""

    num_pairs: int
    num_sources: int
    """Pairs whose source sentence stands in train, be it with another translation."""
    num_whole: int
    """Pairs that stand in train as they are."""


def find_leakage(rows: Iterable[Sequence[str]], train: Fingerprints) -> Leakage:
    """Count what of a split stands in train; case and white space do not count.

    Args:
        rows: source sentences, each with its translations.
        train: the fingerprints of train.
    """
    num_pairs = num_sources = num_whole = 0
    for row in rows:
        has_source, has_whole = train.contain(row)
        num_pairs += 1
        num_sources += has_source
        num_whole += has_whole
    return Leakage(num_pairs, num_sources, num_whole)
