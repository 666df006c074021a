"""Training pairs whose words are cut into other pieces in every epoch."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.data.dataset import EncodedPair, EncodedPairs, TokenIds, lengths_of
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

UNKNOWN = "\ufdd1"
"""Stands for an unknown piece while others are drawn: a noncharacter, of which no piece is made."""


class Resampling(NamedTuple):
    """Where other segmentations come from, and what they depend on."""

    samplers: tuple[SubwordSampler | None, SubwordSampler | None]
    """Of source and target; a side without subwords stays as it is."""
    vocabularies: tuple[Vocabulary, Vocabulary]
    seed: int
    max_length: int
    """A sentence whose drawn pieces are more keeps its likeliest ones."""

    def draw(self, pair: EncodedPair, epoch: int, index: int) -> EncodedPair:
        """A pair as one epoch sees it.

        Its pieces depend on the seed, the epoch and its index alone, so that a run that resumes, in
        another process, draws the same.

        Args:
            pair: the likeliest pieces, behind a tag if the source begins with one.
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
    """The training pairs as one epoch sees them, each drawn when it is asked for."""

    def __init__(self, pairs: EncodedPairs, resampling: Resampling, epoch: int) -> None:
        """Keep what draws depend on.

        Args:
            pairs: the likeliest pieces, none too long.
            resampling: what draws others.
            epoch: from 0.
        """
        self._pairs, self._resampling, self._epoch = pairs, resampling, epoch

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> EncodedPair:
        """A pair, drawn alike each time."""
        return self._resampling.draw(self._pairs[index], self._epoch, index)

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Of the likeliest pieces, `(pairs, 2)`; those drawn are of much the same lengths."""
        return lengths_of(self._pairs)


def _seed(seed: int, epoch: int, index: int, side: int) -> int:
    """A number of its own for each sentence of each epoch of each run."""
    return (((seed << 32 | epoch) << 48 | index) << 1) | side
