"""Where sentences are cut into words: by jieba, by Moses, between characters, or at spaces.

The tokenisers are only asked for places. What they would escape, replace or drop stays in the text.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import regex

from s2s_cli.text.language import base_language, is_written_without_spaces
from s2s_cli.text.normalize import CHARACTER
from s2s_cli.text.spacing import CACHED_PAIRS, is_unspaced

Cut = Callable[[str], list[str]]
"""Cuts a text into parts that make it up, spaces included."""


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


def make_cut(name: str, lang: str) -> Cut:
    """What cuts text of a language, by a tokeniser whose name is resolved."""
    return _CUTS[name](base_language(lang))


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


def _cut_by_jieba(_lang: str) -> Cut:
    cutter = _load_jieba()
    return lambda text: keep_letters_together(list(cutter.cut(text)))


def _cut_by_moses(lang: str) -> Cut:
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
                ends = {match.end() for match in CHARACTER.finditer(text)}
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


def _cut_characters(_lang: str) -> Cut:
    return list


def _cut_at_spaces(_lang: str) -> Cut:
    return partial(regex.findall, r"[^ ]+| ")


_CUTS: dict[str, Callable[[str], Cut]] = {
    "jieba": _cut_by_jieba,
    "moses": _cut_by_moses,
    "char": _cut_characters,
    "space": _cut_at_spaces,
    # Whole sentences go to the subwords, which find the words between spaces by themselves.
    "none": _cut_at_spaces,
}
