"""Whether there is enough text, and whether the vocabularies know enough of it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from s2s_cli.text.spacing import PIECE_SPACE, always, join_tokens
from s2s_cli.text.vocabulary import Vocabulary

MIN_PAIRS = {"train": 1000, "valid": 50}
"""Fewer teach a model little, or measure it badly."""

MIN_COVERAGE = 0.8
"""Share of running tokens that a vocabulary should know."""


class FewPairs(NamedTuple):
    """A split with too few pairs."""

    split: str
    num_pairs: int
    wanted: int
    """The least that would not be too few."""


class Known(NamedTuple):
    """How much of one side of a split its vocabulary knows."""

    label: str
    """Split and language: `valid zh`."""
    num_tokens: int
    share: float
    """Of the tokens, 0 to 1."""


def find_few_pairs(**num_pairs: int) -> list[FewPairs]:
    """The splits, `train` and `valid`, that have too few pairs."""
    return [
        FewPairs(split, number, MIN_PAIRS[split])
        for split, number in num_pairs.items()
        if number < MIN_PAIRS[split]
    ]


def find_low_coverage(sides: Iterable[Known]) -> list[Known]:
    """The sides of which the vocabularies know too little."""
    return [side for side in sides if side.num_tokens and side.share < MIN_COVERAGE]


MAX_SHARE = 0.2
"""Of unknown tokens in a text that a model is for; more is another language, script or domain."""


class UnknownTokens(NamedTuple):
    """Tokens of a text, and those among them that are unknown."""

    num_unknown: int = 0
    num_tokens: int = 0

    @property
    def share(self) -> float:
        """Of the tokens, 0 to 1, that are unknown."""
        return self.num_unknown / self.num_tokens if self.num_tokens else 0.0

    @property
    def is_high(self) -> bool:
        """Whether the model is hardly for this text."""
        return self.share > MAX_SHARE


def count_unknown(sentences: Iterable[Sequence[str]], vocabulary: Vocabulary) -> UnknownTokens:
    """Count the tokens of sentences that are not in the vocabulary."""
    num_unknown = num_tokens = 0
    for tokens in sentences:
        num_tokens += len(tokens)
        num_unknown += sum(token not in vocabulary for token in tokens)
    return UnknownTokens(num_unknown, num_tokens)


def list_unknown(tokens: Iterable[str], vocabulary: Vocabulary) -> list[str]:
    """The unknown tokens of a sentence, each once, as they stand in the text."""
    unknown = [token for token in tokens if token not in vocabulary]
    plain = (join_tokens([token.replace(PIECE_SPACE, "")], always) for token in unknown)
    return list(dict.fromkeys(filter(None, plain)))
