"""Translation edit rate (TER) by sacrebleu, without shifts in very long sentences.

TER counts insertions, deletions, substitutions and shifts of whole phrases (Snover et al. 2006).
The search for shifts takes up to a second for a sentence of 100 tokens, and its time grows with the
fourth power of the length. Longer sentences are therefore scored by the plain edit distance, which
is never less than the number of edits with shifts.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Signature
from sacrebleu.metrics.ter import TER

from s2s_cli.text.language import base_language, is_written_without_spaces

MAX_SHIFT_TOKENS = 100
"""Sentences with more tokens, in translation or reference, are scored without shifts."""


class BoundedTER(TER):
    """TER as the sacrebleu command computes it, except in sentences beyond `MAX_SHIFT_TOKENS`.

    Case is ignored, as by the command. Chinese and Japanese are scored with `--ter-normalized` and
    `--ter-asian-support`, without which a sentence would be one word. Other languages that are
    written without spaces are split into characters.
    """

    def __init__(self, tgt_lang: str, report_sentence: Callable[[], None] = lambda: None) -> None:
        """Make the metric.

        Args:
            tgt_lang: language of translations and references.
            report_sentence: called after each sentence.
        """
        is_asian = base_language(tgt_lang) in {"zh", "lzh", "ja"}
        super().__init__(normalized=is_asian, asian_support=is_asian)
        self.num_without_shifts = 0
        self._is_by_character = is_written_without_spaces(tgt_lang) and not is_asian
        self._report_sentence = report_sentence

    def _preprocess_segment(self, sent: str) -> str:
        text = " ".join("".join(sent.split())) if self._is_by_character else sent
        return str(super()._preprocess_segment(text))

    def _compute_segment_statistics(
        self, hypothesis: str, ref_kwargs: dict[str, list[list[str]]]
    ) -> list[float]:
        tokens, references = hypothesis.split(), ref_kwargs["ref_words"]
        self._report_sentence()
        if max(map(len, (tokens, *references))) <= MAX_SHIFT_TOKENS:
            return list(super()._compute_segment_statistics(hypothesis, ref_kwargs))
        self.num_without_shifts += 1
        num_edits = min(count_edits(tokens, reference) for reference in references)
        return [num_edits, sum(map(len, references)) / len(references)]

    def get_signature(self) -> Signature:
        """The signature of the texts that were scored last."""
        signature = super().get_signature()
        if self._is_by_character:
            signature.update("units", "characters")
        if self.num_without_shifts:
            signature.update("noshift", f"{self.num_without_shifts}>{MAX_SHIFT_TOKENS}tokens")
        return signature


def count_edits(hypothesis: Sequence[str], reference: Sequence[str]) -> int:
    """The edit distance: insertions, deletions and substitutions between two lists of tokens."""
    ids: dict[str, int] = {}
    ours, theirs = (
        np.array([ids.setdefault(token, len(ids)) for token in tokens], dtype=np.int64)
        for tokens in (hypothesis, reference)
    )
    places: npt.NDArray[np.int64] = np.arange(len(theirs) + 1)
    row = places
    for token in ours:
        best = np.concatenate(([row[0] + 1], np.minimum(row[1:] + 1, row[:-1] + (theirs != token))))
        # Each place to the right costs one insertion, so this is a running minimum of cost - place.
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])
