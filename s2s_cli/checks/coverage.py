"""Checks of the number of pairs, and of the coverage of vocabularies."""

from collections.abc import Iterable, Mapping, Sequence

from s2s_cli.text.spacing import PIECE_SPACE, always, join_tokens
from s2s_cli.text.vocabulary import Vocabulary

MIN_PAIRS = {"train": 1000, "valid": 50}
"""With fewer pairs a model learns little, or its validation scores are mostly chance."""

MIN_COVERAGE = 0.8
"""Minimum share of the running tokens that a vocabulary should contain."""

MAX_UNKNOWN = 0.2
"""A text with a greater share of unknown tokens is probably in another language or domain."""


def find_few_pairs(num_pairs: Mapping[str, int]) -> list[str]:
    """Return the splits that have too few pairs.

    Args:
        num_pairs: of `train` and `valid`.
    """
    return [split for split, number in num_pairs.items() if number < MIN_PAIRS[split]]


def find_low_coverage(sides: Iterable[tuple[str, int, float]]) -> list[tuple[str, float]]:
    """Return the sides of which a vocabulary covers too little.

    Args:
        sides: label (`valid zh`), number of tokens, and share of them in the vocabulary (0 to 1).

    Returns:
        label and share of each such side.
    """
    return [
        (label, share) for label, num_tokens, share in sides if num_tokens and share < MIN_COVERAGE
    ]


def count_unknown(sentences: Iterable[Sequence[str]], vocabulary: Vocabulary) -> tuple[int, int]:
    """Count the tokens that are not in the vocabulary, and all tokens."""
    num_unknown = num_tokens = 0
    for tokens in sentences:
        num_tokens += len(tokens)
        num_unknown += sum(token not in vocabulary for token in tokens)
    return num_unknown, num_tokens


def list_unknown(tokens: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """Return the unknown tokens of a sentence as written in the text, without duplicates."""
    unknown = [token for token in tokens if token not in vocabulary]
    plain = (join_tokens([token.replace(PIECE_SPACE, "")], always) for token in unknown)
    return list(dict.fromkeys(filter(None, plain)))
