"""Which lines of a test set are scored: those whose first reference is not blank.

The rule looks at references only, so that scoring a model and scoring its translations from a file
give the same numbers. A line with a reference counts whatever its translation, an empty one
included.
"""

from collections.abc import Sequence
from typing import NamedTuple

from s2s_cli.scoring.metrics import check_lengths


class ScoredLines(NamedTuple):
    """The lines of a test set that are scored."""

    numbers: list[int]
    """Their places in the test set, from 0."""
    hypotheses: list[str]
    references: list[list[str]]
    """One list per reference; where a further reference is blank, the first stands in for it."""


def choose_scored_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> ScoredLines:
    """Leave out the lines whose first reference is blank.

    Args:
        hypotheses: one translation per line of the test set.
        references: one or more lists, each as long as `hypotheses`.

    Raises:
        DataError: nothing to score, or lists of different length.
    """
    check_lengths(hypotheses, references)
    first = references[0]
    numbers = [number for number, reference in enumerate(first) if reference.strip()]
    chosen = [
        [side[number] if side[number].strip() else first[number] for number in numbers]
        for side in references
    ]
    scored = ScoredLines(numbers, [hypotheses[number] for number in numbers], chosen)
    check_lengths(scored.hypotheses, scored.references)
    return scored
