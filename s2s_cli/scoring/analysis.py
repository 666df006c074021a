"""What a model tends to do wrong: lengths, repetitions, copies, rare tokens."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

MAX_REPEATED = 4
"""Longest repeated sequence that is looked for, in words."""

FREQUENCIES = (10, 100, 1000)
"""Upper ends, exclusive, of the ranges of training frequencies."""

Splitter = Callable[[str], list[str]]


class Habits(NamedTuple):
    """Shares of the sentences, 0 to 1, and the ratio of lengths."""

    length_ratio: float
    """Words of all translations per word of the references."""
    exact: float
    """Translations that equal their reference."""
    empty: float
    """Translations without text."""
    repeated: float
    """Translations that repeat words directly, such as `a a` or `of the of the`, where their
    references do not."""
    copied: float
    """Translations with words of the source that the reference does not have."""


def find_repetition(words: Sequence[str]) -> bool:
    """Whether a sequence of 1 to `MAX_REPEATED` words is repeated directly after itself."""
    return any(
        words[start : start + size] == words[start + size : start + 2 * size]
        for size in range(1, MAX_REPEATED + 1)
        for start in range(len(words) - 2 * size + 1)
    )


def find_copies(
    source: Sequence[str], translation: Sequence[str], reference: Sequence[str]
) -> list[str]:
    """Words of a translation that are in its source, but not in its reference; without marks.

    Case does not count.
    """
    known = {word.lower() for word in reference}
    copied = {word.lower() for word in source} - known
    return [word for word in translation if word.lower() in copied and any(map(str.isalnum, word))]


class Flags(NamedTuple):
    """What is remarkable about a translation."""

    exact: bool
    empty: bool
    repeated: bool
    copied: bool


def flag_sentence(
    source: str, translation: str, reference: str, split_src: Splitter, split: Splitter
) -> Flags:
    """Find what is remarkable about a translation.

    Args:
        source: of the translation.
        translation: as it is scored.
        reference: the main one.
        split_src: splits the source into words.
        split: splits the translation and the reference.
    """
    words, expected = split(translation), split(reference)
    return Flags(
        translation.strip() == reference.strip(),
        not words,
        find_repetition(words) and not find_repetition(expected),
        bool(find_copies(split_src(source), words, expected)),
    )


def sum_habits(
    flags: Sequence[Flags], translations: Sequence[str], references: Sequence[str], split: Splitter
) -> Habits:
    """Sum up what is remarkable about all translations.

    Args:
        flags: of each translation.
        translations: as they are scored; at least one.
        references: the main ones.
        split: splits translations and references into words.
    """
    shares = [sum(column) / len(flags) for column in zip(*flags, strict=True)]
    num_words, num_expected = (
        sum(len(split(text)) for text in side) for side in (translations, references)
    )
    return Habits(num_words / num_expected if num_expected else 0.0, *shares)


class FrequencyGroup(NamedTuple):
    """How well tokens of similar training frequency are translated."""

    range: str
    """Occurrences in the training text, such as `10-99`."""
    num_tokens: int
    """Tokens of the references."""
    precision: float | None
    """Share of the translations' tokens that their reference has; None without tokens."""
    recall: float | None
    """Share of the references' tokens that their translation has; None without tokens."""

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None if one of them is unknown."""
        if self.precision is None or self.recall is None:
            return None
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def score_by_frequency(
    translations: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    counts: Callable[[str], int],
) -> list[FrequencyGroup]:
    """Precision and recall of tokens, grouped by their frequency in the training text.

    As in Neubig et al. 2019 (compare-mt): a token counts as often as both sides have it. Ranges
    without a token are left out.

    Args:
        translations: tokens of each.
        references: tokens of the main ones.
        counts: frequency of a token in the training text, 0 for unknown ones.
    """
    found, given, correct = Counter[int](), Counter[int](), Counter[int]()
    for ours, theirs in zip(translations, references, strict=True):
        both = Counter(ours) & Counter(theirs)
        for tally, tokens in ((given, ours), (found, theirs), (correct, both.elements())):
            tally.update(_rank(counts(token)) for token in tokens)
    names = ["unknown", *(f"{low}-{high - 1}" for low, high in _RANGES), f"≥{FREQUENCIES[-1]}"]
    return [
        FrequencyGroup(
            name,
            found[rank],
            correct[rank] / given[rank] if given[rank] else None,
            correct[rank] / found[rank] if found[rank] else None,
        )
        for rank, name in enumerate(names)
        if found[rank] or given[rank]
    ]


_RANGES = [*zip((1, *FREQUENCIES), FREQUENCIES, strict=False)]


def _rank(count: int) -> int:
    """The position of a frequency among the ranges; 0 for unknown tokens."""
    return 0 if count == 0 else 1 + sum(count >= high for high in FREQUENCIES)
