"""Whether there is enough text, and whether the vocabularies know enough of it."""

from collections.abc import Iterable
from typing import NamedTuple

MIN_PAIRS = {"train": 1000, "valid": 50}
"""Fewer teach a model little, or measure it badly."""

MIN_COVERAGE = 0.8
"""Share of running tokens that a vocabulary should know."""


class FewPairs(NamedTuple):
    """A split with too few pairs."""

    split: str
    num_pairs: int
    wanted: int
    """The least that would not be too few."""


class Known(NamedTuple):
    """How much of one side of a split its vocabulary knows."""

    label: str
    """Split and language: `valid zh`."""
    num_tokens: int
    share: float
    """Of the tokens, 0 to 1."""


def find_few_pairs(**num_pairs: int) -> list[FewPairs]:
    """The splits, `train` and `valid`, that have too few pairs."""
    return [
        FewPairs(split, number, MIN_PAIRS[split])
        for split, number in num_pairs.items()
        if number < MIN_PAIRS[split]
    ]


def find_low_coverage(sides: Iterable[Known]) -> list[Known]:
    """The sides of which the vocabularies know too little."""
    return [side for side in sides if side.num_tokens and side.share < MIN_COVERAGE]
