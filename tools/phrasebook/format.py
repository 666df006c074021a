"""Parse a phrasebook: classes of dictionary entries, and sentence patterns over them.

The comment at the top of `phrasebook.txt` describes the format; `expand.py` expands it.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from s2s_cli.errors import DataError

FILE = "phrasebook.txt"

_CLASS = re.compile(r"\[([a-z_]+)\] +(zh \| en(?: \| [a-z_]+)*)")
_UNION = re.compile(r"\[([a-z_]+)\] = ([a-z_]+(?: \+ [a-z_]+)*)")
_PIECE = re.compile(r"\{([a-z_]+\d*)(?:\.([a-z_]+))?\}|\[([^\[\]]*)\]")


class Entry(NamedTuple):
    """A dictionary entry: its text by column; every entry has the columns `zh` and `en`."""

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
    """A sentence pattern: both templates, and the class of each slot."""

    line: int
    zh: tuple[str | Slot, ...]
    en: tuple[str | Slot | Agreement, ...]
    slots: dict[str, str]


class Phrasebook(NamedTuple):
    """A parsed phrasebook: entries, classes with their columns, patterns, literal test pairs."""

    entries: list[Entry]
    classes: dict[str, list[Entry]]
    columns: dict[str, list[str]]
    patterns: list[Pattern]
    test: list[tuple[str, str]]


def parse_phrasebook(text: str) -> Phrasebook:
    """Parse and check a phrasebook.

    Raises:
        DataError: a line is malformed; the message names it.
    """
    book = Phrasebook([], {}, {}, [], [])
    read_line: Callable[[int, str], None] | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            read_line = _open_section(book, number, line)
        elif read_line is None:
            raise fault(
                number, "a line before the first section", "start one with `[name] zh | en`"
            )
        else:
            read_line(number, line)
    return book


def fault(number: int, wrong: str, right: str) -> DataError:
    """Return an error that names the line."""
    return DataError(f"{FILE}:{number}: {wrong}; {right}")


def _open_section(book: Phrasebook, number: int, line: str) -> Callable[[int, str], None]:
    """Read the header of a section and return the reader of its lines."""
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
        raise fault(
            number,
            f"{line!r} is not a section header",
            "write `[name] zh | en | …`, `[name] = class + class`, `[patterns]` or `[test]`",
        )
    name = header[1]
    _new_class(book, number, name)
    book.classes[name] = []
    book.columns[name] = header[2].split(" | ")
    return lambda at, content: _read_entry(book, name, at, content)


def _new_class(book: Phrasebook, number: int, name: str) -> None:
    """Refuse a class name that is already in use."""
    if name in book.classes:
        raise fault(number, f"class {name!r} is defined twice", "rename one or join the two")


def _columns(book: Phrasebook, number: int, name: str) -> list[str]:
    """Return the columns of a class; an error lists the known classes."""
    if name not in book.classes:
        known = ", ".join(book.classes)
        raise fault(number, f"unknown class {name!r}", f"classes are {known}")
    return book.columns[name]


def _refuse_entry(number: int, name: str) -> None:
    """Refuse an entry under a union, whose entries are those of its classes."""
    raise fault(number, f"an entry under the union [{name}]", "put it under one of its classes")


def _read_entry(book: Phrasebook, name: str, number: int, line: str) -> None:
    """Add an entry to its class."""
    cells = line.split(" | ")
    columns = book.columns[name]
    if len(cells) != len(columns) or not all(cells):
        raise fault(
            number,
            f"{len(cells)} cells under [{name}]",
            f"it has {len(columns)}: {' | '.join(columns)}",
        )
    forms = dict(zip(columns, cells, strict=True))
    if forms.get("agree", "1") not in ("1", "2", "3"):
        raise fault(number, f"agree is {forms['agree']!r}", "it is 1, 2 or 3")
    for other in book.classes[name]:
        if other.forms["zh"] == forms["zh"] or other.forms["en"] == forms["en"]:
            raise fault(number, f"{line!r} repeats an entry of [{name}]", "keep one of the two")
    entry = Entry(len(book.entries), forms)
    book.entries.append(entry)
    book.classes[name].append(entry)


def _read_test(number: int, line: str) -> tuple[str, str]:
    """Read a line `zh | en`."""
    zh, bar, en = line.partition(" | ")
    if not bar or " | " in en:
        raise fault(number, "not a pair", "write `zh | en`")
    return zh, en


def _read_pattern(book: Phrasebook, number: int, line: str) -> Pattern:
    """Read both templates of a pattern and check that they match."""
    left, right = _read_test(number, line)
    slots: dict[str, str] = {}
    zh = _read_template(book, number, left, slots)
    if any(isinstance(piece, Agreement) for piece in zh):
        raise fault(number, "a `[…|…]` on the Chinese side", "only English has agreement")
    seen_zh = dict(slots)
    slots_en: dict[str, str] = {}
    en = _read_template(book, number, right, slots_en)
    if seen_zh.keys() != slots_en.keys():
        odd = ", ".join(sorted(seen_zh.keys() ^ slots_en.keys()))
        raise fault(number, f"slots on one side only: {odd}", "use every slot on both sides")
    en = tuple(
        _with_subject(book, number, piece, slots_en) if isinstance(piece, Agreement) else piece
        for piece in en
    )
    plain = tuple(piece for piece in zh if not isinstance(piece, Agreement))
    return Pattern(number, plain, en, slots)


def _read_template(
    book: Phrasebook, number: int, template: str, slots: dict[str, str]
) -> tuple[str | Slot | Agreement, ...]:
    """Split a template into text, slots and agreements; add the class of each slot to `slots`."""
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
        raise fault(number, f"a stray {stray[0]!r}", "slots are `{class}`, choices `[one|two]`")
    return tuple(piece for piece in pieces if piece != "")


def _read_slot(book: Phrasebook, number: int, name: str, form: str, slots: dict[str, str]) -> Slot:
    """Read `{class.form}` and check that the class has this form."""
    of_class = name.rstrip("0123456789")
    columns = _columns(book, number, of_class)
    if form and form not in columns:
        raise fault(number, f"[{of_class}] has no form {form!r}", f"it has {', '.join(columns)}")
    slots[name] = of_class
    return Slot(name, form)


def _read_agreement(
    book: Phrasebook, number: int, content: str, slots: dict[str, str]
) -> Agreement:
    """Read the content of `[like|likes]` or `[are|is:fruit]`."""
    choices, _, subject = content.partition(":")
    options = []
    for option in choices.split("|"):
        pieces = _read_template(book, number, option, slots)
        options.append(tuple(piece for piece in pieces if not isinstance(piece, Agreement)))
    if len(options) not in (2, 3):
        raise fault(number, f"{len(options)} options in [{content}]", "give two or three")
    return Agreement(tuple(options), subject)


def _with_subject(
    book: Phrasebook, number: int, choice: Agreement, slots: dict[str, str]
) -> Agreement:
    """Set the slot that a choice agrees with: the one it names, or the first that has `agree`."""
    able = [slot for slot, of_class in slots.items() if "agree" in book.columns[of_class]]
    subject = choice.subject or next(iter(able), "")
    if subject not in able:
        wrong = f"nothing for {subject!r} to agree with" if subject else "a choice, no subject"
        raise fault(number, wrong, "its slot needs a class that has an `agree` column")
    return choice._replace(subject=subject)
