"""Sentence-level scores between all pairs of texts: the utilities of minimum Bayes risk decoding.

sacrebleu extracts the n-grams and computes each score from counts, so the scores are those of its
`sentence_score`. That would extract the n-grams of every text again for every pair; here it happens
once, and array operations count the matches.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.helpers import extract_all_char_ngrams, extract_all_word_ngrams

from s2s_cli.scoring.metrics import make_sentence_bleu

UtilityName = Literal["chrf", "bleu"]
Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Ngrams = Sequence[Counter[Any]]
"""The n-grams of one order in each text, counted."""
Utility = Callable[[Sequence[str]], Matrix]
"""Scores each text (row) as a translation against each text (column) as its reference, 0 to 100:
`(texts, texts)`."""


def make_utility(name: UtilityName, tgt_lang: str) -> Utility:
    """The chrF or the BLEU of sentences; case counts.

    BLEU has no higher order of n-grams than the translation (sacrebleu's effective order). A
    translation without text scores 0, even against itself.

    Args:
        name: of the metric.
        tgt_lang: selects the tokeniser of BLEU.

    Raises:
        ConfigError: the tokeniser is not installed.
    """
    if name == "chrf":
        return partial(_score_by_chrf, CHRF())
    return partial(_score_by_bleu, make_sentence_bleu(tgt_lang))


def _score_by_chrf(metric: CHRF, texts: Sequence[str]) -> Matrix:
    ngrams = [extract_all_char_ngrams(text, metric.char_order) for text in texts]
    statistics = []
    for of_order in zip(*ngrams, strict=True):
        in_reference = _repeat(_count_all(of_order))
        statistics += [in_reference.T, in_reference, _count_matches(of_order)]
    return _compute_scores(metric, statistics)


def _score_by_bleu(metric: BLEU, texts: Sequence[str]) -> Matrix:
    orders = range(1, metric.max_ngram_order + 1)
    segments = [metric._preprocess_segment(text) for text in texts]  # This tokenises them.
    ngrams = [[extract_all_word_ngrams(text, n, n)[0] for text in segments] for n in orders]
    in_reference = [_repeat(_count_all(of_order)) for of_order in ngrams]
    in_translation = [counts.T for counts in in_reference]
    matches = [_count_matches(of_order) for of_order in ngrams]
    # The length is the number of n-grams of order 1.
    lengths = [in_translation[0], in_reference[0]]
    return _compute_scores(metric, [*lengths, *matches, *in_translation])


def _count_all(ngrams: Ngrams) -> Counts:
    """The number of n-grams of each text, `(texts,)`."""
    return np.array([counts.total() for counts in ngrams])


def _repeat(counts: Counts) -> Counts:
    """A table of all pairs, `(texts, texts)`, of counts that depend on the reference alone."""
    return np.broadcast_to(counts, (len(counts), len(counts)))


def _count_matches(ngrams: Ngrams) -> Counts:
    """The number of n-grams that each pair of texts has in common, `(texts, texts)`."""
    different = dict.fromkeys(ngram for counts in ngrams for ngram in counts)
    rows = {ngram: row for row, ngram in enumerate(different)}
    own_rows = [np.array([rows[ngram] for ngram in counts], dtype=np.intp) for counts in ngrams]
    table = np.zeros((len(rows), len(ngrams)), dtype=np.int32)
    for text, counts in enumerate(ngrams):
        table[own_rows[text], text] = list(counts.values())
    return np.stack(
        [np.minimum(table[own], table[own, text, None]).sum(0) for text, own in enumerate(own_rows)]
    )


def _compute_scores(metric: Metric, statistics: Sequence[Counts]) -> Matrix:
    """The scores of all pairs, from the counts in sacrebleu's order, each `(texts, texts)`."""
    # Row by row, because a thousand texts have a million pairs.
    rows = (np.stack(row, axis=-1).tolist() for row in zip(*statistics, strict=True))
    return np.array(
        [[metric._compute_score_from_stats(pair).score for pair in row] for row in rows]
    )
