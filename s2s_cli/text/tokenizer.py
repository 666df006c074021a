"""From sentences to tokens to token ids, and back.

1. Normalise the sentence (`normalize.py`).
2. Split it into words, which are slices of it (`word_boundaries.py`).
3. Mark the words where the spaces between them are not the default (`spacing.py`).
4. Split the words into pieces, if there are subwords (`subwords.py`).
5. Look up the ids of the tokens (`vocabulary.py`).

Steps 2 to 4 lose nothing, so detokenising returns the normalised sentence, for any text. The
tokens of a model are joined by the same rules, whatever they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import regex

from s2s_cli.config import Text
from s2s_cli.sources import Direction
from s2s_cli.text.language import is_written_without_spaces
from s2s_cli.text.normalize import Form, Normalizer, Script
from s2s_cli.text.spacing import (
    PIECE_SPACE,
    UNSPACED_SCRIPTS,
    DefaultSpace,
    Span,
    always,
    by_script,
    join_tokens,
    locate_characters,
    mark_tokens,
    never,
)
from s2s_cli.text.subwords import SubwordPair, Subwords
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.text.word_boundaries import Splitter, choose_tokenizer, make_splitter

_GAP = "\n"
"""Placeholder of a literal inside a word; no token contains white space."""


class LocatedTokens(NamedTuple):
    """The tokens of a sentence, with their positions."""

    text: str
    """Normalised."""
    tokens: list[str]
    spans: list[Span]
    """Slice of `text` of each token."""
    word_spans: list[Span]
    """Slice of `text` of the word that each token belongs to; without subwords, of the token."""
    sentence: str
    """The original sentence."""
    slices: list[Span] | None
    """Slice of `sentence` that each character of `text` comes from, if known."""

    def truncate(self, count: int) -> "LocatedTokens":
        """Keep only the first `count` tokens."""
        return self._replace(
            tokens=self.tokens[:count],
            spans=self.spans[:count],
            word_spans=self.word_spans[:count],
        )

    def original(self, span: Span) -> str:
        """Return the part of the original sentence that a slice of `text` comes from."""
        start, end = span
        if self.slices is None or start == end:
            return self.text[start:end]
        return self.sentence[self.slices[start][0] : self.slices[end - 1][1]]


class Tokenizer(NamedTuple):
    """Splits sentences of one language into tokens, and joins tokens to sentences.

    Tokens are words or, with subwords, pieces.
    """

    name: str
    normalize: Normalizer
    split: Splitter
    default_space: DefaultSpace
    subwords: Subwords | None = None
    finds_words: bool = True
    """Whether it finds words of the language, which are then split by subwords. It does not as
    `char`, nor as `none` for a language without spaces."""

    def tokenize(self, sentence: str) -> list[str]:
        """Split a sentence into tokens; a blank one has none."""
        text = self.normalize(sentence)
        words = mark_tokens(text, self._find_spans(text), self.default_space)
        return self.subwords.segment(words) if self.subwords else words

    def detokenize(
        self, tokens: Sequence[str], literals: Mapping[int, str] = MappingProxyType({})
    ) -> str:
        """Join any tokens to a sentence.

        Args:
            tokens: from `tokenize` or a model.
            literals: text by position of a token; it replaces the whole word that the token is
                part of.
        """
        if literals:
            tokens = [_GAP if i in literals else token for i, token in enumerate(tokens)]
        words = self.subwords.join(tokens) if self.subwords else tokens
        if not literals:
            return join_tokens(words, self.default_space)
        rest = iter([literals[place] for place in sorted(literals)])

        def fill(word: str) -> str:
            return str(
                _GAPPED_WORD.sub(lambda match: _first(rest, match.group().count(_GAP)), word)
            )

        return join_tokens(words, self.default_space, fill)

    def locate(self, sentence: str) -> LocatedTokens:
        """Tokenise a sentence as `tokenize` does, and locate the tokens in it."""
        text = self.normalize(sentence)
        spans = self._find_spans(text)
        words = mark_tokens(text, spans, self.default_space)
        slices = self.normalize.trace(sentence)
        if self.subwords is None:
            return LocatedTokens(text, words, spans, spans, sentence, slices)
        pieces = self.subwords.segment(words)
        located = _locate_pieces(pieces, words, spans)
        return LocatedTokens(text, pieces, *located, sentence, slices)

    def _find_spans(self, text: str) -> list[Span]:
        """Return the slices of a normalised text that are its words."""
        spans: list[Span] = []
        start = 0
        for length in map(len, self.split(text)):
            if text[start : start + length].strip(" "):
                spans.append((start, start + length))
            start += length
        return spans


def _first(rest: Iterator[str], count: int) -> str:
    """Take the next `count` literals, all of the same word, and return the first."""
    first, *_others = islice(rest, count)
    return first


def _locate_pieces(
    pieces: Sequence[str], words: Sequence[str], spans: Sequence[Span]
) -> tuple[list[Span], list[Span]]:
    """Return the slice of the text of each piece, and that of its word."""
    places: list[tuple[int, int]] = []  # position and word of each character of the words
    for number, (word, span) in enumerate(zip(words, spans, strict=True)):
        places += [(place, number) for place in locate_characters(word, span)]
    piece_spans, word_spans = [], []
    done = 0
    for piece in pieces:
        count = len(piece) - piece.count(PIECE_SPACE)
        first = min(done, len(places) - 1)  # a piece that is only a space belongs to the next
        last = max(done + count - 1, first)
        done += count
        start, end = spans[places[last][1]]
        piece_spans.append((places[first][0], min(places[last][0] + 1, end)))
        word_spans.append((start, end))
    return piece_spans, word_spans


_GAPPED_WORD = regex.compile(
    rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED_SCRIPTS}]]*{_GAP}"
    rf"[[\p{{L}}\p{{M}}\p{{N}}{_GAP}]--[{UNSPACED_SCRIPTS}]]*"
)
"""Letters and digits around literals, except of scripts without spaces, such as Han."""


def make_tokenizer(
    name: str,
    lang: str,
    lowercase: bool,
    subwords: Subwords | None = None,
    normalize: Form = "nfc",
    chinese: Script = "keep",
) -> Tokenizer:
    """Make a tokeniser.

    Args:
        name: `auto`, `jieba`, `moses`, `char`, `space` or `none`.
        lang: language of the sentences.
        lowercase: whether to lower-case them first.
        subwords: splits the words into pieces.
        normalize: Unicode normalisation form.
        chinese: script to convert Chinese text to.
    """
    chosen = choose_tokenizer(name, lang)
    is_whole = chosen == "none" and is_written_without_spaces(lang)
    return Tokenizer(
        chosen,
        Normalizer(lang, lowercase, normalize, chinese),
        make_splitter(chosen, lang),
        _DEFAULT_SPACES[chosen],
        subwords,
        not (is_whole or chosen == "char"),
    )


_DEFAULT_SPACES: dict[str, DefaultSpace] = {
    "jieba": by_script,
    "moses": by_script,
    "char": never,
    "space": always,
    "none": always,
}


def make_tokenizers(
    text: Text, languages: Direction, subwords: SubwordPair = (None, None)
) -> tuple[Tokenizer, Tokenizer]:
    """Make the tokenisers of source and target.

    Args:
        text: the settings.
        languages: source and target language.
        subwords: of source and target.
    """
    src, tgt = (
        make_tokenizer(name, lang, text.lowercase, side, text.normalize, text.chinese)
        for name, lang, side in zip(
            (text.src_tokenizer, text.tgt_tokenizer), languages, subwords, strict=True
        )
    )
    return src, tgt


class Codec(NamedTuple):
    """Turns sentences into token ids and back: a tokeniser and its vocabulary."""

    tokenizer: Tokenizer
    vocabulary: Vocabulary

    def encode(self, sentence: str) -> list[int]:
        """Return the token ids of a sentence, without bos and eos."""
        return self.vocabulary.encode(self.tokenizer.tokenize(sentence))

    def decode(self, token_ids: Iterable[int]) -> str:
        """Return the sentence of token ids without bos and eos."""
        return self.tokenizer.detokenize(self.vocabulary.decode(token_ids))
