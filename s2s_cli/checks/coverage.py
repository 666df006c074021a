"""Checks of the amount of text, and of how much of it the vocabularies cover."""

from collections.abc import Iterable, Mapping, Sequence

from s2s_cli.text.spacing import PIECE_SPACE, always, join_tokens
from s2s_cli.text.vocabulary import Vocabulary

MIN_PAIRS = {"train": 1000, "valid": 50}
"""With fewer pairs a model learns little, or its scores are mostly chance."""

MIN_COVERAGE = 0.8
"""Share of the running tokens that a vocabulary should contain."""

MAX_UNKNOWN = 0.2
"""A text with a greater share of unknown tokens has another language, script or domain."""


def find_few_pairs(num_pairs: Mapping[str, int]) -> list[str]:
    """The splits that have too few pairs.

    Args:
        num_pairs: of `train` and of `valid`.
    """
    return [split for split, number in num_pairs.items() if number < MIN_PAIRS[split]]


def find_low_coverage(sides: Iterable[tuple[str, int, float]]) -> list[tuple[str, float]]:
    """The sides of which a vocabulary covers too little.

    Args:
        sides: for each a label (`valid zh`), the number of tokens, and the share of them that the
            vocabulary contains, 0 to 1.

    Returns:
        label and share of each.
    """
    return [
        (label, share) for label, num_tokens, share in sides if num_tokens and share < MIN_COVERAGE
    ]


def count_unknown(sentences: Iterable[Sequence[str]], vocabulary: Vocabulary) -> tuple[int, int]:
    """The number of tokens that are not in the vocabulary, and of all tokens."""
    num_unknown = num_tokens = 0
    for tokens in sentences:
        num_tokens += len(tokens)
        num_unknown += sum(token not in vocabulary for token in tokens)
    return num_unknown, num_tokens


def list_unknown(tokens: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """The unknown tokens of a sentence as they are written in the text, without duplicates."""
    unknown = [token for token in tokens if token not in vocabulary]
    plain = (join_tokens([token.replace(PIECE_SPACE, "")], always) for token in unknown)
    return list(dict.fromkeys(filter(None, plain)))
