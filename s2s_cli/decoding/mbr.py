"""Minimum Bayes risk decoding: of translations drawn at random, choose those most like the others.

A beam search looks for the mode of the model's distribution, and the mode may be a translation that
hardly resembles the others. The decision rule of Eikema and Aziz (2020) takes the translation h
with the highest expected utility E[u(h, Y)] instead, where Y is distributed as the model's
translations and the utility u is the similarity of two translations. Samples serve as candidates,
and as the references by which the expectation is estimated: it is the mean of u(h, y) over all
samples y, h included, which counts a sample as often as it was drawn.
"""

from collections import Counter
from collections.abc import Sequence

from s2s_cli.scoring.utility import Utility


def rank_by_utility(samples: Sequence[str], utility: Utility) -> list[tuple[int, float]]:
    """Rank samples by their mean utility against all samples.

    Args:
        samples: translations of one sentence, drawn independently.
        utility: the similarity of two translations.

    Returns:
        For each different sample, best first, its first position and its expected utility. Of equal
        ones the sample drawn first comes first.
    """
    counts = Counter(samples)  # in the order of the first positions
    sums = utility([*counts]) @ [*counts.values()]
    ranked = [
        (samples.index(text), float(value) / len(samples))
        for text, value in zip(counts, sums, strict=True)
    ]
    return sorted(ranked, key=lambda each: -each[1])
