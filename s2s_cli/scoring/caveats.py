"""Doubts about scores: test sets on which BLEU says little, models that ignore the source."""

from collections import Counter
from collections.abc import Sequence

from s2s_cli.scoring.labels import look_like_labels
from s2s_cli.scoring.metrics import ScoringSettings, make_bleu

MIN_SENTENCES = 100
"""With fewer sentences, differences in BLEU are mostly chance."""

MAX_NGRAM = 4
"""Length of the longest n-grams that BLEU counts."""

MIN_HYPOTHESES = 10
"""With fewer translations, equal ones prove nothing."""

MAX_SHARE = 0.5
"""Share of the sentences above which one and the same translation is suspicious."""

MIN_RATIO = 2.0
"""So many times the share of the most frequent reference is suspicious."""


def find_caveat(references: Sequence[Sequence[str]], settings: ScoringSettings) -> str | None:
    """Why BLEU says little on a test set; None if there is no reason.

    Args:
        references: one or more lists of references.
        settings: of the scores.
    """
    has_labels = look_like_labels(references, settings.tgt_lang)
    reasons = ["the references look like labels"] if has_labels else []
    tokenize = make_bleu(settings).tokenizer
    texts = (text for side in references for text in side)
    if not has_labels and all(len(tokenize(text).split()) < MAX_NGRAM for text in texts):
        reasons.append("no reference has four tokens")
    if references and len(references[0]) < MIN_SENTENCES:
        reasons.append(f"fewer than {MIN_SENTENCES} sentences")
    return f"BLEU says little: {', '.join(reasons)}" if reasons else None


def find_collapse(hypotheses: Sequence[str], references: Sequence[str]) -> str | None:
    """Report that most sentences have the same translation, unless their references are as equal.

    Args:
        hypotheses: the translations.
        references: of the same sentences. Labels are few, and one of them may be frequent.

    Returns:
        The share of the sentences, and their translation, in words; None if there is no collapse.
    """
    if len(hypotheses) < MIN_HYPOTHESES:
        return None
    text, number = Counter(hypotheses).most_common(1)[0]
    share = number / len(hypotheses)
    expected = Counter(references).most_common(1)[0][1] / len(references)
    is_only_one = number == len(hypotheses) and expected < 1
    if share > MAX_SHARE and (is_only_one or share > MIN_RATIO * expected):
        what = f'the same translation, "{text}"' if text.strip() else "an empty translation"
        return f"{share:.0%} of the sentences have {what}"
    return None
