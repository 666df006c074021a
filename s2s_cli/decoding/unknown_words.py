"""What a translation says where the model says unknown.

That is the whole source word that the model looked at most, as it stood in the text, or what a
user's dictionary has for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex

from s2s_cli.text.spacing import UNSPACED_SCRIPTS, Span
from s2s_cli.text.tokenizer import Tokenized, Tokenizer

_LETTERS = rf"[[\p{{L}}\p{{M}}\p{{N}}\u200c\u200d]--[{''.join(UNSPACED_SCRIPTS.split())}]]+"
_WORD = regex.compile(
    rf"(?V1)[a-zA-Z][a-zA-Z0-9+.-]*://[!-~]*[a-zA-Z0-9/]"  # an address of the web
    rf"|[a-zA-Z0-9_.+-]+@[a-zA-Z0-9.-]+[a-zA-Z0-9]"  # one of mail
    rf"|{_LETTERS}(?:[-'’ʼ‐·._&/+:]{_LETTERS})*"
)
"""A word as a reader sees it, where a tokeniser may see several: `O'Neill`, `R&B`, `10:30`."""

_APOSTROPHES = "'’ʼ"


class Spoken(NamedTuple):
    """What is said for an unknown token."""

    text: str
    entry: str | None = None
    """The key in the dictionary, if that has it."""


def speak_for_unknown(
    tokenizer: Tokenizer,
    sentence: str,
    weights: Sequence[Sequence[float]],
    dictionary: Mapping[str, str],
) -> list[Spoken]:
    """What to say for unknown target tokens: for each a source word, or its entry.

    The word is the one that got the most attention, that of all its tokens together.

    Args:
        tokenizer: of the source.
        sentence: as it stands in the text.
        weights: attention of each of the target tokens over the source tokens that were read;
            more positions, such as that of the source's end, may follow them.
        dictionary: for normalised words their translations.
    """
    located = tokenizer.locate(sentence)
    words = find_words(tokenizer, located)
    said = _say_for_tokens(tokenizer, located, words, dictionary)
    found = []
    for row in weights:
        sums: dict[Span, float] = {}
        for word, weight in zip(words, row, strict=False):
            sums[word] = sums.get(word, 0.0) + weight
        best = max(sums, key=sums.__getitem__)
        places = [i for i, (word, _) in enumerate(zip(words, row, strict=False)) if word == best]
        found.append(said[max(places, key=row.__getitem__)])
    return found


def _say_for_tokens(
    tokenizer: Tokenizer, located: Tokenized, words: Sequence[Span], dictionary: Mapping[str, str]
) -> list[Spoken]:
    """For each source token what to say in its place: its word, or an entry of the dictionary."""
    copies = [located.text[start:end] for start, end in words]
    if not dictionary:
        return [Spoken(copy) for copy in copies]
    if tokenizer.finds_words:
        own = [tokenizer.normalize(located.text[a:b]) for a, b in located.word_spans]
        whole = [tokenizer.normalize(copy) for copy in copies]
        keys = [one if one in dictionary else other for one, other in zip(own, whole, strict=True)]
    else:
        parts = [tokenizer.normalize(located.text[a:b]) for a, b in located.spans]
        keys = find_entries(parts, dictionary)
    return [
        Spoken(dictionary[key], key) if key in dictionary else Spoken(copy)
        for key, copy in zip(keys, copies, strict=True)
    ]


def find_words(tokenizer: Tokenizer, located: Tokenized) -> list[Span]:
    """For each token the slice of the text that is the whole word which it belongs to.

    Where the tokeniser finds words that is one of them, or several that the text writes as one
    (`O'Neill`). Else it is the run of letters that the token is in; a token of a script that is
    written without spaces stands for itself.
    """
    spans = located.word_spans if tokenizer.finds_words else located.spans
    if tokenizer.name == "space":
        return spans
    is_whole = tokenizer.name == "none"
    words = list(_find_words(located.text, set() if is_whole else _find_clitics(located)))
    if is_whole:
        spans = located.spans
    found: list[Span] = []
    for start, end in spans:
        around = [(a, b) for a, b in words if a < max(end, start + 1) and start < b]
        both = [(start, end), *around]
        found.append((min(a for a, _ in both), max(b for _, b in both)))
    return found


def _find_words(text: str, cuts: set[int]) -> Iterator[Span]:
    """The words of a text as a reader sees them, cut where clitics begin."""
    for match in _WORD.finditer(text):
        start = match.start()
        for cut in sorted(cut for cut in cuts if start < cut < match.end()):
            yield start, cut
            start = cut
        yield start, match.end()


def _find_clitics(located: Tokenized) -> set[int]:
    """Where the tokeniser parts words with an apostrophe, as in `l' homme` and `do n't`."""
    cuts = set()
    spans = sorted({*located.word_spans})
    for (start, end), (next_start, next_end) in pairwise(spans):
        if end == next_start:
            left, right = located.text[start:end], located.text[next_start:next_end]
            ends = left[-1] in _APOSTROPHES and len(left) > 1
            begins = right[0] in _APOSTROPHES and len(right) > 1
            if ends or begins:
                cuts.add(end)
    return cuts


def find_entries(parts: Sequence[str], dictionary: Mapping[str, str]) -> list[str]:
    """For each part of a sentence the longest entry that it and its neighbours spell, else "".

    For characters and for pieces of a text without spaces, where an entry is several of them.
    """
    found = [""] * len(parts)
    longest = max(map(len, dictionary), default=0)
    for first in range(len(parts)):
        spelled = ""
        for last in range(first, len(parts)):
            spelled += parts[last]
            if len(spelled) > longest:
                break
            if spelled in dictionary:
                for place in range(first, last + 1):
                    found[place] = max(found[place], spelled, key=len)
    return found
