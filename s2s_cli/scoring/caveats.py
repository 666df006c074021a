"""Where BLEU says little about translations."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from s2s_cli.scoring.labels import look_like_labels
from s2s_cli.scoring.metrics import ScoringSettings, make_bleu
from s2s_cli.text.word_boundaries import split_plain

FEWEST_SENTENCES = 100
"""With fewer, differences in BLEU are mostly chance."""

LONGEST_NGRAM = 4
"""Tokens of the longest n-grams that BLEU counts."""


class Caveat(NamedTuple):
    """Why BLEU says little on a test set."""

    text: str
    has_labels: bool
    """Whether the references look like labels, so that accuracy is the better measure."""


def find_caveat(references: Sequence[Sequence[str]], settings: ScoringSettings) -> Caveat | None:
    """Why BLEU says little on a test set; None if nothing speaks against it.

    Args:
        references: one or more lists of references.
        settings: of the scores.
    """
    has_labels = look_like_labels(references, split_plain(settings.tgt_lang))
    reasons = ["the references look like labels"] if has_labels else []
    tokenize = make_bleu(settings).tokenizer
    texts = (text for side in references for text in side)
    if not has_labels and all(len(tokenize(text).split()) < LONGEST_NGRAM for text in texts):
        reasons.append("no reference has four tokens")
    if references and len(references[0]) < FEWEST_SENTENCES:
        reasons.append(f"fewer than {FEWEST_SENTENCES} sentences")
    return Caveat(f"BLEU says little: {', '.join(reasons)}", has_labels) if reasons else None


FEWEST_HYPOTHESES = 10
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
    if len(hypotheses) < FEWEST_HYPOTHESES:
        return None
    text, number = Counter(hypotheses).most_common(1)[0]
    share = number / len(hypotheses)
    expected = Counter(references).most_common(1)[0][1] / len(references)
    is_only = number == len(hypotheses) and expected < 1
    if share > MOST_SHARE and (is_only or share > TIMES * expected):
        return Collapse(text, share)
    return None
