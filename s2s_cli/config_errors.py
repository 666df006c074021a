"""Explain in plain words what pydantic finds wrong with a configuration."""

import difflib
from typing import NamedTuple, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from s2s_cli.config import Config
from s2s_cli.sources import EmbeddedPhrasebook, ParallelFiles, TableFile
from s2s_cli.text.language import suggest_code

LANGUAGE_KEYS = {"src_lang", "tgt_lang", "direction", "directions"}
SOURCE_KINDS = {kind.__name__: kind for kind in (ParallelFiles, TableFile, EmbeddedPhrasebook)}
PRIORITIES = {"extra_forbidden": 0, "missing": 2}
"""Of problems equally deep; all others have 1. An unknown key explains most."""


class ProblemLocation(NamedTuple):
    """Where in a recipe a problem is."""

    keys: list[str]
    section: type[BaseModel]
    """The section, or the kind of source, that has the last key or should have it."""
    field: FieldInfo | None
    """The last key that is known."""


def explain(error: ValidationError) -> str:
    """Describe the cause of a validation error, with the documentation of the key."""
    # The deepest problem is the cause of the others.
    problem = min(
        error.errors(include_url=False),
        key=lambda p: (-len(_locate(p).keys), PRIORITIES.get(p["type"], 1)),
    )
    place = _locate(problem)
    dotted = ".".join(place.keys)
    if problem["type"] == "extra_forbidden":
        return f"{dotted}: {_describe_unknown(place)}"
    message = _describe(problem, place)
    if not place.keys:
        return message  # about several sections; it names their keys
    given = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    purpose = ""
    if place.field and not _is_section(place.field):
        purpose = f"; {' '.join(str(place.field.description).split())}"
    return f"{dotted}: {message[0].lower()}{message[1:]}{given}{purpose}"


def _describe(problem: ErrorDetails, place: ProblemLocation) -> str:
    """What is wrong with a value."""
    match problem["type"]:
        case "string_pattern_mismatch":
            code = suggest_code(str(problem["input"])) if {*place.keys} & LANGUAGE_KEYS else None
            if code:
                return f"languages are named by their codes; did you mean {code}?"
            return "does not have the expected form"
        case "model_type" | "model_attributes_type":
            return _describe_not_a_mapping(place, problem["input"])
        case "too_short":
            return "should have at least one entry"
        case _:
            return str(problem["msg"]).removeprefix("Value error, ")


def _locate(problem: ErrorDetails) -> ProblemLocation:
    """Follow the location of a problem, which also names the members of unions."""
    section: type[BaseModel] = Config
    field: FieldInfo | None = None
    keys: list[str] = []
    end = len(problem["loc"]) - 1
    for index, part in enumerate(problem["loc"]):
        if isinstance(part, int):
            keys.append(str(part))
        elif part in section.model_fields:
            keys.append(part)
            field = section.model_fields[part]
            if _is_section(field):
                section = cast("type[BaseModel]", field.annotation)
        elif part in SOURCE_KINDS:
            section = SOURCE_KINDS[part]
        elif index == end and problem["type"] == "extra_forbidden":
            keys.append(part)
    return ProblemLocation(keys, section, field)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _describe_not_a_mapping(place: ProblemLocation, given: object) -> str:
    """What should take the place of a value that is not a mapping."""
    if place.section not in SOURCE_KINDS.values():
        return "should be a mapping of keys to values"
    source = "should be a mapping of keys to values, such as `{src: FILE, tgt: FILE}`"
    if place.keys[-1] not in ("valid", "test"):
        return source
    if isinstance(given, str) and _is_number(given):
        return f"a share of the training pairs is a number; write {given} without quotes"
    return f"{source}, or a share of the training pairs, such as 0.05"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _describe_unknown(place: ProblemLocation) -> str:
    """Why a key is not allowed where it is, and which one is probably meant."""
    key, known = place.keys[-1], list(place.section.model_fields)
    if place.section is ParallelFiles and key in TableFile.model_fields:
        return "belongs to a table, which also names its `file`"
    if place.section is EmbeddedPhrasebook and key in TableFile.model_fields:
        return "belongs to files and cannot be combined with `phrasebook`; keep one of the two"
    if place.section in (ParallelFiles, EmbeddedPhrasebook):
        # A source without `file` and `phrasebook` counts as ParallelFiles, and files that an
        # option names replace the phrasebook. So another kind may be meant.
        known += [name for name in ("src", "tgt", "file", "phrasebook") if name not in known]
    section, _, last = key.rpartition(".")
    if section in Config.model_fields and section in sections_with(last):
        return f"no such key; write it as a mapping, {section}: {{{last}: ...}}"
    if sections := sections_with(key):
        meant = " or ".join(f"{section}.{key}" for section in sections)
        return f"no such key here; did you mean {meant}?"
    return f"no such key{suggest(key, known)}; known keys are {', '.join(known)}"


def sections_with(key: str) -> list[str]:
    """List the sections that have a key of this name."""
    return [
        name
        for name, field in Config.model_fields.items()
        if _is_section(field) and key in cast("type[BaseModel]", field.annotation).model_fields
    ]


def suggest(word: str, known: list[str]) -> str:
    """Ask whether a similar word is meant, if there is one."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
