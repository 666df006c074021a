"""Whether a model says the same whatever it reads."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

FEWEST_SENTENCES = 10
"""Of fewer nothing is concluded."""

MOST_SHARE = 0.5
"""A translation that more of the sentences have in common than this is suspicious."""

TIMES = 2.0
"""... if its share is so many times that of the commonest reference, or it is the only one."""


class Collapse(NamedTuple):
    """One translation of most sentences."""

    text: str
    share: float
    """Of the sentences, 0 to 1."""

    def __str__(self) -> str:
        """In words."""
        said = f'"{self.text}"' if self.text.strip() else "nothing at all"
        return f"{self.share:.0%} of the sentences are translated alike, by {said}"


def find_collapse(hypotheses: Sequence[str], references: Sequence[str]) -> Collapse | None:
    """The translation that most sentences have in common, unless their references are alike, too.

    Args:
        hypotheses: the translations.
        references: of the same sentences; labels may be few, and one of them common.
    """
    if len(hypotheses) < FEWEST_SENTENCES:
        return None
    text, number = Counter(hypotheses).most_common(1)[0]
    share = number / len(hypotheses)
    expected = Counter(references).most_common(1)[0][1] / len(references)
    is_only = number == len(hypotheses) and expected < 1
    if share > MOST_SHARE and (is_only or share > TIMES * expected):
        return Collapse(text, share)
    return None
