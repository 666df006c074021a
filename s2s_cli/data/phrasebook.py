"""The embedded Chinese-English phrasebook, expanded into sentence pairs.

The expansion is the same on every machine: one seeded generator, of which only `.random()` is
used, and no unordered set.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from s2s_cli.data.phrasebook_format import (
    FILE,
    Agreement,
    Entry,
    Pattern,
    Phrasebook,
    Slot,
    fault,
    parse_phrasebook,
)

TRAIN_PAIRS, VALID_PAIRS, TEST_PAIRS = 10_000, 500, 500

_T = TypeVar("_T")

_SEED = 20_260_101
# How often train must hold what stands in valid or test: words and neighbouring characters,
_KNOWN_FROM_TRAIN = 4
# and by the first character of a mark: entries, short words between their neighbours, which Chinese
# cutters treat differently from place to place, and longer ones after one character, the rarest.
_ENTRY, _SHORT, _JOINED = "#", "<", "+"
_KNOWN_SPECIALLY = {_ENTRY: 5, _SHORT: 6, _JOINED: 2}
_SPARING = 12  # patterns with fewer sentences than this keep them all for train
_LIST_ALL = 100  # patterns with at most this many combinations are listed, others drawn from
_TRIES = 200  # draws without anything new before a pattern counts as used up

_ARTICLE = re.compile(r"\b([Aa])\(n\) (\w+)")
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|'[a-z]+|[^\sA-Za-z']")
_SOUNDS_LIKE_CONSONANT = re.compile(r"(?:uni(?!n)|us[eu]|eu|one\b|once\b)", re.IGNORECASE)
_COUNTED = re.compile(".[一二两三四五六七八九十百千半]+.")  # cutters may join these
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)", re.IGNORECASE)


class Splits(NamedTuple):
    """The expanded phrasebook: pairs of (Chinese, English) sentences."""

    train: list[tuple[str, str]]
    valid: list[tuple[str, str]]
    test: list[tuple[str, str]]


class _Sentence(NamedTuple):
    """One drawn pair, the pattern it came from, and the marks by which it counts as known."""

    pair: tuple[str, str]
    pattern: int
    marks: Counter[str]


def expand_phrasebook(text: str | None = None) -> Splits:
    """10,000 train, 500 valid, 500 test pairs, the same on every machine.

    A book too small for that many gives all it has, with valid and test in proportion.

    Args:
        text: a phrasebook in the format of the embedded file, which is taken if there is none.

    Raises:
        DataError: the text breaks the format, or gives one sentence two translations.
    """
    if text is None:
        text = Path(__file__).with_name(FILE).read_text(encoding="utf-8")
    book = parse_phrasebook(text)
    rng = Random(_SEED)  # noqa: S311 (no secret here: it must be repeatable)
    wanted = TRAIN_PAIRS + VALID_PAIRS + TEST_PAIRS - len(book.test)
    sentences = _draw(book, wanted, rng)
    if len(sentences) == wanted:
        to_valid, to_test = VALID_PAIRS, TEST_PAIRS - len(book.test)
    else:
        to_valid = to_test = len(sentences) // 22
    spared = _spare(sentences, len(book.patterns), to_valid + to_test, rng)
    taken = frozenset(spared)
    train = [one.pair for number, one in enumerate(sentences) if number not in taken]
    _shuffle(train, rng)
    held_out = [sentences[number].pair for number in spared]
    return Splits(train, held_out[to_test:], book.test + held_out[:to_test])


def _draw(book: Phrasebook, wanted: int, rng: Random) -> list[_Sentence]:
    """Let every pattern give one sentence after the other, until there are enough."""
    to_en = dict(book.test)
    to_zh = {en: zh for zh, en in book.test}
    decks = {name: _deck(entries, rng) for name, entries in book.classes.items()}
    giving = [
        (number, pattern, _choices(book, pattern, decks, rng))
        for number, pattern in enumerate(book.patterns)
    ]
    sentences: list[_Sentence] = []
    while giving and len(sentences) < wanted:
        still_giving = []
        for number, pattern, choices in giving:
            for chosen in choices:
                zh, en = _render(pattern, chosen)
                if to_en.get(zh, en) != en or to_zh.get(en, zh) != zh:
                    other = f"{zh} = {to_en.get(zh, en)}, {to_zh.get(en, zh)} = {en}"
                    raise fault(pattern.line, f"two translations ({other})", "reword one")
                if zh not in to_en:
                    to_en[zh], to_zh[en] = en, zh
                    sentences.append(_Sentence((zh, en), number, _marks(zh, en, chosen)))
                    still_giving.append((number, pattern, choices))
                    break
        giving = still_giving
    return sentences[:wanted]


def _deck(entries: list[Entry], rng: Random) -> Iterator[Entry]:
    """Deal a class's entries without end, each once before any comes again."""
    while True:
        deck = list(entries)
        _shuffle(deck, rng)
        yield from deck


def _choices(
    book: Phrasebook, pattern: Pattern, decks: dict[str, Iterator[Entry]], rng: Random
) -> Iterator[dict[str, Entry]]:
    """Ways to fill a pattern's slots: all of a small pattern, else as the decks deal them."""
    pools = [book.classes[of_class] for of_class in pattern.slots.values()]
    combinations = 1
    for pool in pools:
        combinations *= len(pool)
    if combinations <= _LIST_ALL:
        listed = list(itertools.product(*pools))
        _shuffle(listed, rng)
        for entries in listed:
            if _all_differ(list(entries)):
                yield dict(zip(pattern.slots, entries, strict=True))
        return
    dealt: dict[tuple[int, ...], None] = {}
    misses = 0
    while misses < _TRIES:
        hand = [next(decks[of_class]) for of_class in pattern.slots.values()]
        key = tuple(entry.number for entry in hand)
        if key in dealt or not _all_differ(hand):
            misses += 1
            continue
        dealt[key] = None
        misses = 0
        yield dict(zip(pattern.slots, hand, strict=True))


def _all_differ(entries: list[Entry]) -> bool:
    """No entry stands in two slots of one sentence: nobody is taller than himself."""
    return len({entry.number for entry in entries}) == len(entries)


def _render(pattern: Pattern, chosen: dict[str, Entry]) -> tuple[str, str]:
    """Write out one sentence pair."""
    zh = "".join(_fill(piece, chosen, "zh") for piece in pattern.zh)
    parts: list[str] = []
    for piece in pattern.en:
        if isinstance(piece, Agreement):
            agree = int(chosen[piece.subject].forms["agree"])
            option = agree - 1 if len(piece.options) == 3 else int(agree == 3)
            parts.extend(_fill(inner, chosen, "en") for inner in piece.options[option])
        else:
            parts.append(_fill(piece, chosen, "en"))
    en = _ARTICLE.sub(_article, "".join(parts))
    return zh, en[0].upper() + en[1:]


def _fill(piece: str | Slot, chosen: dict[str, Entry], side: str) -> str:
    """The text of one piece of a template."""
    return piece if isinstance(piece, str) else chosen[piece.name].forms[piece.form or side]


def _article(found: re.Match[str]) -> str:
    """Write `a(n)` out by the sound that follows, which is not always the letter's."""
    letter, word = found[1], found[2]
    vowel = word[0] in "aeiouAEIOU" and not _SOUNDS_LIKE_CONSONANT.match(word)
    return f"{letter}{'n' if vowel or _SILENT_H.match(word) else ''} {word}"


def _marks(zh: str, en: str, chosen: dict[str, Entry]) -> Counter[str]:
    """What a model must have met to read a pair: words, neighbouring characters, entries.

    Chinese words are cut by a program this module does without. It looks at neighbours: two
    characters in a row, an entry and the character before it, and for a word of one character,
    or a number, what stands on both sides. A cut that a cutter makes here it also makes in train.
    """
    bounded = f"^{zh}$"
    marks = Counter(_WORD.findall(en))
    marks.update(bounded[at : at + 2] for at in range(len(bounded) - 1))
    marks.update(_SHORT + found for found in _COUNTED.findall(bounded))
    words = (entry.forms["zh"] for entry in chosen.values())
    marks.update(f"{_JOINED}{bounded[bounded.find(word) - 1]}{word}" for word in words)
    short = [entry.forms["zh"] for entry in chosen.values() if len(entry.forms["zh"]) == 1]
    marks.update(
        _SHORT + bounded[at - 1 : at + 2] for at, one in enumerate(bounded) if one in short
    )
    marks.update(f"{_ENTRY}{entry.number}" for entry in chosen.values())
    return marks


def _needed(mark: str) -> int:
    """How often train must hold a mark that stands in valid or test."""
    return _KNOWN_SPECIALLY.get(mark[0], _KNOWN_FROM_TRAIN)


def _spare(sentences: list[_Sentence], patterns: int, wanted: int, rng: Random) -> list[int]:
    """Numbers of sentences for valid and test, from all patterns in turn, train's words only."""
    known: Counter[str] = Counter()
    queues: list[list[int]] = [[] for _ in range(patterns)]
    for number, one in enumerate(sentences):
        known.update(one.marks)
        queues[one.pattern].append(number)
    # A pattern gives one sentence in four at most, and the smallest give none.
    left = [len(queue) // 4 if len(queue) >= _SPARING else 0 for queue in queues]
    for queue in queues:
        _shuffle(queue, rng)
    spared: list[int] = []
    while len(spared) < wanted and any(left):
        for pattern, queue in enumerate(queues):
            while left[pattern] and queue:
                number = queue.pop()
                marks = sentences[number].marks
                if all(known[mark] - n >= _needed(mark) for mark, n in marks.items()):
                    known.subtract(marks)
                    spared.append(number)
                    left[pattern] -= 1
                    break
            else:
                left[pattern] = 0
    del spared[wanted:]
    _shuffle(spared, rng)
    return spared


def _shuffle(items: list[_T], rng: Random) -> None:
    """Shuffle in place by `.random()` alone, whose sequence no Python release changes."""
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
