"""Training pairs whose words are cut into other pieces in every epoch."""

from typing import NamedTuple

import numpy as np

from s2s_cli.data.tokenized import EncodedPair, TokenizedCorpus
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.text.vocabulary import Vocabulary


class Resampling(NamedTuple):
    """Where other segmentations come from, and what they depend on."""

    samplers: tuple[SubwordSampler | None, SubwordSampler | None]
    """Of source and target; a side without subwords stays as it is."""
    vocabularies: tuple[Vocabulary, Vocabulary]
    seed: int
    max_length: int
    """A sentence whose drawn pieces are more keeps its likeliest ones."""

    def pairs(self, tokens: TokenizedCorpus, epoch: int) -> list[EncodedPair]:
        """The training pairs as one epoch sees them.

        A pair's pieces depend on the seed, the epoch and its index alone, so that a run that
        resumes, in another process, draws the same.

        Args:
            tokens: the likeliest pieces of the pairs, none too long.
            epoch: from 0.
        """
        generator = np.random.default_rng((self.seed, epoch, 1))
        seeds = generator.integers(0, 2**63, (2, len(tokens.src))).tolist()
        both = tokens.src, tokens.tgt
        sides = zip(both, self.samplers, self.vocabularies, seeds, strict=True)
        src, tgt = (
            [
                vocabulary.encode(self._draw(sampler, pieces, seed))
                for pieces, seed in zip(sentences, side_seeds, strict=True)
            ]
            for sentences, sampler, vocabulary, side_seeds in sides
        )
        tags = tokens.encode_tags(self.vocabularies[0])
        return [(tag + pieces, target) for tag, pieces, target in zip(tags, src, tgt, strict=True)]

    def _draw(self, sampler: SubwordSampler | None, pieces: list[str], seed: int) -> list[str]:
        if sampler is None:
            return pieces
        drawn = sampler.draw(pieces, seed)
        return drawn if len(drawn) <= self.max_length else pieces
