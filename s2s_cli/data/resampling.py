"""Subword sampling: training pairs with other segmentations of their words in every epoch."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.data.dataset import EncodedPair, EncodedPairs, TokenIds, lengths_of
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

UNKNOWN = "\ufdd1"
"""Represents an unknown piece during sampling. It is a noncharacter, which occurs in no piece."""


class Resampling(NamedTuple):
    """Draws segmentations that depend only on seed, epoch and pair."""

    samplers: tuple[SubwordSampler | None, SubwordSampler | None]
    """For source and target; None for a side whose pieces do not change."""
    vocabularies: tuple[Vocabulary, Vocabulary]
    seed: int
    max_length: int
    """If a draw has more pieces, the sentence keeps its most likely pieces."""

    def draw(self, pair: EncodedPair, epoch: int, index: int) -> EncodedPair:
        """Draw the pieces of a pair for one epoch.

        They depend only on seed, epoch and index, so a resumed run draws the same pieces.

        Args:
            pair: the most likely pieces; the source may begin with a tag.
            epoch: from 0.
            index: of the pair.
        """
        src, tgt = (self._draw(ids, side, epoch, index) for side, ids in enumerate(pair))
        return src, tgt

    def _draw(self, ids: TokenIds, side: int, epoch: int, index: int) -> TokenIds:
        sampler, vocabulary = self.samplers[side], self.vocabularies[side]
        if sampler is None:
            return ids
        known = ids if isinstance(ids, list) else ids.tolist()
        tag = [token_id for token_id in known[:1] if token_id in vocabulary.tag_ids]
        pieces = [
            UNKNOWN if token_id == UNK_ID else vocabulary.tokens[token_id]
            for token_id in known[len(tag) :]
        ]
        drawn = sampler.draw(pieces, _seed(self.seed, epoch, index, side))
        return tag + vocabulary.encode(drawn) if len(drawn) <= self.max_length else known


class ResampledPairs:
    """The training pairs of one epoch; pieces are drawn when a pair is accessed."""

    def __init__(self, pairs: EncodedPairs, resampling: Resampling, epoch: int) -> None:
        """Store the pairs.

        Args:
            pairs: the most likely pieces of each pair.
            resampling: draws other pieces.
            epoch: from 0.
        """
        self._pairs, self._resampling, self._epoch = pairs, resampling, epoch

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> EncodedPair:
        """Return a pair; the same pieces at every access."""
        return self._resampling.draw(self._pairs[index], self._epoch, index)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Lengths of the most likely pieces `(pairs, 2)`; drawn pieces have similar lengths."""
        return lengths_of(self._pairs)


def _seed(seed: int, epoch: int, index: int, side: int) -> int:
    """Make a different seed for each sentence, epoch and run."""
    return (((seed << 32 | epoch) << 48 | index) << 1) | side
