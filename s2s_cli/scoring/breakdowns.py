"""Parts of a test set that are scored apart: by length, and sentence by sentence."""

from collections.abc import Sequence
from typing import NamedTuple

LENGTHS = (5, 10, 15, 20, 30, 50)
"""Upper ends of the ranges of lengths, in words."""


class LengthGroup(NamedTuple):
    """The sentences whose lengths are in a range."""

    range: str
    """In words, such as `6-10`."""
    places: list[int]
    """Positions of the sentences."""


def group_by_length(lengths: Sequence[int]) -> list[LengthGroup]:
    """Group sentences by length, shortest first; ranges without a sentence are left out.

    Args:
        lengths: of all sentences, in words.
    """
    ranges = [(0, LENGTHS[0]), *zip(LENGTHS, (*LENGTHS[1:], None), strict=True)]
    groups = []
    for low, high in ranges:
        places = [
            place
            for place, length in enumerate(lengths)
            if (low == 0 or low < length) and (high is None or length <= high)
        ]
        is_blank = any(lengths[place] == 0 for place in places)
        name = f">{low}" if high is None else f"{low + (not is_blank)}-{high}"
        if places:
            groups.append(LengthGroup(name, places))
    return groups


class SentenceChange(NamedTuple):
    """A sentence that two systems translate differently."""

    place: int
    chrf: tuple[float, float]
    """Of the first and of the second system, 0 to 100."""


class Changes(NamedTuple):
    """The sentences that a second system translates differently from a first one."""

    improved: list[SentenceChange]
    """The largest gains in chrF, in order."""
    worse: list[SentenceChange]
    """The largest losses in chrF, in order."""
    num_improved: int
    num_worse: int
    num_same: int
    """Sentences with the same chrF."""


def find_changes(first: Sequence[float], second: Sequence[float], number: int) -> Changes:
    """Find the sentences that change most.

    Args:
        first: chrF of each sentence by the first system.
        second: the same by the second.
        number: how many of the most improved, and of the worst, are returned.
    """
    changes = [
        SentenceChange(place, pair) for place, pair in enumerate(zip(first, second, strict=True))
    ]
    changes.sort(key=lambda change: change.chrf[0] - change.chrf[1])
    improved = [change for change in changes if change.chrf[1] > change.chrf[0]]
    worse = [change for change in reversed(changes) if change.chrf[1] < change.chrf[0]]
    num_same = len(changes) - len(improved) - len(worse)
    return Changes(improved[:number], worse[:number], len(improved), len(worse), num_same)
