"""The embedded Chinese-English phrasebook: read its patterns, expand them into sentence pairs.

`phrasebook.txt` beside this file says in its head how it is written. The expansion is the same
on every machine: one seeded generator, of which only `.random()` is used, and no unordered set.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from s2s_cli.errors import DataError

TRAIN_PAIRS, VALID_PAIRS, TEST_PAIRS = 10_000, 500, 500

_T = TypeVar("_T")

_SEED = 20_260_101
_FILE = "phrasebook.txt"
# How often train must hold what stands in valid or test: words and neighbouring characters,
_KNOWN_FROM_TRAIN = 4
# and by the first character of a mark: entries, short words between their neighbours, which Chinese
# cutters treat differently from place to place, and longer ones after one character, the rarest.
_ENTRY, _SHORT, _JOINED = "#", "<", "+"
_KNOWN_SPECIALLY = {_ENTRY: 5, _SHORT: 6, _JOINED: 2}
_SPARING = 12  # patterns with fewer sentences than this keep them all for train
_LIST_ALL = 100  # patterns with at most this many combinations are listed, others drawn from
_TRIES = 200  # draws without anything new before a pattern counts as used up

_CLASS = re.compile(r"\[([a-z_]+)\] +(zh \| en(?: \| [a-z_]+)*)")
_UNION = re.compile(r"\[([a-z_]+)\] = ([a-z_]+(?: \+ [a-z_]+)*)")
_PIECE = re.compile(r"\{([a-z_]+\d*)(?:\.([a-z_]+))?\}|\[([^\[\]]*)\]")
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


class Entry(NamedTuple):
    """One dictionary entry: what each column of its class says; `zh` and `en` always stand."""

    number: int
    forms: dict[str, str]


class Slot(NamedTuple):
    """A place in a template that an entry fills: `{book2.many}` has name `book2`, form `many`."""

    name: str
    form: str


class Agreement(NamedTuple):
    """A choice that follows the subject: `[like|likes]`, `[am|are|is]`."""

    options: tuple[tuple[str | Slot, ...], ...]
    subject: str


class Pattern(NamedTuple):
    """One sentence pattern: both templates, and the entries each slot may take."""

    line: int
    zh: tuple[str | Slot, ...]
    en: tuple[str | Slot | Agreement, ...]
    slots: dict[str, str]


class Phrasebook(NamedTuple):
    """The file as read: the entries a class can give, the patterns, the literal test pairs."""

    entries: list[Entry]
    classes: dict[str, list[Entry]]
    columns: dict[str, list[str]]
    patterns: list[Pattern]
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
        text = Path(__file__).with_name(_FILE).read_text(encoding="utf-8")
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


def parse_phrasebook(text: str) -> Phrasebook:
    """Read the phrasebook format, and refuse what cannot be expanded.

    Raises:
        DataError: a line breaks the format; the message names it.
    """
    book = Phrasebook([], {}, {}, [], [])
    read_line: Callable[[int, str], None] | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            read_line = _open_section(book, number, line)
        elif read_line is None:
            raise _fault(number, "a line before the first section", "open one: `[name] zh | en`")
        else:
            read_line(number, line)
    return book


def _fault(number: int, wrong: str, right: str) -> DataError:
    """Word an error so that its line is found at once."""
    return DataError(f"{_FILE}:{number}: {wrong}; {right}")


def _open_section(book: Phrasebook, number: int, line: str) -> Callable[[int, str], None]:
    """Read a section's header, and hand back what reads the lines under it."""
    if line == "[patterns]":
        return lambda at, content: book.patterns.append(_read_pattern(book, at, content))
    if line == "[test]":
        return lambda at, content: book.test.append(_read_test(at, content))
    if union := _UNION.fullmatch(line):
        _new_class(book, number, union[1])
        parts = union[2].split(" + ")
        columns = [_columns(book, number, part) for part in parts]
        book.classes[union[1]] = [entry for part in parts for entry in book.classes[part]]
        book.columns[union[1]] = [c for c in columns[0] if all(c in other for other in columns)]
        return lambda at, _: _refuse_entry(at, union[1])
    if not (header := _CLASS.fullmatch(line)):
        raise _fault(
            number,
            f"no header reads {line!r}",
            "it is `[name] zh | en | …`, `[name] = class + class`, `[patterns]` or `[test]`",
        )
    name = header[1]
    _new_class(book, number, name)
    book.classes[name] = []
    book.columns[name] = header[2].split(" | ")
    return lambda at, content: _read_entry(book, name, at, content)


def _new_class(book: Phrasebook, number: int, name: str) -> None:
    """Refuse a class name that is there already."""
    if name in book.classes:
        raise _fault(number, f"class {name!r} is there twice", "rename one or join the two")


def _columns(book: Phrasebook, number: int, name: str) -> list[str]:
    """The columns of a class, or an error that lists the classes there are."""
    if name not in book.classes:
        known = ", ".join(book.classes)
        raise _fault(number, f"unknown class {name!r}", f"classes are {known}")
    return book.columns[name]


def _refuse_entry(number: int, name: str) -> None:
    """A union takes its entries from its classes and has none of its own."""
    raise _fault(number, f"an entry under the union [{name}]", "put it under one of its classes")


def _read_entry(book: Phrasebook, name: str, number: int, line: str) -> None:
    """Add one dictionary line to its class."""
    cells = line.split(" | ")
    columns = book.columns[name]
    if len(cells) != len(columns) or not all(cells):
        raise _fault(
            number,
            f"{len(cells)} cells under [{name}]",
            f"it has {len(columns)}: {' | '.join(columns)}",
        )
    forms = dict(zip(columns, cells, strict=True))
    if forms.get("agree", "1") not in ("1", "2", "3"):
        raise _fault(number, f"agree is {forms['agree']!r}", "it is 1, 2 or 3")
    for other in book.classes[name]:
        if other.forms["zh"] == forms["zh"] or other.forms["en"] == forms["en"]:
            raise _fault(number, f"{line!r} repeats an entry of [{name}]", "keep one of the two")
    entry = Entry(len(book.entries), forms)
    book.entries.append(entry)
    book.classes[name].append(entry)


def _read_test(number: int, line: str) -> tuple[str, str]:
    """Read a literal pair of the test part."""
    zh, bar, en = line.partition(" | ")
    if not bar or " | " in en:
        raise _fault(number, "not a pair", "write `zh | en`")
    return zh, en


def _read_pattern(book: Phrasebook, number: int, line: str) -> Pattern:
    """Read both templates of a pattern and check that they fit each other."""
    left, right = _read_test(number, line)
    slots: dict[str, str] = {}
    zh = _read_template(book, number, left, slots)
    if any(isinstance(piece, Agreement) for piece in zh):
        raise _fault(number, "a `[…|…]` on the Chinese side", "only English has agreement")
    seen_zh = dict(slots)
    slots_en: dict[str, str] = {}
    en = _read_template(book, number, right, slots_en)
    if seen_zh.keys() != slots_en.keys():
        odd = ", ".join(sorted(seen_zh.keys() ^ slots_en.keys()))
        raise _fault(number, f"slots on one side only: {odd}", "use every slot on both sides")
    en = tuple(
        _with_subject(book, number, piece, slots_en) if isinstance(piece, Agreement) else piece
        for piece in en
    )
    plain = tuple(piece for piece in zh if not isinstance(piece, Agreement))
    return Pattern(number, plain, en, slots)


def _read_template(
    book: Phrasebook, number: int, template: str, slots: dict[str, str]
) -> tuple[str | Slot | Agreement, ...]:
    """Cut a template into text, slots and agreements, and note each slot's class in `slots`."""
    pieces: list[str | Slot | Agreement] = []
    end = 0
    for found in _PIECE.finditer(template):
        pieces.append(template[end : found.start()])
        end = found.end()
        if found[1]:
            pieces.append(_read_slot(book, number, found[1], found[2] or "", slots))
        else:
            pieces.append(_read_agreement(book, number, found[3], slots))
    pieces.append(template[end:])
    if stray := re.search(r"[{}\[\]|]", "".join(p for p in pieces if isinstance(p, str))):
        raise _fault(number, f"a stray {stray[0]!r}", "slots are `{class}`, choices `[one|two]`")
    return tuple(piece for piece in pieces if piece != "")


def _read_slot(book: Phrasebook, number: int, name: str, form: str, slots: dict[str, str]) -> Slot:
    """Check one `{class.form}` against the dictionary."""
    of_class = name.rstrip("0123456789")
    columns = _columns(book, number, of_class)
    if form and form not in columns:
        raise _fault(number, f"[{of_class}] has no form {form!r}", f"it has {', '.join(columns)}")
    slots[name] = of_class
    return Slot(name, form)


def _read_agreement(
    book: Phrasebook, number: int, content: str, slots: dict[str, str]
) -> Agreement:
    """Read what stands between the brackets of `[like|likes]` or `[are|is:fruit]`."""
    choices, _, subject = content.partition(":")
    options = []
    for option in choices.split("|"):
        pieces = _read_template(book, number, option, slots)
        options.append(tuple(piece for piece in pieces if not isinstance(piece, Agreement)))
    if len(options) not in (2, 3):
        raise _fault(number, f"{len(options)} options in [{content}]", "give two or three")
    return Agreement(tuple(options), subject)


def _with_subject(
    book: Phrasebook, number: int, choice: Agreement, slots: dict[str, str]
) -> Agreement:
    """Settle which slot a choice agrees with: the one it names, or the first that can."""
    able = [slot for slot, of_class in slots.items() if "agree" in book.columns[of_class]]
    subject = choice.subject or next(iter(able), "")
    if subject not in able:
        wrong = f"nothing for {subject!r} to agree with" if subject else "a choice, no subject"
        raise _fault(number, wrong, "its slot needs a class that has an `agree` column")
    return choice._replace(subject=subject)


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
                    raise _fault(pattern.line, f"two translations ({other})", "reword one")
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
