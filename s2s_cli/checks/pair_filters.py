"""Which texts are translated for synthetic pairs, and which of the pairs are kept."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

from pydantic import Field

from s2s_cli.data.fingerprints import fold_sentence, hash_text
from s2s_cli.data.lines import is_utf8
from s2s_cli.section import Section

FAULTS = {
    "not_utf8": "not UTF-8",
    "blank": "with a blank side",
    "repeated": "repeated",
    "cut": "cut at a length limit",
    "copy": "copied",
    "ratio": "with a length ratio above {max_ratio:g}",
    "score": "with a score below {min_score:g}",
}
"""Why a line or a pair is left out, in words; a pair counts for the first fault that it has."""


class Filters(Section):
    """Which synthetic pairs are kept."""

    max_ratio: Annotated[float, Field(ge=1)] = 3.0
    """Largest number of tokens of the longer side per token of the shorter side. The tokens are
    those of the model, end marks included, so that very short pairs may differ more."""
    min_score: float | None = None
    """Least mean log-probability per token of the translation, end mark included, in nats."""


class SyntheticPair(NamedTuple):
    """A text, its translation by a model, and what the search reported about them."""

    text: str
    translation: str
    num_tokens: tuple[int, int]
    """Of the text and of the translation, without end marks."""
    log_prob: float
    """Of the translation and its end mark, in nats."""
    is_cut: bool
    """Whether the model did not read the whole text, or did not end the translation by itself."""

    @property
    def score(self) -> float:
        """Mean log-probability per token of the translation, end mark included, in nats."""
        return self.log_prob / (self.num_tokens[1] + 1)

    @property
    def ratio(self) -> float:
        """Number of tokens of the longer side per token of the shorter one, end marks included."""
        shorter, longer = sorted(self.num_tokens)
        return (longer + 1) / (shorter + 1)


def choose_texts(lines: Iterable[str], seen: set[int]) -> tuple[list[str], Counter[str]]:
    """Choose the lines to translate: each different text once.

    A model translates a repeated text in the same way, so its pair would be repeated too.

    Args:
        lines: in which bytes that were not UTF-8 are lone surrogates.
        seen: hashes of the texts that were chosen before; receives those chosen now.

    Returns:
        The texts in order, and how many lines have which fault.
    """
    texts, faults = [], Counter[str]()
    for line in lines:
        if not line.strip():
            faults["blank"] += 1
        elif not is_utf8(line):
            faults["not_utf8"] += 1
        elif (key := hash_text(line)) in seen:
            faults["repeated"] += 1
        else:
            seen.add(key)
            texts.append(line)
    return texts, faults


def find_fault(pair: SyntheticPair, filters: Filters) -> str | None:
    """Return the first key of `FAULTS` that applies to a pair; None if the pair is kept."""
    if not pair.translation.strip():
        return "blank"
    if pair.is_cut:
        return "cut"
    if fold_sentence(pair.text) == fold_sentence(pair.translation):
        return "copy"
    if pair.ratio > filters.max_ratio:
        return "ratio"
    if filters.min_score is not None and pair.score < filters.min_score:
        return "score"
    return None


def describe_faults(counts: Mapping[str, int], filters: Filters) -> str:
    """List how many lines or pairs were left out for which fault; empty if none were."""
    return ", ".join(
        f"{counts[fault]:,} {words.format_map(dict(filters))}"
        for fault, words in FAULTS.items()
        if counts.get(fault)
    )
