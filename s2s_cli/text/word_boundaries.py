"""Split sentences into words: with jieba, with Moses, into characters, or at spaces.

Only the boundaries that jieba and Moses find are used. Characters that they escape, replace or drop
stay in the text.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import regex

from s2s_cli.config import Config
from s2s_cli.text.language import base_language, is_written_without_spaces
from s2s_cli.text.normalize import CHARACTER
from s2s_cli.text.spacing import CACHED_PAIRS, is_unspaced

Splitter = Callable[[str], list[str]]
"""Splits a text into segments; concatenated, they are the text, including its spaces."""


def choose_tokenizer(name: str, lang: str) -> str:
    """Resolve `auto`: jieba for Chinese, `char` for other languages without spaces, or Moses."""
    if name != "auto":
        return name
    if base_language(lang) == "zh":
        return "jieba"
    return "char" if is_written_without_spaces(lang) else "moses"


def resolve_tokenizers(config: Config) -> tuple[str, str]:
    """Resolve `auto` for source and target.

    With several directions, `auto` stays if the languages of a side need different tokenisers.
    """
    text, directions = config.text, config.data.all_directions
    src = {choose_tokenizer(text.src_tokenizer, direction.src) for direction in directions}
    tgt = {choose_tokenizer(text.tgt_tokenizer, direction.tgt) for direction in directions}
    return "auto" if len(src) > 1 else src.pop(), "auto" if len(tgt) > 1 else tgt.pop()


def depends_on_language(name: str) -> bool:
    """Return whether the result of a tokeniser depends on the language."""
    return name in ("auto", "moses")


def make_splitter(name: str, lang: str) -> Splitter:
    """Make the splitter of a tokeniser (not `auto`) for a language."""
    return _SPLITTERS[name](base_language(lang))


def make_metric_splitter(lang: str) -> Callable[[str], list[str]]:
    """Make the tokeniser for "BLEU on tokens": jieba or Moses with their unchanged output.

    Other languages without spaces are split into characters.
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
    """Load jieba once: its dictionary takes half a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes, deprecated pkg_resources
        import jieba  # noqa: PLC0415
    jieba.setLogLevel(logging.ERROR)
    tokenizer = jieba.Tokenizer()
    # As `initialize` does, but without its cache: a world-writable file in the temporary folder,
    # which is unmarshalled without a check and saves no time.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True
    return tokenizer


@cache
def _load_moses(lang: str) -> Any:
    from sacremoses import MosesTokenizer  # noqa: PLC0415

    return MosesTokenizer(lang=lang)


def _split_with_jieba(_lang: str) -> Splitter:
    jieba = _load_jieba()
    return lambda text: keep_letters_together(list(jieba.cut(text)))


def _split_with_moses(lang: str) -> Splitter:
    moses = _load_moses(lang)

    def split(text: str) -> list[str]:
        tokens = moses.tokenize(_DROPPED_BY_MOSES.sub(_replace_dropped, text), escape=False)
        segments: list[str] = []
        place = 0
        for token in tokens:
            if text[place : place + 1] == " ":
                segments.append(" ")
                place += 1
            segments.append(text[place : place + len(token)])
            place += len(token)
        return keep_letters_together(segments)

    return split


_DROPPED_BY_MOSES = regex.compile(r"[\x00-\x1f]|(?:DOT)+MULTI")
"""Control characters, and the placeholder of Moses for a run of dots: it drops both."""


def _replace_dropped(match: "regex.Match[str]") -> str:
    """Return as many characters that Moses keeps and splits in the same way."""
    found = match.group()
    return "\u00a4" if len(found) == 1 else found.lower()


_LETTER = regex.compile(r"[\p{L}\p{M}\u200c\u200d]")


def keep_letters_together(segments: Sequence[str]) -> list[str]:
    """Undo splits inside a word of letters or inside a character.

    Both tokenisers know only some letters, and no combining marks: jieba splits `Björk` at its `ö`,
    Moses splits `Mu\u0308ller` at its diaeresis.

    Args:
        segments: of the text, including spaces.
    """
    text = "".join(segments)
    if text.isascii():
        return list(segments)
    ends: set[int] | None = None
    kept: list[str] = []
    place = 0
    for segment in segments:
        before, after = text[place - 1 : place], text[place : place + 1]
        is_inside = False
        if kept and " " not in (before, after) and not _are_separate(before, after):
            if ends is None:
                ends = {match.end() for match in CHARACTER.finditer(text)}
            is_inside = place not in ends or _is_inside_word(before, after)
        if is_inside:
            kept[-1] += segment
        else:
            kept.append(segment)
        place += len(segment)
    return kept


def _are_separate(before: str, after: str) -> bool:
    """Return whether a split between two characters is certainly right: both ASCII or both Han."""
    return (before < "\x80" and after < "\x80") or (
        "\u4e00" <= before <= "\u9fff" and "\u4e00" <= after <= "\u9fff"
    )


@lru_cache(CACHED_PAIRS)
def _is_inside_word(before: str, after: str) -> bool:
    """Return whether both are letters of scripts with spaces between words."""
    return all(
        _LETTER.match(character) is not None and not is_unspaced(character)
        for character in (before, after)
    )


def _split_into_characters(_lang: str) -> Splitter:
    return list


def _split_at_spaces(_lang: str) -> Splitter:
    return partial(regex.findall, r"[^ ]+| ")


_SPLITTERS: dict[str, Callable[[str], Splitter]] = {
    "jieba": _split_with_jieba,
    "moses": _split_with_moses,
    "char": _split_into_characters,
    "space": _split_at_spaces,
    # No word tokeniser. Splitting at spaces is harmless, because subwords never cross a space.
    "none": _split_at_spaces,
}
