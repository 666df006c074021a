"""Word alignment by attention, and source words that replace unknown target tokens.

A token may be a piece of a word. So both uses of attention go from tokens to words: a link of an
alignment is between words, and an unknown token is replaced by the whole source word that it
attends to most, or by that word's entry in a dictionary.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex

from s2s_cli.text.spacing import PIECE_SPACE, UNSPACED_SCRIPTS, Span
from s2s_cli.text.tokenizer import LocatedTokens, Tokenizer


def number_words(tokens: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """For each token the number, from 0, of the word that it belongs to.

    With subwords, a piece that starts with a space begins a word, and so does the first piece. Each
    token is a word of its own if there are no subwords, or if nothing shows where words begin, as
    in Chinese text that is not tokenised before it is cut into subwords.
    """
    if tokenizer.subwords is None or (tokenizer.name == "none" and not tokenizer.finds_words):
        return list(range(len(tokens)))
    numbers: list[int] = []
    for token in tokens:
        is_first = not numbers or token.startswith(PIECE_SPACE)
        numbers.append((numbers[-1] if numbers else -1) + is_first)
    return numbers


def align_words(
    src_words: Sequence[int], tgt_words: Sequence[int], attention_weights: Sequence[Sequence[float]]
) -> list[tuple[int, int]]:
    """Link each target token's word to the word of the source token that it attends to most.

    Args:
        src_words: for each source token the number of its word.
        tgt_words: the same for each target token.
        attention_weights: for each target token its attention to the source tokens. Both may be
            followed by eos, which has no links.

    Returns:
        links (source word, target word), sorted, without duplicates.
    """
    links = set()
    for word, row in zip(tgt_words, attention_weights[: len(tgt_words)], strict=True):
        most_attended = max(range(len(src_words)), key=row.__getitem__)
        links.add((src_words[most_attended], word))
    return sorted(links)


def format_pharaoh(links: Sequence[tuple[int, int]]) -> str:
    """Links as `i-j i-j ...`, the format of Pharaoh and Moses."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)


class SourceWord(NamedTuple):
    """A word of a source sentence, and what replaces an unknown token that attends to it."""

    span: Span
    """The slice of the normalised text that is the word."""
    replacement: str
    """The word as it is written in the sentence, or its translation in the dictionary."""
    entry: str | None = None
    """Its key in the dictionary, if it has one."""


def find_source_words(
    tokenizer: Tokenizer, sentence: str, num_tokens: int, dictionary: Mapping[str, str]
) -> list[SourceWord]:
    """For each source token the word that it belongs to.

    Args:
        tokenizer: of the source.
        sentence: as it is written, not normalised.
        num_tokens: number of its tokens that the model read.
        dictionary: translations of normalised words.
    """
    located = tokenizer.locate(sentence).truncate(num_tokens)
    spans = find_word_spans(tokenizer, located)
    keys = _find_keys(tokenizer, located, spans, dictionary)
    return [
        SourceWord(span, dictionary[key], key)
        if key in dictionary
        else SourceWord(span, located.original(span))
        for span, key in zip(spans, keys, strict=True)
    ]


def most_attended_word(
    words: Sequence[SourceWord], attention_weights: Sequence[float]
) -> SourceWord:
    """The word with the most attention, summed over its tokens.

    Args:
        words: for each source token its word.
        attention_weights: over the source tokens, possibly followed by eos.
    """
    sums: dict[Span, float] = {}
    for word, weight in zip(words, attention_weights, strict=False):
        sums[word.span] = sums.get(word.span, 0.0) + weight
    best = max(sums, key=sums.__getitem__)
    # The tokens of a word may have entries of their own; the one with the most attention counts.
    places = [i for i, word in enumerate(words[: len(attention_weights)]) if word.span == best]
    return words[max(places, key=attention_weights.__getitem__)]


def _find_keys(
    tokenizer: Tokenizer,
    located: LocatedTokens,
    spans: Sequence[Span],
    dictionary: Mapping[str, str],
) -> list[str]:
    """For each token a key that may be in the dictionary.

    It is the tokeniser's word if the dictionary has that, and the whole word of `spans` otherwise.
    Where the tokeniser does not find words, it is an entry that several tokens spell.
    """
    if not dictionary:
        return [""] * len(spans)
    if not tokenizer.finds_words:
        return find_entries([located.text[a:b] for a, b in located.spans], dictionary)
    by_tokenizer = [located.text[a:b] for a, b in located.word_spans]
    whole = [located.text[a:b] for a, b in spans]
    return [
        one if one in dictionary else other for one, other in zip(by_tokenizer, whole, strict=True)
    ]


_WORD = regex.compile(
    r"(?V1)(?:[a-zA-Z][a-zA-Z0-9+.-]*://|www\.)[!-~]*[a-zA-Z0-9/]"  # a web address
    rf"|(?:[[\S]--[{UNSPACED_SCRIPTS}]--[,;!?…—–()\[\]{{}}<>\"“”„«»‹›¿¡]]|(?<=\p{{N}}),(?=\p{{N}}))+"
)
"""A word as people see it, where a tokeniser may find several: `O'Neill`, `R&B`, `10:30`, `5°C`,
`C++`, `a@b.com`. `_trim` removes punctuation at its ends."""

_EDGES = ".:'’‘ʼ`-‐·"
"""Punctuation at the ends of words."""

_APOSTROPHES = "'’ʼ"


def find_word_spans(tokenizer: Tokenizer, located: LocatedTokens) -> list[Span]:
    """For each token the slice of the text that is the word it belongs to.

    If the tokeniser finds words, that is one of them, or several that are written as one
    (`O'Neill`). If not, it is the run of letters that contains the token. In a script without
    spaces it is the token itself.
    """
    finds_words = tokenizer.finds_words and tokenizer.name != "none"
    spans = located.word_spans if finds_words else located.spans
    if tokenizer.name == "space":
        return spans
    words = _split_words(located.text, _find_clitics(located) if finds_words else [])
    ends = [end for _, end in words]
    found: list[Span] = []
    for start, end in spans:
        first = last = bisect_right(ends, start)
        while last < len(words) and words[last][0] < max(end, start + 1):
            last += 1
        around = [(start, end), *words[first:last]]
        found.append((min(a for a, _ in around), max(b for _, b in around)))
    return found


def _split_words(text: str, cuts: Sequence[int]) -> list[Span]:
    """The words of a text as people see them, split where clitics begin."""
    found: list[Span] = []
    for match in _WORD.finditer(text):
        inner = cuts[bisect_right(cuts, match.start()) : bisect_left(cuts, match.end())]
        found += pairwise([match.start(), *inner, match.end()])
    return [trimmed for trimmed in (_trim(text, span) for span in found) if trimmed]


def _trim(text: str, span: Span) -> Span | None:
    """A word without the punctuation at its ends; None if nothing remains."""
    start, end = span
    word = text[start:end]
    first = start + len(word) - len(word.lstrip(_EDGES))
    last = start + len(word.rstrip(_EDGES))
    return (first, last) if first < last else None


def _find_clitics(located: LocatedTokens) -> list[int]:
    """Where the tokeniser splits words with an apostrophe, as in `l' homme` and `do n't`."""
    cuts = []
    for (start, end), (next_start, next_end) in pairwise(dict.fromkeys(located.word_spans)):
        if end == next_start:
            left, right = located.text[start:end], located.text[next_start:next_end]
            is_left_clitic = left[-1] in _APOSTROPHES and len(left) > 1
            is_right_clitic = right[0] in _APOSTROPHES and len(right) > 1
            if is_left_clitic or is_right_clitic:
                cuts.append(end)
    return cuts


def find_entries(parts: Sequence[str], dictionary: Mapping[str, str]) -> list[str]:
    """For each part of a sentence the longest entry that it spells with its neighbours, or "".

    The parts are characters, or pieces of text without spaces, and an entry may consist of several.
    Of entries of the same length, the first in the sentence counts.
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
                for index in range(first, last + 1):
                    found[index] = max(found[index], spelled, key=len)
    return found
