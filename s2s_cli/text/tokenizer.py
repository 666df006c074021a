"""Sentences to tokens and back, by language.

Every tokeniser works on text whose runs of white space (TAB, U+2028, a lone CR, ...) count as one
space, so that no token ever holds any.
"""

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from s2s_cli.text.language import base_language, is_written_without_spaces
from s2s_cli.text.subword import Subwords

Split = Callable[[str], list[str]]
Join = Callable[[Sequence[str]], str]

WORD_SEPARATOR = "\u2581"
"""Stands for a space that counts (LOWER ONE EIGHTH BLOCK, as in sentencepiece)."""

FIRST_CJK = "\u2e80"
"""Where the scripts that write no spaces begin."""


class Tokenizer(NamedTuple):
    """Splits sentences of one language into tokens, and joins tokens into a sentence.

    Tokens are words or, where there are subwords, their pieces.
    """

    name: str
    lowercase: bool
    split: Split
    join: Join
    subwords: Subwords | None = None
    finds_words: bool = True
    """Whether what it parts, at spaces or otherwise, are words of the language; not where whole
    sentences without spaces go to the subwords, and not with characters."""

    def tokenize(self, sentence: str) -> list[str]:
        """The tokens of a sentence; none for a blank one."""
        text = " ".join(sentence.split())
        words = self.split(text.lower() if self.lowercase else text) if text else []
        return self.subwords.segment(words) if self.subwords else words

    def detokenize(self, tokens: Sequence[str]) -> str:
        """The sentence that the tokens spell, spaced as the language is written."""
        return self.join(self.subwords.join(tokens) if self.subwords else tokens)


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
    name: str, lang: str, lowercase: bool, subwords: Subwords | None = None
) -> Tokenizer:
    """A tokeniser by its name in the recipe (`auto`, `jieba`, `moses`, `char`, `space`, `none`).

    Args:
        name: what splits sentences into words.
        lang: language of the sentences.
        lowercase: whether they are lower-cased before.
        subwords: what cuts the words into pieces, if anything.
    """
    chosen = choose_tokenizer(name, lang)
    split, join = _TOKENIZERS[chosen](base_language(lang))
    is_whole = chosen == "none" and is_written_without_spaces(lang)
    return Tokenizer(chosen, lowercase, split, join, subwords, not (is_whole or chosen == "char"))


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


def _jieba(_lang: str) -> tuple[Split, Join]:
    cutter = _load_jieba()

    def split(text: str) -> list[str]:
        tokens = list(cutter.cut(text))
        # Spaces count where they part Latin words, and are habit beside Chinese ones.
        neighbours = zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False)
        marked = [
            WORD_SEPARATOR if word == " " and _is_latin(before) and _is_latin(after) else word
            for before, word, after in neighbours
        ]
        return [word for word in marked if word != " "]

    return split, join_chinese


def _is_latin(token: str) -> bool:
    return token != "" and max(token) < FIRST_CJK


def _moses(lang: str) -> tuple[Split, Join]:
    from sacremoses import MosesDetokenizer, MosesTokenizer  # noqa: PLC0415

    tokenizer, detokenizer = MosesTokenizer(lang=lang), MosesDetokenizer(lang=lang)

    def split(text: str) -> list[str]:
        tokens: list[str] = tokenizer.tokenize(text, escape=False)
        return tokens

    def join(tokens: Sequence[str]) -> str:
        return str(detokenizer.detokenize(list(tokens), unescape=False))

    return split, join


def _char(_lang: str) -> tuple[Split, Join]:
    return (
        lambda text: list(text.replace(" ", WORD_SEPARATOR)),
        lambda tokens: "".join(tokens).replace(WORD_SEPARATOR, " ").strip(),
    )


def _space(_lang: str) -> tuple[Split, Join]:
    return (lambda text: text.split(" ")), " ".join


def _none(_lang: str) -> tuple[Split, Join]:
    """The whole sentence goes to the subwords, and comes back in the words between its spaces."""
    return (lambda text: [text]), " ".join


_TOKENIZERS: dict[str, Callable[[str], tuple[Split, Join]]] = {
    "jieba": _jieba,
    "moses": _moses,
    "char": _char,
    "space": _space,
    "none": _none,
}

_LATIN_END = re.compile(r"[A-Za-z0-9\u00c0-\u024f]$")
_LATIN_START = re.compile(r"^[A-Za-z0-9\u00c0-\u024f]")


def join_chinese(tokens: Sequence[str]) -> str:
    """No space between Chinese words; Latin words stay apart, with or without a separator."""
    text = ""
    for token in tokens:
        if token == WORD_SEPARATOR:
            text += " "
        elif _LATIN_END.search(text) and _LATIN_START.search(token):
            text += f" {token}"
        else:
            text += token
    return text.strip()
