"""Spaces between tokens: a default rule, and marks on tokens where the text differs from it.

A token is a slice of the text. Most texts need no mark between most tokens: words have a space
between them, and neighbours of a script that is written without spaces (Han, kana, Thai, ...) have
none. Elsewhere an affix of one of the two tokens says what is between them, in the manner of
OpenNMT's joiner: `JOIN` no space, `SPACE` a space. Marks sit on punctuation rather than on words,
so that an ordinary word has one form: `It ￭’￭ s 10 ￭:￭ 30 ￭.`

Marks that stand in the text itself are escaped. Any sequence of tokens spells some text, also one
that no text is cut into.
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
"""LOWER ONE EIGHTH BLOCK: how sentencepiece writes a space; a word never holds it unescaped."""
ESCAPE = "\u241b"
"""SYMBOL FOR ESCAPE: comes before the name of a character that would be taken for a mark."""

MARKS = JOIN + SPACE
"""The two marks."""

_NAMES = {JOIN: "j", SPACE: "s", PIECE_SPACE: "u", ESCAPE: "e"}
_ESCAPES = str.maketrans({character: ESCAPE + name for character, name in _NAMES.items()})
_ESCAPED = {name: character for character, name in _NAMES.items()}
_SPECIAL = regex.compile(f"[{''.join(_NAMES)}]")

CACHED_PAIRS = 2**16
"""Neighbouring characters whose mark is remembered."""

DefaultSpace = Callable[[str, str], bool]
"""Whether two tokens that end and begin with these characters have a space between them."""

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
    """A space between any two tokens: text whose tokens are what spaces separate."""
    return True


def never(_before: str, _after: str) -> bool:
    """No space between any two tokens: text whose tokens are characters."""
    return False


def by_script(before: str, after: str) -> bool:
    """A space, except next to a script that is written without spaces."""
    return not (is_unspaced(before) or is_unspaced(after))


@cache
def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces between words."""
    return _IS_UNSPACED.match(character) is not None


def escape(text: str) -> str:
    """Text of a token, in which no character can be taken for a mark."""
    return text.translate(_ESCAPES)


def mark_tokens(text: str, spans: Sequence[Span], default: DefaultSpace) -> list[str]:
    """The slices of a text as tokens, each with the marks that it needs.

    Args:
        text: with single spaces between its words, and none at its ends.
        spans: slices in order, which leave out spaces only.
        default: whether two neighbours have a space between them unless a mark says otherwise.
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
    """The mark between two neighbours, and which of them carries it; None if they need none."""
    if has_space == default(before, after):
        return None
    return SPACE if has_space else JOIN, _choose_side(before, after)


def _choose_side(before: str, after: str) -> Literal["left", "right"]:
    """Which of two neighbours carries the mark: punctuation, else digits, else the right one."""
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
    """The text that tokens spell, whatever they are.

    Args:
        tokens: with their marks, as `mark_tokens` or a model writes them.
        default: as in `mark_tokens`.
        fill: changes the text of each token, if anything.
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
    """The one mark that counts among several in one place: no space, if any says so."""
    found = "".join(marks)
    return JOIN if JOIN in found else found[:1]


_INNER = regex.compile(
    f"{ESCAPE}[{''.join(_NAMES.values())}]|{ESCAPE}|{JOIN}+|{SPACE}+|{PIECE_SPACE}+"
)


def _split_marks(token: str) -> tuple[str, str, str]:
    """The marks before a token's text, the text, still escaped, and the marks after it."""
    rest = token.lstrip(MARKS)
    content = rest.rstrip(MARKS)
    return token[: len(token) - len(rest)], content, rest[len(content) :]


def _read_token(token: str) -> tuple[str, str, str]:
    """The text of a token, and the mark before and the one after it, if there are any."""
    if not _SPECIAL.search(token):
        return token, "", ""
    before, content, after = _split_marks(token)
    return _unescape(content), _strongest(before), _strongest(after)


def _unescape(content: str) -> str:
    """The text of a token; a mark inside it, which only a model writes, is a space or nothing."""

    def replace(match: "regex.Match[str]") -> str:
        found = str(match.group())
        if found[0] == SPACE:
            return " "
        return _ESCAPED.get(found[1:], "") if found[0] == ESCAPE else ""

    return str(_INNER.sub(replace, content))


def locate_characters(token: str, span: Span) -> Iterator[int]:
    """For each character of a marked token the place in the text that it stands for.

    Args:
        token: as `mark_tokens` made it.
        span: the slice of the text that it is.
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
