"""Where BLEU says little about translations."""

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
