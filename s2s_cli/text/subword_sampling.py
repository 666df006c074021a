"""Drawing other segmentations of the same words: BPE-dropout and subword regularisation.

Written here, because sentencepiece's own sampler draws otherwise in every process, whatever its
seed. No piece holds a space but at its start, so words are drawn one by one.
"""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from s2s_cli.text.spacing import MARKS, PIECE_SPACE
from s2s_cli.text.subwords import Subwords

Draw = Callable[[], float]
"""Gives a number of [0, 1)."""

Lattice = list[list[tuple[float, int]]]
"""For each end of a piece its starts, each with the chance of it or of those before it."""

UNKNOWN_PENALTY = 10.0
"""An unknown character is so much less likely, in nats, than the least likely piece."""

CACHED_WORDS = 2**14

_WORDS = re.compile(f"{PIECE_SPACE}?[^{PIECE_SPACE}]*")


class SubwordSampler:
    """Draws segmentations; remembers what it worked out about frequent words."""

    def __init__(self, subwords: Subwords, amount: float) -> None:
        """Make a sampler.

        Args:
            subwords: pieces and their scores.
            amount: for BPE the share of merges dropped, 0 to 1; for unigram the smoothing alpha,
                above 0: the smaller, the more even the draw.
        """
        self._scores = subwords.scores
        self._draw_word: Callable[[str, Draw], list[str]]
        if subwords.kind == "bpe":
            self._draw_word = lambda word, draw: drop_merges(word, self._scores, amount, draw)
        else:
            pieces = UnigramPieces.of(self._scores)
            lattice = lru_cache(CACHED_WORDS)(partial(make_lattice, pieces=pieces, alpha=amount))
            self._draw_word = lambda word, draw: draw_path(word, lattice(word), draw)

    def draw(self, pieces: Sequence[str], seed: int) -> list[str]:
        """Another segmentation of a sentence.

        Args:
            pieces: any segmentation of it.
            seed: all that the draw depends on.
        """
        draw = random.Random(seed).random  # noqa: S311 (no secret)
        drawn: list[str] = []
        for word in _WORDS.findall("".join(pieces)):
            for piece in self._draw_word(word, draw):
                # As in sentencepiece: unknown neighbours are one unknown piece.
                if drawn and piece not in self._scores and drawn[-1] not in self._scores:
                    drawn[-1] += piece
                else:
                    drawn.append(piece)
        return drawn


def drop_merges(word: str, scores: Mapping[str, float], dropout: float, draw: Draw) -> list[str]:
    """BPE-dropout (Provilkov et al. 2020): merge the best pair of those not dropped at each step.

    Args:
        word: characters to merge.
        scores: the earlier a piece was learnt, the higher.
        dropout: chance that a merge is passed over in one step.
        draw: the source of chance.
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
    """The characters of a word that merging starts from.

    A mark of spacing at an end of the word is no character of its own: it stays with its neighbour
    where both are a piece, so that marked punctuation is cut no oftener than it was without marks.
    """
    symbols = list(word)
    if len(symbols) > 2 and symbols[-1] in MARKS and word[-2:] in scores:
        symbols[-2:] = [word[-2:]]
    if len(symbols) > 2 and word[0] == PIECE_SPACE and word[1] in MARKS and word[:2] in scores:
        symbols[:2] = [word[:2]]
    return symbols


class UnigramPieces(NamedTuple):
    """Pieces of a unigram model, and what follows from them."""

    log_probs: Mapping[str, float]
    longest: int
    """Characters of the longest piece."""
    unknown: float
    """Log-probability of a character without a piece."""

    @classmethod
    def of(cls, log_probs: Mapping[str, float]) -> "UnigramPieces":
        """Measure the pieces once."""
        longest = max(map(len, log_probs))
        return cls(log_probs, longest, min(log_probs.values()) - UNKNOWN_PENALTY)


def make_lattice(word: str, pieces: UnigramPieces, alpha: float) -> Lattice:
    """All segmentations of a word, each with a chance in proportion to `P(pieces) ** alpha`.

    Args:
        word: characters to cut.
        pieces: what it may be cut into.
        alpha: 0 makes all equal, 1 follows the model (Kudo 2018).
    """
    log_probs, longest, unknown = pieces
    totals, lattice = [0.0], [[]]  # type: tuple[list[float], Lattice]
    for end in range(1, len(word) + 1):
        starts, sums = [], []
        for start in range(max(0, end - longest), end):
            score = log_probs.get(word[start:end], unknown if start == end - 1 else None)
            if score is not None:
                starts.append(start)
                sums.append(totals[start] + alpha * score)
        top = max(sums)
        weights = [math.exp(value - top) for value in sums]
        total = sum(weights)
        totals.append(top + math.log(total))
        reached, column = 0.0, []
        for start, weight in zip(starts, weights, strict=True):
            reached += weight / total
            column.append((reached, start))
        lattice.append(column)
    return lattice


def draw_path(word: str, lattice: Lattice, draw: Draw) -> list[str]:
    """One segmentation, drawn from its end (forward filtering, backward sampling)."""
    pieces, end = [], len(word)
    while end:
        chance = draw()
        # The last start takes what rounding leaves below 1.
        start = next((s for reached, s in lattice[end] if chance < reached), lattice[end][-1][1])
        pieces.append(word[start:end])
        end = start
    return pieces[::-1]
