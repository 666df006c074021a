"""Sentences to tokens and back, by language.

A sentence is normalised, jieba or Moses says where to cut it, and every token is a slice of it, so
that nothing is escaped, replaced or dropped. `spacing.py` marks where a token's neighbours have
other spaces than usual. Detokenising therefore gives back the normalised sentence, for any text.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import regex

from s2s_cli.text.language import base_language, is_written_without_spaces
from s2s_cli.text.normalize import Form, Normalizer, Script
from s2s_cli.text.spacing import (
    CACHED_PAIRS,
    PIECE_SPACE,
    UNSPACED_SCRIPTS,
    DefaultSpace,
    Span,
    always,
    by_script,
    is_unspaced,
    join_tokens,
    locate_characters,
    mark_tokens,
    never,
)
from s2s_cli.text.subword import Subwords

Cut = Callable[[str], list[str]]
"""Cuts a text; what it returns is only asked for its lengths."""

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

    def begin(self, count: int) -> "Tokenized":
        """The first tokens alone."""
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

    @property
    def lowercase(self) -> bool:
        """Whether text is lower-cased."""
        return self.normalize.lowercase

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
    rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--[{''.join(UNSPACED_SCRIPTS.split())}]]*{_GAP}"
    rf"[[\p{{L}}\p{{M}}\p{{N}}{_GAP}]--[{''.join(UNSPACED_SCRIPTS.split())}]]*"
)
"""Letters and digits around literals; Han and its like do not belong to their neighbours."""


def choose_tokenizer(name: str, lang: str) -> str:
    """Resolve `auto`: jieba for Chinese, characters where no spaces are written, else Moses."""
    if name != "auto":
        return name
    if base_language(lang) == "zh":
        return "jieba"
    return "char" if is_written_without_spaces(lang) else "moses"


def depends_on_language(name: str) -> bool:
    """Whether a tokeniser splits otherwise in another language."""
    return name in ("auto", "moses")


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
    chosen, code = choose_tokenizer(name, lang), base_language(lang)
    make_cut, default_space = _TOKENIZERS[chosen]
    is_whole = chosen == "none" and is_written_without_spaces(lang)
    return Tokenizer(
        chosen,
        Normalizer(lang, lowercase, normalize, chinese),
        make_cut(code),
        default_space,
        subwords,
        not (is_whole or chosen == "char"),
    )


def split_plain(lang: str) -> Callable[[str], list[str]]:
    """Plain jieba or Moses, as published figures of "BLEU on tokens" use them: words for scoring.

    Characters for languages written without spaces that have no word tokeniser here.
    """
    chosen, code = choose_tokenizer("auto", lang), base_language(lang)
    match chosen:
        case "jieba":
            return lambda text: [word for word in _load_jieba().cut(text) if not word.isspace()]
        case "char":
            return lambda text: [character for character in text if not character.isspace()]
        case _:
            moses = _load_moses(code)
            return lambda text: list(moses.tokenize(text, escape=False))


@cache
def _load_jieba() -> Any:
    """A cutter of our own; its dictionary takes half a second, so it is read once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in its sources, pkg_resources' farewell
        import jieba  # noqa: PLC0415
    jieba.setLogLevel(logging.ERROR)
    cutter = jieba.Tokenizer()
    # What `initialize` does, less its cache: a world-writable file in the temporary folder that
    # is unmarshalled unchecked and saves nothing.
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    return cutter


@cache
def _load_moses(lang: str) -> Any:
    from sacremoses import MosesTokenizer  # noqa: PLC0415

    return MosesTokenizer(lang=lang)


def _jieba(_lang: str) -> Cut:
    cutter = _load_jieba()
    return lambda text: keep_letters_together(list(cutter.cut(text)))


def _moses(lang: str) -> Cut:
    moses = _load_moses(lang)

    def cut(text: str) -> list[str]:
        tokens = moses.tokenize(_LOST_BY_MOSES.sub(_stand_in, text), escape=False)
        parts: list[str] = []
        place = 0
        for token in tokens:
            if text[place : place + 1] == " ":
                parts.append(" ")
                place += 1
            parts.append(text[place : place + len(token)])
            place += len(token)
        return keep_letters_together(parts)

    return cut


_LOST_BY_MOSES = regex.compile(r"[\x00-\x1f]|(?:DOT)+MULTI")
"""Control characters, which Moses drops, and its own word for a run of dots."""


def _stand_in(match: "regex.Match[str]") -> str:
    """As many characters that Moses cuts alike and keeps: a rare symbol, or a word."""
    found = match.group()
    return "\u00a4" if len(found) == 1 else found.lower()


_LETTER = regex.compile(r"[\p{L}\p{M}\u200c\u200d]")
_CLUSTER = regex.compile(r"\X")


def keep_letters_together(parts: Sequence[str]) -> list[str]:
    """The parts of a text without cuts inside a word of letters or inside a character.

    Both tokenisers know the letters of their languages only, and no combining marks: jieba cuts
    `Björk` at its `ö`, Moses `Mu\u0308ller` at its diaeresis.

    Args:
        parts: all of the text, spaces included.
    """
    text = "".join(parts)
    if text.isascii():
        return list(parts)
    ends: set[int] | None = None
    kept: list[str] = []
    place = 0
    for part in parts:
        before, after = text[place - 1 : place], text[place : place + 1]
        is_inside = False
        if kept and " " not in (before, after) and not _are_separate(before, after):
            if ends is None:
                ends = {match.end() for match in _CLUSTER.finditer(text)}
            is_inside = place not in ends or _is_inside_word(before, after)
        if is_inside:
            kept[-1] += part
        else:
            kept.append(part)
        place += len(part)
    return kept


def _are_separate(before: str, after: str) -> bool:
    """Whether two characters are known to be cut rightly: ASCII and Han, so nearly all of them."""
    return (before < "\x80" and after < "\x80") or (
        "\u4e00" <= before <= "\u9fff" and "\u4e00" <= after <= "\u9fff"
    )


@lru_cache(CACHED_PAIRS)
def _is_inside_word(before: str, after: str) -> bool:
    """Whether both are letters of a script that separates words by spaces."""
    return all(
        _LETTER.match(character) is not None and not is_unspaced(character)
        for character in (before, after)
    )


def _char(_lang: str) -> Cut:
    return list


def _space(_lang: str) -> Cut:
    return partial(regex.findall, r"[^ ]+| ")


_TOKENIZERS: dict[str, tuple[Callable[[str], Cut], DefaultSpace]] = {
    "jieba": (_jieba, by_script),
    "moses": (_moses, by_script),
    "char": (_char, never),
    "space": (_space, always),
    # Whole sentences go to the subwords, which find the words between spaces by themselves.
    "none": (_space, always),
}
