"""Which lines of a test set are scored: those that have a reference.

The rule looks at references only, so that scoring a model and scoring its translations from a file
give the same numbers. A line with a reference counts whatever its translation, an empty one
included; the order of the references does not matter.
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
    """One list per reference; where one is blank, the first that is not stands in for it, which
    changes no score that takes the best match."""


def choose_scored_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> ScoredLines:
    """Leave out the lines whose references are all blank.

    Args:
        hypotheses: one translation per line of the test set.
        references: one or more lists, each as long as `hypotheses`.

    Raises:
        DataError: nothing to score, or lists of different length.
    """
    check_lengths(hypotheses, references)
    present = [
        next((reference for reference in row if reference.strip()), None)
        for row in zip(*references, strict=True)
    ]
    numbers = [number for number, reference in enumerate(present) if reference is not None]
    chosen = [
        [side[number] if side[number].strip() else present[number] or "" for number in numbers]
        for side in references
    ]
    scored = ScoredLines(numbers, [hypotheses[number] for number in numbers], chosen)
    check_lengths(scored.hypotheses, scored.references)
    return scored
