"""A corpus as tokens: counted for a vocabulary, encoded for training."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from s2s_cli.data.corpus import Corpus
from s2s_cli.sources import Direction
from s2s_cli.text.subwords import SubwordPair
from s2s_cli.text.tokenizer import Tokenizer
from s2s_cli.text.vocabulary import Vocabulary

TokenIds = list[int] | npt.NDArray[np.integer]
EncodedPair = tuple[TokenIds, TokenIds]
"""Source and target token ids, without markers; a tag of the target language may come first."""


class TokenizedCorpus(NamedTuple):
    """Sentence pairs as lists of tokens."""

    src: list[list[str]]
    tgt: list[list[str]]
    directions: Sequence[Direction] = ()
    """Of each pair; the tag of its target language, if there is one, is no token of the text."""

    def count_src(self) -> Counter[str]:
        """How often each source token occurs."""
        return Counter(token for sentence in self.src for token in sentence)

    def count_tgt(self) -> Counter[str]:
        """How often each target token occurs."""
        return Counter(token for sentence in self.tgt for token in sentence)

    def encode_tags(self, vocabulary: Vocabulary) -> list[list[int]]:
        """What stands before each source in the source vocabulary's ids: a tag, or nothing."""
        if not vocabulary.tags:
            return [[]] * len(self.src)
        return [vocabulary.encode_tag(direction.tgt) for direction in self.directions]


class EncodedCorpus(NamedTuple):
    """Sentence pairs as token ids, and how many were left out on the way."""

    pairs: list[EncodedPair]
    num_too_long: int
    num_empty: int
    left_out: list[int]
    """Places of those left out, among all."""


class EncodedPairs(Protocol):
    """Pairs of token ids, wherever they are kept."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> EncodedPair: ...


def lengths_of(pairs: EncodedPairs) -> npt.NDArray[np.int32]:
    """Source and target length of every pair `(pairs, 2)`; counted if the pairs do not know."""
    known: npt.NDArray[np.int32] | None = getattr(pairs, "lengths", None)
    if known is not None:
        return known
    counted = [tuple(map(len, pairs[index])) for index in range(len(pairs))]
    return np.array(counted, dtype=np.int32).reshape(-1, 2)


class TokenCounts(NamedTuple):
    """What a vocabulary is built from, and how much of it there is."""

    num_lines: int
    num_words: tuple[int, int]
    """Of source and target, before they are cut into subwords."""
    src: Counter[str]
    tgt: Counter[str]


def count_tokens(words: TokenizedCorpus, subwords: SubwordPair = (None, None)) -> TokenCounts:
    """Count the words of a corpus, or the pieces that they are cut into."""
    tokens = segment_corpus(words, subwords)
    num_words = sum(map(len, words.src)), sum(map(len, words.tgt))
    return TokenCounts(len(words.src), num_words, tokens.count_src(), tokens.count_tgt())


def tokenize_corpus(
    corpus: Corpus, src_tokenizer: Tokenizer, tgt_tokenizer: Tokenizer
) -> TokenizedCorpus:
    """Tokenise both sides of a corpus."""
    return TokenizedCorpus(
        [src_tokenizer.tokenize(sentence) for sentence in corpus.src],
        [tgt_tokenizer.tokenize(sentence) for sentence in corpus.tgt],
    )


def join_tokenized(corpora: Sequence[Corpus], parts: Sequence[TokenizedCorpus]) -> TokenizedCorpus:
    """The tokens of several corpora one after the other, with the directions of the corpora."""
    return TokenizedCorpus(
        [sentence for part in parts for sentence in part.src],
        [sentence for part in parts for sentence in part.tgt],
        [corpus.direction for corpus in corpora for _ in corpus.src],
    )


def segment_corpus(words: TokenizedCorpus, subwords: SubwordPair) -> TokenizedCorpus:
    """Cut the words of a corpus into pieces, on the sides that have subwords."""
    src, tgt = subwords
    return TokenizedCorpus(
        [src.segment(sentence) for sentence in words.src] if src else words.src,
        [tgt.segment(sentence) for sentence in words.tgt] if tgt else words.tgt,
        words.directions,
    )


def fits(src: list[str], tgt: list[str], max_length: int) -> bool:
    """Whether a pair has tokens on both sides, and not more than `max_length`."""
    return 0 < len(src) <= max_length and 0 < len(tgt) <= max_length


def encode_corpus(
    corpus: TokenizedCorpus,
    src_vocabulary: Vocabulary,
    tgt_vocabulary: Vocabulary,
    max_length: int | None = None,
) -> EncodedCorpus:
    """Turn tokens into ids; pairs with a side longer than `max_length`, or without tokens, go."""
    tags = corpus.encode_tags(src_vocabulary)
    rows = zip(tags, corpus.src, corpus.tgt, strict=True)
    return encode_pairs(rows, src_vocabulary, tgt_vocabulary, max_length)


def encode_pairs(
    rows: Iterable[tuple[list[int], list[str], list[str]]],
    src_vocabulary: Vocabulary,
    tgt_vocabulary: Vocabulary,
    max_length: int | None,
) -> EncodedCorpus:
    """As `encode_corpus`, of pairs that come behind the ids of their tags."""
    pairs: list[EncodedPair] = []
    left_out: list[int] = []
    num_empty = 0
    for place, (tag, src, tgt) in enumerate(rows):
        is_empty = not src or not tgt
        if is_empty or (max_length is not None and not fits(src, tgt, max_length)):
            num_empty += is_empty
            left_out.append(place)
        else:
            pairs.append((tag + src_vocabulary.encode(src), tgt_vocabulary.encode(tgt)))
    return EncodedCorpus(pairs, len(left_out) - num_empty, num_empty, left_out)
