"""Expand the Chinese-English phrasebook into sentence pairs.

1. Draw sentences: each pattern in turn gives one new sentence, its slots filled with entries dealt
   from shuffled decks, until there are enough pairs or every pattern is used up.
2. Hold out valid and test: again each pattern in turn gives a sentence, but only one whose words,
   entries and neighbouring characters all remain in train often enough (`_marks`). So nothing in
   valid or test is unknown to a model trained on train.

The result is the same on every machine: a single seeded generator, of which only `.random()` is
used, and no unordered set.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from tools.phrasebook.format import (
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
# Minimum number of occurrences in train of whatever occurs in valid or test: of words and character
# bigrams, and, by the prefix of the mark, of dictionary entries, of short words with both
# neighbours (Chinese word segmenters split these differently depending on context), and of words
# with the character before them (the rarest).
_MIN_IN_TRAIN = 4
_ENTRY, _SHORT, _JOINED = "#", "<", "+"
_MIN_BY_PREFIX = {_ENTRY: 5, _SHORT: 6, _JOINED: 2}
_MIN_HELD_OUT_SIZE = 12  # patterns with fewer sentences give none to valid and test
_MAX_LISTED = 100  # patterns with more combinations of entries are sampled, not listed
_MAX_MISSES = 200  # draws without a new combination after which a pattern counts as used up

_ARTICLE = re.compile(r"\b([Aa])\(n\) (\w+)")
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|'[a-z]+|[^\sA-Za-z']")
_SOUNDS_LIKE_CONSONANT = re.compile(r"(?:uni(?!n)|us[eu]|eu|one\b|once\b)", re.IGNORECASE)
_COUNTED = re.compile(".[一二两三四五六七八九十百千半]+.")  # segmenters may join these
_SILENT_H = re.compile(r"(?:hour|honest|honou?r|heir)", re.IGNORECASE)


class Splits(NamedTuple):
    """The expanded phrasebook: pairs of (Chinese, English) sentences."""

    train: list[tuple[str, str]]
    valid: list[tuple[str, str]]
    test: list[tuple[str, str]]


class _Sentence(NamedTuple):
    """A drawn pair, the number of its pattern, and what train must contain to prepare for it."""

    pair: tuple[str, str]
    pattern: int
    marks: Counter[str]


def expand_phrasebook(text: str | None = None) -> Splits:
    """Expand a phrasebook into 10,000 train, 500 valid and 500 test pairs.

    A smaller phrasebook gives as many as it can, with valid and test in proportion.

    Args:
        text: a phrasebook; `phrasebook.txt` by default.

    Raises:
        DataError: a line is malformed, or a sentence has two translations.
    """
    if text is None:
        text = Path(__file__).with_name(FILE).read_text(encoding="utf-8")
    book = parse_phrasebook(text)
    rng = Random(_SEED)  # noqa: S311 (repeatable, not secret)
    wanted = TRAIN_PAIRS + VALID_PAIRS + TEST_PAIRS - len(book.test)
    sentences = _draw(book, wanted, rng)
    if len(sentences) == wanted:
        to_valid, to_test = VALID_PAIRS, TEST_PAIRS - len(book.test)
    else:
        to_valid = to_test = len(sentences) // 22
    held_out = _hold_out(sentences, len(book.patterns), to_valid + to_test, rng)
    taken = frozenset(held_out)
    train = [one.pair for number, one in enumerate(sentences) if number not in taken]
    _shuffle(train, rng)
    pairs = [sentences[number].pair for number in held_out]
    return Splits(train, pairs[to_test:], book.test + pairs[:to_test])


def _draw(book: Phrasebook, wanted: int, rng: Random) -> list[_Sentence]:
    """Draw new sentences from all patterns in turn until there are enough."""
    to_en = dict(book.test)
    to_zh = {en: zh for zh, en in book.test}
    decks = {name: _deck(entries, rng) for name, entries in book.classes.items()}
    active = [
        (number, pattern, _choices(book, pattern, decks, rng))
        for number, pattern in enumerate(book.patterns)
    ]
    sentences: list[_Sentence] = []
    while active and len(sentences) < wanted:
        still_active = []
        for number, pattern, choices in active:
            for chosen in choices:
                zh, en = _render(pattern, chosen)
                if to_en.get(zh, en) != en or to_zh.get(en, zh) != zh:
                    other = f"{zh} = {to_en.get(zh, en)}, {to_zh.get(en, zh)} = {en}"
                    raise fault(pattern.line, f"two translations ({other})", "reword one")
                if zh not in to_en:
                    to_en[zh], to_zh[en] = en, zh
                    sentences.append(_Sentence((zh, en), number, _marks(zh, en, chosen)))
                    still_active.append((number, pattern, choices))
                    break
        active = still_active
    return sentences[:wanted]


def _deck(entries: list[Entry], rng: Random) -> Iterator[Entry]:
    """Yield entries forever in random order; all of them before any is repeated."""
    while True:
        deck = list(entries)
        _shuffle(deck, rng)
        yield from deck


def _choices(
    book: Phrasebook, pattern: Pattern, decks: dict[str, Iterator[Entry]], rng: Random
) -> Iterator[dict[str, Entry]]:
    """Yield ways to fill the slots of a pattern: all if they are few, otherwise random ones."""
    pools = [book.classes[of_class] for of_class in pattern.slots.values()]
    combinations = 1
    for pool in pools:
        combinations *= len(pool)
    if combinations <= _MAX_LISTED:
        listed = list(itertools.product(*pools))
        _shuffle(listed, rng)
        for entries in listed:
            if _all_differ(list(entries)):
                yield dict(zip(pattern.slots, entries, strict=True))
        return
    dealt: dict[tuple[int, ...], None] = {}
    misses = 0
    while misses < _MAX_MISSES:
        hand = [next(decks[of_class]) for of_class in pattern.slots.values()]
        key = tuple(entry.number for entry in hand)
        if key in dealt or not _all_differ(hand):
            misses += 1
            continue
        dealt[key] = None
        misses = 0
        yield dict(zip(pattern.slots, hand, strict=True))


def _all_differ(entries: list[Entry]) -> bool:
    """Whether no entry fills two slots: nobody is taller than himself."""
    return len({entry.number for entry in entries}) == len(entries)


def _render(pattern: Pattern, chosen: dict[str, Entry]) -> tuple[str, str]:
    """Fill a pattern with the chosen entries."""
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
    """Return the text of one piece of a template."""
    return piece if isinstance(piece, str) else chosen[piece.name].forms[piece.form or side]


def _article(found: re.Match[str]) -> str:
    """Replace `a(n)` by `a` or `an`, going by the sound of the next word, not its spelling."""
    letter, word = found[1], found[2]
    vowel = word[0] in "aeiouAEIOU" and not _SOUNDS_LIKE_CONSONANT.match(word)
    return f"{letter}{'n' if vowel or _SILENT_H.match(word) else ''} {word}"


def _marks(zh: str, en: str, chosen: dict[str, Entry]) -> Counter[str]:
    """Count what a model must have seen in train to read a pair: words, characters, entries.

    Which Chinese words a segmenter finds depends on their neighbours, and no segmenter is used
    here. So the marks are character bigrams, entries with the character before them, and words of
    one character and numbers with the characters on both sides. Where all of these occur in train,
    a segmenter finds the same words there.
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


def _min_in_train(mark: str) -> int:
    """Return how often a mark of a held-out sentence must occur in train."""
    return _MIN_BY_PREFIX.get(mark[0], _MIN_IN_TRAIN)


def _hold_out(sentences: list[_Sentence], num_patterns: int, wanted: int, rng: Random) -> list[int]:
    """Choose sentences for valid and test, from all patterns in turn.

    Args:
        sentences: everything that was drawn.
        num_patterns: number of patterns.
        wanted: number of sentences to hold out.
        rng: the generator.

    Returns:
        Their numbers, in random order.
    """
    in_train: Counter[str] = Counter()
    queues: list[list[int]] = [[] for _ in range(num_patterns)]
    for number, sentence in enumerate(sentences):
        in_train.update(sentence.marks)
        queues[sentence.pattern].append(number)
    # A pattern gives at most a quarter of its sentences, a small one none.
    left = [len(queue) // 4 if len(queue) >= _MIN_HELD_OUT_SIZE else 0 for queue in queues]
    for queue in queues:
        _shuffle(queue, rng)
    held_out: list[int] = []
    while len(held_out) < wanted and any(left):
        for pattern, queue in enumerate(queues):
            while left[pattern] and queue:
                number = queue.pop()
                marks = sentences[number].marks
                if all(in_train[mark] - n >= _min_in_train(mark) for mark, n in marks.items()):
                    in_train.subtract(marks)
                    held_out.append(number)
                    left[pattern] -= 1
                    break
            else:
                left[pattern] = 0
    del held_out[wanted:]
    _shuffle(held_out, rng)
    return held_out


def _shuffle(items: list[_T], rng: Random) -> None:
    """Shuffle in place with `.random()`, whose sequence is the same in every Python release."""
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
