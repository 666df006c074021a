"""Which source word a target word belongs to, by attention."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex

from s2s_cli.text.spacing import PIECE_SPACE, UNSPACED_SCRIPTS, Span
from s2s_cli.text.tokenizer import LocatedTokens, Tokenizer

Weights = Sequence[Sequence[float]]
"""For each target token its attention over the source tokens; more positions may follow them."""


def number_words(tokens: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """For each token the number, from 0, of the word that it is part of.

    A subword that starts with a space begins a word, and so does the first one. Without subwords
    each token is a word; so is each subword where nothing says where words begin: of Chinese that
    went to the subwords whole.
    """
    if tokenizer.subwords is None or (tokenizer.name == "none" and not tokenizer.finds_words):
        return list(range(len(tokens)))
    numbers: list[int] = []
    for token in tokens:
        begins = not numbers or token.startswith(PIECE_SPACE)
        numbers.append((numbers[-1] if numbers else -1) + begins)
    return numbers


def find_most_attended(weights: Weights, num_src_tokens: int) -> list[int]:
    """For each target token the source token it looked at most; eos and padding do not count."""
    found = []
    for row in weights:
        words = row[:num_src_tokens]
        found.append(max(range(len(words)), key=words.__getitem__))
    return found


def align_words(
    src_words: Sequence[int], tgt_words: Sequence[int], weights: Weights
) -> list[tuple[int, int]]:
    """Links (source word, target word), in the order of the source, each once.

    Args:
        src_words: for each source token the number of its word.
        tgt_words: for each target token the same.
        weights: attention of the target tokens; eos, if it follows, is linked to nothing.
    """
    looked_at = find_most_attended(weights[: len(tgt_words)], len(src_words))
    return sorted({(src_words[i], word) for i, word in zip(looked_at, tgt_words, strict=True)})


def format_pharaoh(links: Sequence[tuple[int, int]]) -> str:
    """Links as `i-j i-j ...`, the format of Pharaoh and of Moses."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)


_WORD = regex.compile(
    r"(?V1)(?:[a-zA-Z][a-zA-Z0-9+.-]*://|www\.)[!-~]*[a-zA-Z0-9/]"  # an address of the web
    rf"|(?:[[\S]--[{UNSPACED_SCRIPTS}]--[,;!?…—–()\[\]{{}}<>\"“”„«»‹›¿¡]]|(?<=\p{{N}}),(?=\p{{N}}))+"
)
"""A word as a reader sees it, where a tokeniser may see several: `O'Neill`, `R&B`, `10:30`, `5°C`,
`C++`, `a@b.com`; what `_trim` takes off is no part of it."""

_EDGES = ".:'’‘ʼ`-‐·"
"""Punctuation at the ends of words."""

_APOSTROPHES = "'’ʼ"


class Replacement(NamedTuple):
    """What stands in a translation for an unknown token."""

    text: str
    entry: str | None = None
    """The key in the dictionary, if that has it."""


class Replacements(NamedTuple):
    """What may stand for unknown tokens in the translations of one sentence."""

    words: list[Span]
    """For each source token the slice of the text that is its whole word."""
    of_tokens: list[Replacement]
    """For each source token what stands for a target token that looked at it."""

    def choose(self, weights: Sequence[float]) -> Replacement:
        """What stands for a target token: the word with most attention, all its tokens together.

        Args:
            weights: attention over the source tokens; more positions, such as that of the source's
                end, may follow them.
        """
        sums: dict[Span, float] = {}
        for word, weight in zip(self.words, weights, strict=False):
            sums[word] = sums.get(word, 0.0) + weight
        best = max(sums, key=sums.__getitem__)
        places = [i for i, word in enumerate(self.words[: len(weights)]) if word == best]
        return self.of_tokens[max(places, key=weights.__getitem__)]


def find_replacements(
    tokenizer: Tokenizer, sentence: str, num_tokens: int, dictionary: Mapping[str, str]
) -> Replacements:
    """For each source token its whole word, or what the dictionary has for it.

    Args:
        tokenizer: of the source.
        sentence: as it stands in the text.
        num_tokens: how many of its tokens the model read.
        dictionary: for normalised words their translations.
    """
    located = tokenizer.locate(sentence).truncate(num_tokens)
    words = find_words(tokenizer, located)
    copies = [located.original(word) for word in words]
    if not dictionary:
        return Replacements(words, [Replacement(copy) for copy in copies])
    if tokenizer.finds_words:
        own = [located.text[a:b] for a, b in located.word_spans]
        whole = [located.text[a:b] for a, b in words]
        keys = [one if one in dictionary else other for one, other in zip(own, whole, strict=True)]
    else:
        keys = find_entries([located.text[a:b] for a, b in located.spans], dictionary)
    return Replacements(
        words,
        [
            Replacement(dictionary[key], key) if key in dictionary else Replacement(copy)
            for key, copy in zip(keys, copies, strict=True)
        ],
    )


def find_words(tokenizer: Tokenizer, located: LocatedTokens) -> list[Span]:
    """For each token the slice of the text that is the whole word which it belongs to.

    Where the tokeniser finds words that is one of them, or several that the text writes as one
    (`O'Neill`). Else it is the run of letters that the token is in; a token of a script that is
    written without spaces stands for itself.
    """
    finds_words = tokenizer.finds_words and tokenizer.name != "none"
    spans = located.word_spans if finds_words else located.spans
    if tokenizer.name == "space":
        return spans
    words = _find_words(located.text, _find_clitics(located) if finds_words else [])
    ends = [end for _, end in words]
    found: list[Span] = []
    for start, end in spans:
        first = last = bisect_right(ends, start)
        while last < len(words) and words[last][0] < max(end, start + 1):
            last += 1
        around = [(start, end), *words[first:last]]
        found.append((min(a for a, _ in around), max(b for _, b in around)))
    return found


def _find_words(text: str, cuts: Sequence[int]) -> list[Span]:
    """The words of a text as a reader sees them, cut where clitics begin; in their order."""
    found: list[Span] = []
    for match in _WORD.finditer(text):
        inner = cuts[bisect_right(cuts, match.start()) : bisect_left(cuts, match.end())]
        found += pairwise([match.start(), *inner, match.end()])
    return [trimmed for trimmed in (_trim(text, span) for span in found) if trimmed]


def _trim(text: str, span: Span) -> Span | None:
    """A word without punctuation at its ends; None if it is nothing else."""
    start, end = span
    word = text[start:end]
    first = start + len(word) - len(word.lstrip(_EDGES))
    last = start + len(word.rstrip(_EDGES))
    return (first, last) if first < last else None


def _find_clitics(located: LocatedTokens) -> list[int]:
    """Where the tokeniser parts words with an apostrophe, as in `l' homme` and `do n't`."""
    cuts = []
    for (start, end), (next_start, next_end) in pairwise(dict.fromkeys(located.word_spans)):
        if end == next_start:
            left, right = located.text[start:end], located.text[next_start:next_end]
            ends = left[-1] in _APOSTROPHES and len(left) > 1
            begins = right[0] in _APOSTROPHES and len(right) > 1
            if ends or begins:
                cuts.append(end)
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
