"""Reversible tokens: marks on tokens say where the spaces between them are not the default.

A token is a slice of the text. By default there is a space between two tokens, but none next to a
script that is written without spaces (Han, kana, Thai, ...). Where the text differs, one of the two
tokens gets a mark at that end, like the joiner of OpenNMT: `JOIN` for no space, `SPACE` for a
space. Punctuation takes the mark rather than a word, so that an ordinary word has a single form:
`It ￭’￭ s 10 ￭:￭ 30 ￭.`

Mark characters that occur in the text are escaped. Every sequence of tokens can be joined to a
text, including sequences that no text is tokenised into, as a model may output.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Literal

import regex

JOIN = "\uffed"
"""HALFWIDTH BLACK SQUARE, as in OpenNMT: no space on this side of the token."""
SPACE = "\u2423"
"""OPEN BOX: a space on this side of the token."""
PIECE_SPACE = "\u2581"
"""LOWER ONE EIGHTH BLOCK: sentencepiece's space; always escaped in words."""
ESCAPE = "\u241b"
"""SYMBOL FOR ESCAPE: precedes the name of a character that would be taken for a mark."""

MARKS = JOIN + SPACE
"""The two marks."""

_NAMES = {JOIN: "j", SPACE: "s", PIECE_SPACE: "u", ESCAPE: "e"}
_ESCAPES = str.maketrans({character: ESCAPE + name for character, name in _NAMES.items()})
_ESCAPED = {name: character for character, name in _NAMES.items()}
_SPECIAL = regex.compile(f"[{''.join(_NAMES)}]")

CACHED_PAIRS = 2**16
"""Pairs of characters whose result is cached."""

DefaultSpace = Callable[[str, str], bool]
"""Whether there is a space by default, given the characters on both sides."""

Span = tuple[int, int]
"""Start and end of a token in its text."""

UNSPACED_SCRIPTS = "".join(
    (
        r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Tangut}\p{Nushu}",
        r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}",
        r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}",
        r"\u3000-\u303f\u30fb-\u30ff\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff9f\uffe0-\uffe6",
    )
)
"""Scripts written without spaces between words, and their punctuation, as inside `[...]`."""

_IS_UNSPACED = regex.compile(f"[{UNSPACED_SCRIPTS}]")


def always(_before: str, _after: str) -> bool:
    """Put a space between all tokens: for text that is split at spaces."""
    return True


def never(_before: str, _after: str) -> bool:
    """Put no space between tokens: for text that is split into characters."""
    return False


def by_script(before: str, after: str) -> bool:
    """Put a space between tokens, except next to a script that is written without spaces."""
    return not (is_unspaced(before) or is_unspaced(after))


@cache
def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces between words."""
    return _IS_UNSPACED.match(character) is not None


def escape(text: str) -> str:
    """Replace the characters that would be taken for marks."""
    return text.translate(_ESCAPES)


def mark_tokens(text: str, spans: Sequence[Span], default: DefaultSpace) -> list[str]:
    """Turn the slices of a text into tokens, with marks where spacing is not the default.

    Args:
        text: normalised: single spaces, and none at the ends.
        spans: slices, in order, that cover everything but spaces.
        default: the default spacing.
    """
    tokens = [text[start:end] for start, end in spans]
    if _SPECIAL.search(text):
        tokens = [escape(token) for token in tokens]
    for i in range(1, len(spans)):
        end, start = spans[i - 1][1], spans[i][0]
        found = _find_mark(text[end - 1], text[start], start > end, default)
        if found is not None:
            mark, side = found
            if side == "left":
                tokens[i - 1] += mark
            else:
                tokens[i] = mark + tokens[i]
    return tokens


@lru_cache(CACHED_PAIRS)
def _find_mark(
    before: str, after: str, has_space: bool, default: DefaultSpace
) -> tuple[str, Literal["left", "right"]] | None:
    """Return the mark between two tokens and the side that takes it; None for default spacing."""
    if has_space == default(before, after):
        return None
    return SPACE if has_space else JOIN, _choose_side(before, after)


def _choose_side(before: str, after: str) -> Literal["left", "right"]:
    """Choose the token that takes the mark: punctuation, else digits, else the right one."""
    left, right = _rank_carrier(before), _rank_carrier(after)
    if left == right == 0:
        return "left" if unicodedata.category(before) in {"Ps", "Pi"} else "right"
    return "left" if left < right else "right"


def _rank_carrier(character: str) -> int:
    match unicodedata.category(character)[0]:
        case "L" | "M":
            return 3 if is_unspaced(character) else 2
        case "N":
            return 1
        case _:
            return 0


def join_tokens(
    tokens: Sequence[str],
    default: DefaultSpace,
    fill: Callable[[str], str] | None = None,
) -> str:
    """Join any tokens to a text.

    Args:
        tokens: with marks, from `mark_tokens` or a model.
        default: the default spacing.
        fill: changes the text of each token.
    """
    parts: list[str] = []
    last, mark = "", ""
    for text, before, after in map(_read_token, tokens):
        content = fill(text) if fill else text
        mark = _strongest(mark, before)
        if content:
            if last and (mark == SPACE or (not mark and default(last, content[0]))):
                parts.append(" ")
            parts.append(content)
            last, mark = content[-1], after
        else:
            mark = _strongest(mark, after)
    return "".join(parts)


def _strongest(*marks: str) -> str:
    """Return the mark that decides among several: `JOIN` wins."""
    found = "".join(marks)
    return JOIN if JOIN in found else found[:1]


_INNER = regex.compile(
    f"{ESCAPE}[{''.join(_NAMES.values())}]|{ESCAPE}|{JOIN}+|{SPACE}+|{PIECE_SPACE}+"
)


def _split_marks(token: str) -> tuple[str, str, str]:
    """Split a token into the marks before its text, the escaped text, and the marks after it."""
    rest = token.lstrip(MARKS)
    content = rest.rstrip(MARKS)
    return token[: len(token) - len(rest)], content, rest[len(content) :]


def _read_token(token: str) -> tuple[str, str, str]:
    """Return the text of a token, the mark before it and the mark after it (or empty strings)."""
    if not _SPECIAL.search(token):
        return token, "", ""
    before, content, after = _split_marks(token)
    return _unescape(content), _strongest(before), _strongest(after)


def _unescape(content: str) -> str:
    """Undo `escape`; marks inside a token, which only a model writes, become a space or nothing."""

    def replace(match: "regex.Match[str]") -> str:
        found = str(match.group())
        if found[0] == SPACE:
            return " "
        return _ESCAPED.get(found[1:], "") if found[0] == ESCAPE else ""

    return str(_INNER.sub(replace, content))


def locate_characters(token: str, span: Span) -> Iterator[int]:
    """Yield, for each character of a marked token, its position in the text.

    Args:
        token: from `mark_tokens`.
        span: its slice of the text.
    """
    before, content, after = _split_marks(token)
    start, end = span
    yield from [start] * len(before)
    place = start
    is_name = False
    for character in content:
        yield place
        is_escape = character == ESCAPE and not is_name
        place += not is_escape
        is_name = is_escape
    yield from [end] * len(after)
