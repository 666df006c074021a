"""Mark where a translation differs from its reference."""

from difflib import SequenceMatcher
from typing import NamedTuple

import regex

_SPANS = regex.compile(
    r"\s+|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+|.", regex.S
)
"""White space; words, or single characters in scripts without spaces; other characters."""


class Span(NamedTuple):
    """A piece of a text."""

    text: str
    is_different: bool


def mark_differences(
    reference: str, translation: str, *, ignores_case: bool = False
) -> tuple[list[Span], list[Span]]:
    """Split both texts into spans: those that both have in the same order, and the others.

    Joined, the spans give the texts.
    """
    ours, theirs = (_SPANS.findall(text) for text in (reference, translation))
    fold = str.lower if ignores_case else str
    first, second = ([fold(span) for span in side] for side in (ours, theirs))
    marked: tuple[list[Span], list[Span]] = ([], [])
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    places = [0, 0]
    for start, other_start, size in blocks:
        for side, spans, at in ((0, ours, start), (1, theirs, other_start)):
            if different := "".join(spans[places[side] : at]):
                marked[side].append(Span(different, not different.isspace()))
            if same := "".join(spans[at : at + size]):
                marked[side].append(Span(same, is_different=False))
            places[side] = at + size
    return marked
