"""Sample segmentations of words: BPE-dropout and subword regularisation.

Implemented here because sentencepiece's sampler cannot be seeded: every process draws differently.
Pieces contain a space only at their start, so each word is sampled independently.

BPE-dropout (Provilkov et al. 2020) applies the merges as usual, but ignores each candidate merge
with a fixed probability at every step. Subword regularisation (Kudo 2018) samples a segmentation
with probability proportional to `P(pieces) ** alpha` by forward filtering and backward sampling:
`make_lattice` sums over all segmentations of each prefix, `sample_path` draws pieces from the end.
"""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from s2s_cli.text.spacing import MARKS, PIECE_SPACE
from s2s_cli.text.subwords import Subwords

Draw = Callable[[], float]
"""Returns a random number in [0, 1)."""

Lattice = list[list[tuple[float, int]]]
"""For each end of a piece, its possible starts with their cumulative probabilities."""

UNKNOWN_PENALTY = 10.0
"""How much less likely an unknown character is than the least likely piece, in nats."""

CACHED_WORDS = 2**14

_WORDS = re.compile(f"{PIECE_SPACE}?[^{PIECE_SPACE}]*")


class SubwordSampler:
    """Samples segmentations; caches the lattices of frequent words."""

    def __init__(self, subwords: Subwords, amount: float) -> None:
        """Make a sampler.

        Args:
            subwords: pieces and their scores.
            amount: for BPE the probability, 0 to 1, that a merge is dropped; for unigram the
                exponent alpha, above 0: the smaller, the closer to uniform.
        """
        self._scores = subwords.scores
        self._draw_word: Callable[[str, Draw], list[str]]
        if subwords.kind == "bpe":
            self._draw_word = lambda word, draw: drop_merges(word, self._scores, amount, draw)
        else:
            max_length = max(map(len, self._scores))
            unknown = min(self._scores.values()) - UNKNOWN_PENALTY

            @lru_cache(CACHED_WORDS)
            def lattice(word: str) -> Lattice:
                return make_lattice(word, self._scores, amount, max_length, unknown)

            self._draw_word = lambda word, draw: sample_path(word, lattice(word), draw)

    def draw(self, pieces: Sequence[str], seed: int) -> list[str]:
        """Sample a segmentation of a sentence.

        Args:
            pieces: any segmentation of it.
            seed: the same seed gives the same result, in any process.
        """
        draw = random.Random(seed).random  # noqa: S311 (no secret)
        drawn: list[str] = []
        for word in _WORDS.findall("".join(pieces)):
            for piece in self._draw_word(word, draw):
                # As in sentencepiece, adjacent unknown pieces become one.
                if drawn and piece not in self._scores and drawn[-1] not in self._scores:
                    drawn[-1] += piece
                else:
                    drawn.append(piece)
        return drawn


def drop_merges(word: str, scores: Mapping[str, float], dropout: float, draw: Draw) -> list[str]:
    """Apply BPE-dropout: in each step, merge the best pair among those that are not dropped.

    Args:
        word: the characters to merge.
        scores: score of each piece, higher if it was learnt earlier.
        dropout: probability that a merge is dropped in a step.
        draw: source of random numbers.
    """
    pieces = split_symbols(word, scores)
    while True:
        best, at = -math.inf, -1
        for i in range(len(pieces) - 1):
            score = scores.get(pieces[i] + pieces[i + 1])
            if score is not None and score > best and draw() >= dropout:
                best, at = score, i
        if at < 0:
            return pieces
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def split_symbols(word: str, scores: Mapping[str, float]) -> list[str]:
    """Split a word into the symbols that merging starts from: its characters.

    A spacing mark at an end of the word is not a symbol of its own: it stays with its neighbour if
    the two form a piece. So marked punctuation is split no more often than without marks.
    """
    symbols = list(word)
    if len(symbols) > 2 and symbols[-1] in MARKS and word[-2:] in scores:
        symbols[-2:] = [word[-2:]]
    if len(symbols) > 2 and word[0] == PIECE_SPACE and word[1] in MARKS and word[:2] in scores:
        symbols[:2] = [word[:2]]
    return symbols


def make_lattice(
    word: str, log_probs: Mapping[str, float], alpha: float, max_length: int, unknown: float
) -> Lattice:
    """Sum over all segmentations of a word.

    Args:
        word: the characters to split.
        log_probs: log-probability of each piece.
        alpha: exponent of the probabilities; 0 makes all segmentations equally likely.
        max_length: length of the longest piece, in characters.
        unknown: log-probability of a character without a piece.
    """
    totals, lattice = [0.0], [[]]  # type: tuple[list[float], Lattice]
    for end in range(1, len(word) + 1):
        starts, sums = [], []
        for start in range(max(0, end - max_length), end):
            score = log_probs.get(word[start:end], unknown if start == end - 1 else None)
            if score is not None:
                starts.append(start)
                sums.append(totals[start] + alpha * score)
        top = max(sums)
        weights = [math.exp(value - top) for value in sums]
        total = sum(weights)
        totals.append(top + math.log(total))
        cumulative, column = 0.0, []
        for start, weight in zip(starts, weights, strict=True):
            cumulative += weight / total
            column.append((cumulative, start))
        lattice.append(column)
    return lattice


def sample_path(word: str, lattice: Lattice, draw: Draw) -> list[str]:
    """Sample a segmentation from a lattice, last piece first."""
    pieces, end = [], len(word)
    while end:
        threshold = draw()
        # By default the last start: rounding may leave the last sum below 1.
        start = next((s for sum_, s in lattice[end] if threshold < sum_), lattice[end][-1][1])
        pieces.append(word[start:end])
        end = start
    return pieces[::-1]
