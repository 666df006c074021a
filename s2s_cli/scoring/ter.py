"""Translation edit rate (TER) by sacrebleu, without shifts in very long sentences.

TER counts insertions, deletions, substitutions and shifts of whole phrases (Snover et al. 2006).
The search for shifts takes up to a second for a sentence of 100 tokens, and its time grows with the
fourth power of the length. Longer sentences are therefore scored by the plain edit distance, which
is never less than the number of edits with shifts.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.ter import TER

from s2s_cli.text.language import base_language, is_written_without_spaces

MAX_SHIFT_TOKENS = 100
"""Sentences with more tokens, in translation or reference, are scored without shifts."""


def measure_ter(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tgt_lang: str,
    report_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[float, str, int]:
    """TER as the sacrebleu command computes it, except in sentences beyond `MAX_SHIFT_TOKENS`.

    Case is ignored, as by the command. Chinese and Japanese are scored with `--ter-normalized` and
    `--ter-asian-support`, without which a sentence would be one word. Other languages that are
    written without spaces are split into characters.

    Args:
        hypotheses: one translation per sentence.
        references: one or more lists of references.
        tgt_lang: language of both.
        report_progress: called after each sentence with the number of sentences scored, and of all.

    Returns:
        TER in per cent (0 is best, and it may exceed 100), its signature, and the number of
        sentences scored without shifts.
    """
    is_asian = base_language(tgt_lang) in {"zh", "lzh", "ja"}
    is_by_character = is_written_without_spaces(tgt_lang) and not is_asian
    metric = TER(normalized=is_asian, asian_support=is_asian)
    num_edits, num_tokens, num_without_shifts = 0.0, 0.0, 0
    prepare = _split_characters if is_by_character else str
    for done, texts in enumerate(zip(hypotheses, *references, strict=True), start=1):
        hypothesis, *refs = map(prepare, texts)
        tokens, *ref_tokens = (metric.tokenizer(text).split() for text in (hypothesis, *refs))
        if max(map(len, (tokens, *ref_tokens))) > MAX_SHIFT_TOKENS:
            num_edits += min(count_edits(tokens, reference) for reference in ref_tokens)
            num_tokens += sum(map(len, ref_tokens)) / len(ref_tokens)
            num_without_shifts += 1
        else:
            score = metric.sentence_score(hypothesis, refs)
            num_edits += score.num_edits
            num_tokens += score.ref_length
        report_progress(done, len(hypotheses))
    value = 100 * (num_edits / num_tokens if num_tokens else float(num_edits > 0))
    metric.sentence_score("", [""] * len(references))  # Tells the signature how many there are.
    signature = metric.get_signature().format()
    if is_by_character:
        signature += "|units:characters"
    if num_without_shifts:
        signature += f"|noshift:{num_without_shifts}>{MAX_SHIFT_TOKENS}tokens"
    return value, signature, num_without_shifts


def _split_characters(text: str) -> str:
    return " ".join("".join(text.split()))


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
