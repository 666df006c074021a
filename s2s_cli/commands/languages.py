"""The languages of a text, by options, recipe or file names, and whether its script fits them."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

    from s2s_cli.checks.languages import NamedSide
    from s2s_cli.checks.scripts import ScriptMisfit
    from s2s_cli.config import Data
    from s2s_cli.data.pairs import PairSource

SIDES = ("src", "tgt")
WORDS = {"src": "source", "tgt": "target"}

NUM_SAMPLED_PAIRS = 500
"""Pairs at the start of each source whose script is checked."""


def resolve_languages(
    data: "Data", named_by: str | None, explicit: Collection[str]
) -> list[tuple[str, object]]:
    """Take languages that nobody named from the file names; reports which are assumed.

    Args:
        data: the settings, options included.
        named_by: the name of the recipe if the user names one; then its languages count.
        explicit: the sides, `src` and `tgt`, whose language an option names.

    Returns:
        Overrides for the recipe.
    """
    from s2s_cli.sources import EmbeddedPhrasebook, sources_of

    sides = [one for one in _name_sides(data) if one.side not in explicit]
    if all(isinstance(source, EmbeddedPhrasebook) for source in sources_of(data.train)):
        known, named_by = set(SIDES), "the phrasebook"
    elif data.directions:
        known = set(SIDES)
    else:
        known = {side for side in SIDES if named_by and f"{side}_lang" in data.model_fields_set}
    _warn_of_contradictions([one for one in sides if one.side in known], data, named_by)
    open_sides = [side for side in SIDES if side not in known and side not in explicit]
    found = {
        side: next((one for one in sides if one.side == side and one.found), None)
        for side in open_sides
    }
    _report_languages(data, found)
    for one in sides:
        chosen = found.get(one.side)
        if chosen is not None and (other := one._replace(lang=str(chosen.found))).is_contradictory:
            _warn_of_contradictions([other], data, chosen.name)
    return [(f"data.{side}_lang", one.found) for side, one in found.items() if one is not None]


def warn_of_test_names(data: "Data", model: str) -> None:
    """Warn if the names of test files give other languages than the model's.

    Args:
        data: the test set, with the languages of the model.
        model: the name of the model.
    """
    sides = _name_sides(data, ("test",))
    _warn_of_contradictions(sides, data, model, "check whether source and target are swapped")


def find_contradictions(data: "Data") -> "list[NamedSide]":
    """Find the sides whose file names give another language than the recipe."""
    return [side for side in _name_sides(data) if side.is_contradictory]


def _name_sides(
    data: "Data", splits: Collection[str] = ("train", "valid", "test")
) -> "list[NamedSide]":
    """The sides of all sources of some splits, with the languages that their names give."""
    from s2s_cli.checks.languages import find_named_sides
    from s2s_cli.data.directions import expand_directions
    from s2s_cli.sources import sources_of

    named_splits = {"train": data.train, "valid": data.valid, "test": data.test}
    return [
        side
        for name, split in named_splits.items()
        if name in splits and split is not None and not isinstance(split, float)
        for source in sources_of(split)
        for directed in expand_directions(source, data, name)
        for side in find_named_sides(*directed)
    ]


def _warn_of_contradictions(
    sides: "list[NamedSide]", data: "Data", named_by: str | None, remedy: str | None = None
) -> None:
    from s2s_cli.console import warn

    remedy = remedy or (
        "check the files and data.directions"
        if data.directions
        else "check the file, or name the languages with --src-lang and --tgt-lang"
    )
    warned = set()
    for one in sides:
        if one.is_contradictory and (one.side, one.found) not in warned:
            warned.add((one.side, one.found))
            warn(
                f"{one.name}: its name says {one.found}, but the {WORDS[one.side]} language of "
                f"{named_by or 'data.directions'} is {one.lang}; {remedy}"
            )


def _report_languages(data: "Data", found: "dict[str, NamedSide | None]") -> None:
    """Report the languages that neither an option nor the recipe names."""
    from s2s_cli.console import say, warn

    taken = [
        f"{WORDS[side]} {one.found} ({one.name})" for side, one in found.items() if one is not None
    ]
    assumed = [side for side, one in found.items() if one is None]
    if not found:
        return
    if not assumed:
        say(f"languages, by the names of the files: {', '.join(taken)}")
        return
    langs = {"src": data.src_lang, "tgt": data.tgt_lang}
    guesses = ", ".join(f"{WORDS[side]} {langs[side]}" for side in assumed)
    options = " and ".join(f"--{side}-lang" for side in assumed)
    tail = f"; by the names of the files: {', '.join(taken)}" if taken else ""
    warn(
        f"languages assumed: {guesses}, because no option, recipe or file name gives them; name "
        f"them with "
        f"{options}{tail}"
    )


def language_of_files(paths: "Collection[Path]") -> str | None:
    """The language of the first file name that gives one."""
    from s2s_cli.checks.languages import language_of_name

    return next(filter(None, (language_of_name(path.name) for path in paths)), None)


def check_scripts(data: "Data", explicit: Collection[str]) -> None:
    """Refuse text that is not in the script of its language; warn if an option names the language.

    Args:
        data: where the text is.
        explicit: the sides, `src` and `tgt`, whose language an option names.

    Raises:
        DataError: naming the side and the script found.
    """
    from s2s_cli.console import warn

    reported: set[tuple[str, str]] = set()
    for source in _open_sources(data):
        misfits = [one for one in _find_misfits(source) if (one.side, one.found) not in reported]
        if not misfits:
            continue
        reported.update((one.side, one.found) for one in misfits)
        message = _describe(source, misfits)
        sides = {one.side for one in misfits}
        if not sides <= {*explicit}:
            where = "data.directions" if data.directions else None
            options = where or " and ".join(f"--{side}-lang" for side in SIDES if side in sides)
            raise DataError(f"{message}, or name the right languages with {options}")
        warn(f"{message}; it is used because options name the languages")


def _open_sources(data: "Data") -> "Iterator[PairSource]":
    """Open the sources of all splits; those that fail are reported when they are read."""
    from s2s_cli.data.splits import open_sources

    for name, split in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        if split is not None and not isinstance(split, float):
            with suppress(ConfigError, DataError):
                yield from open_sources(split, data, name)


def _find_misfits(source: "PairSource") -> "list[ScriptMisfit]":
    """Find the sides of a source whose script, in a sample, does not fit their language."""
    from s2s_cli.checks.scripts import count_letters_by_line, find_script_misfits

    rows = []
    with suppress(DataError):  # reported when the whole text is read
        for row in islice(source.read(), NUM_SAMPLED_PAIRS):
            rows.append(row)
    src, tgt = (count_letters_by_line(row[side] for row in rows) for side in (0, 1))
    return find_script_misfits(source.direction, src, tgt)


def _describe(source: "PairSource", misfits: "list[ScriptMisfit]") -> str:
    """Describe what is wrong with a source, and what to do."""
    names = _name_files(source)
    first = misfits[0]
    if first.is_swapped:
        both = ", and ".join(
            f"the {WORDS[one.side]} language is {one.lang}, but {names[one.side]} is in "
            f"{one.found} script"
            for one in misfits
        )
        return f"data.{source.key}: {both}; are the sides swapped? Exchange them"
    both = ", ".join(
        f"{one.share:.0%} of {one.num_lines} {WORDS[one.side]} lines sampled from "
        f"{names[one.side]} are in {one.found} script, not in {one.expected} as {one.lang} is"
        for one in misfits
    )
    from s2s_cli.data.splits import PHRASEBOOK

    if PHRASEBOOK in source.files[0].parents:
        return f"data.{source.key}: {both}; name your own text with --train-src and --train-tgt"
    return f"data.{source.key}: {both}; check the file"


def _name_files(source: "PairSource") -> dict[str, str]:
    paths = source.files[:2] if len(source.files) > 1 else source.files[:1] * 2
    return dict(zip(SIDES, map(str, paths), strict=True))
