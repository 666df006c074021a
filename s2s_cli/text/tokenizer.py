"""Sentences to tokens and back, by language.

A sentence is normalised (`normalize.py`) and cut into slices (`word_boundaries.py`), the tokens.
Marks on them say where the spaces between them are not the usual ones (`spacing.py`). So
detokenising gives back the normalised sentence, for any text.
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
from s2s_cli.text.word_boundaries import Cut, choose_tokenizer, make_cut

_GAP = "\n"
"""Stands for a literal inside a word; no token holds white space."""


class Tokenized(NamedTuple):
    """A sentence, and where its tokens are in it."""

    text: str
    """Normalised."""
    tokens: list[str]
    spans: list[Span]
    """For each token its slice of `text`."""
    word_spans: list[Span]
    """For each token the slice that the word tokeniser made; the token itself without subwords."""
    sentence: str
    """As it was before it was normalised."""
    places: list[Span] | None
    """For each character of `text` the slice of `sentence` that it comes from, if that is known."""

    def truncate(self, count: int) -> "Tokenized":
        """The first `count` tokens only."""
        return self._replace(
            tokens=self.tokens[:count],
            spans=self.spans[:count],
            word_spans=self.word_spans[:count],
        )

    def original(self, span: Span) -> str:
        """A slice of the text as it was before it was normalised."""
        start, end = span
        if self.places is None or start == end:
            return self.text[start:end]
        return self.sentence[self.places[start][0] : self.places[end - 1][1]]


class Tokenizer(NamedTuple):
    """Splits sentences of one language into tokens, and joins tokens into a sentence.

    Tokens are words or, where there are subwords, their pieces.
    """

    name: str
    normalize: Normalizer
    cut: Cut
    default_space: DefaultSpace
    subwords: Subwords | None = None
    finds_words: bool = True
    """Whether what it parts, at spaces or otherwise, are words of the language; not where whole
    sentences without spaces go to the subwords, and not with characters."""

    def tokenize(self, sentence: str) -> list[str]:
        """The tokens of a sentence; none for a blank one."""
        text = self.normalize(sentence)
        words = mark_tokens(text, self._find_spans(text), self.default_space)
        return self.subwords.segment(words) if self.subwords else words

    def detokenize(
        self, tokens: Sequence[str], literals: Mapping[int, str] = MappingProxyType({})
    ) -> str:
        """The sentence that tokens spell, whatever they are.

        Args:
            tokens: of `tokenize`, or of a model.
            literals: for some tokens, by place, text that stands for the word that the token is
                or is part of, whatever else that word is made of.
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

    def locate(self, sentence: str) -> Tokenized:
        """The same tokens as `tokenize` makes, and where they are in the sentence."""
        text = self.normalize(sentence)
        spans = self._find_spans(text)
        words = mark_tokens(text, spans, self.default_space)
        places = self.normalize.trace(sentence)
        if self.subwords is None:
            return Tokenized(text, words, spans, spans, sentence, places)
        pieces = self.subwords.segment(words)
        located = _locate_pieces(pieces, words, spans)
        return Tokenized(text, pieces, *located, sentence, places)

    def _find_spans(self, text: str) -> list[Span]:
        """The slices of a normalised text that are its words."""
        spans: list[Span] = []
        start = 0
        for length in map(len, self.cut(text)):
            if text[start : start + length].strip(" "):
                spans.append((start, start + length))
            start += length
        return spans


def _first(rest: Iterator[str], count: int) -> str:
    """The first of the next `count` literals: those of one word stand for it once."""
    first, *_others = islice(rest, count)
    return first


def _locate_pieces(
    pieces: Sequence[str], words: Sequence[str], spans: Sequence[Span]
) -> tuple[list[Span], list[Span]]:
    """For each piece its slice of the text, and that of its word."""
    places: list[tuple[int, int]] = []  # of each character of all words: its place, and its word
    for number, (word, span) in enumerate(zip(words, spans, strict=True)):
        places += [(place, number) for place in locate_characters(word, span)]
    piece_spans, word_spans = [], []
    done = 0
    for piece in pieces:
        count = len(piece) - piece.count(PIECE_SPACE)
        first = min(done, len(places) - 1)  # a piece that is a space alone goes with what follows
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
"""Letters and digits around literals; Han and its like do not belong to their neighbours."""


def make_tokenizer(
    name: str,
    lang: str,
    lowercase: bool,
    subwords: Subwords | None = None,
    normalize: Form = "nfc",
    chinese: Script = "keep",
) -> Tokenizer:
    """A tokeniser by its name in the recipe (`auto`, `jieba`, `moses`, `char`, `space`, `none`).

    Args:
        name: what splits sentences into words.
        lang: language of the sentences.
        lowercase: whether they are lower-cased before.
        subwords: what cuts the words into pieces, if anything.
        normalize: Unicode normalisation form.
        chinese: script that Chinese text is converted to.
    """
    chosen = choose_tokenizer(name, lang)
    is_whole = chosen == "none" and is_written_without_spaces(lang)
    return Tokenizer(
        chosen,
        Normalizer(lang, lowercase, normalize, chinese),
        make_cut(chosen, lang),
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
    """Tokenisers of source and target.

    Args:
        text: names of the tokenisers, and how text is normalised.
        languages: source and target language.
        subwords: what cuts the words of each side further, if anything.
    """
    src, tgt = (
        make_tokenizer(name, lang, text.lowercase, side, text.normalize, text.chinese)
        for name, lang, side in zip(
            (text.src_tokenizer, text.tgt_tokenizer), languages, subwords, strict=True
        )
    )
    return src, tgt


class Codec(NamedTuple):
    """From sentences to token ids and back."""

    tokenizer: Tokenizer
    vocabulary: Vocabulary

    def encode(self, sentence: str) -> list[int]:
        """Token ids of a sentence, without bos and eos."""
        return self.vocabulary.encode(self.tokenizer.tokenize(sentence))

    def decode(self, token_ids: Iterable[int]) -> str:
        """The sentence that the ids, without bos and eos, spell."""
        return self.tokenizer.detokenize(self.vocabulary.decode(token_ids))
