"""Recipes: a YAML file, plus overrides, becomes a checked `Config`."""

import difflib
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from s2s_cli.config import Config, Data
from s2s_cli.core_yaml import load_yaml
from s2s_cli.errors import ConfigError
from s2s_cli.sources import EmbeddedPhrasebook, OptionalSplit, ParallelFiles, TableFile, sources_of
from s2s_cli.text.language import suggest_code

DEFAULT_RECIPE = "quickstart"


class Recipe(NamedTuple):
    """A checked configuration and the name its run folder gets."""

    name: str
    config: Config
    assumed: tuple[str, ...] = ()
    """What was assumed because the recipe does not say it, in words."""


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_recipes() -> list[str]:
    """Names of the recipes that travel with the package."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def load_recipe(
    name_or_file: str = DEFAULT_RECIPE, overrides: Iterable[tuple[str, object]] = ()
) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path, and override some of its keys.

    Args:
        name_or_file: `quickstart`, or a YAML file; its stem names the run folder.
        overrides: pairs of a dotted key, such as `training.seed`, and its value, in order.

    Raises:
        ConfigError: there is no such recipe, it is not YAML, or a key or value is wrong.
    """
    path = _find_recipe(name_or_file)
    text = _read_text(path)
    tree = load_yaml(text, where=str(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: not a mapping; a recipe has sections such as `model:`")
    # An empty section means its defaults.
    tree = {key: {} if section is None else section for key, section in tree.items()}
    config = check_config(tree, where=str(path))
    overrides = list(overrides)
    if overrides:
        for dotted, value in overrides:
            _apply_override(tree, dotted, value)
        config = check_config(tree, where="options")
    replaced = {key.split(".")[1] for key, _ in overrides if key.startswith("data.")}
    if assumed := _find_missing_splits(config.data, replaced):
        for key, (value, _) in assumed.items():
            _apply_override(tree, f"data.{key}", value)
        config = check_config(tree, where=str(path))
    if config.decoding.dictionary is not None:
        # A model folder is self-contained: its settings name no file beside it.
        raise ConfigError(
            f"{'options' if overrides else path}: decoding.dictionary: belongs to a call, not to a "
            "recipe; leave it out, and give `s2s translate` or `s2s eval` --dictionary FILE"
        )
    return Recipe(path.stem, config, tuple(note for _, note in assumed.values() if note))


HELD_OUT_SHARE = 0.05
"""Of the training pairs, where no validation set is named."""


def _find_missing_splits(data: Data, replaced: set[str]) -> dict[str, tuple[float | None, str]]:
    """What stands in for splits that text of one's own does not come with, and a note.

    Nobody asked for them, or a recipe did that trains on the phrasebook: that validates and tests
    the phrasebook only.

    Args:
        data: the recipe's section, overrides included.
        replaced: its keys that are overridden.
    """
    if _is_phrasebook(data.train):
        return {}
    found: dict[str, tuple[float | None, str]] = {}
    for split, value in (("valid", data.valid), ("test", data.test)):
        is_left = "train" in replaced and split not in replaced and _is_phrasebook(value)
        if split in data.model_fields_set and not is_left:
            continue
        found[split] = None, ""
        if split == "valid":
            note = f"no data.valid: {HELD_OUT_SHARE:.0%} of the training pairs are held out for it"
            found[split] = HELD_OUT_SHARE, note
    return found


def _is_phrasebook(split: OptionalSplit) -> bool:
    """Whether a split is made of nothing else."""
    if split is None or isinstance(split, float):
        return False
    return all(isinstance(source, EmbeddedPhrasebook) for source in sources_of(split))


def check_config(tree: object, where: str) -> Config:
    """Turn nested mappings into a `Config`, or say which key is wrong and what it may be.

    Raises:
        ConfigError: a key is unknown or a value is of the wrong type or out of range.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}") from error


def dump_yaml(config: Config) -> str:
    """The whole configuration as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


_PIPED: dict[Path, str] = {}
"""Recipes that came through a pipe, which gives them once."""


def _read_text(path: Path) -> str:
    """The text of a recipe."""
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8-sig")
        if path not in _PIPED:
            _PIPED[path] = path.read_text(encoding="utf-8-sig")
        return _PIPED[path]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); a recipe is a UTF-8 file") from error


def _find_recipe(name_or_file: str) -> Path:
    path = Path("/dev/stdin" if name_or_file == "-" else name_or_file)
    if path.exists() and not path.is_dir():
        return path
    shipped = recipes_folder() / f"{name_or_file}.yaml"
    if path.name == name_or_file and shipped.is_file():
        return shipped
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a recipe in it")
    names = shipped_recipes()
    raise ConfigError(
        f"{name_or_file}: no such recipe or file{_suggest(name_or_file, names)}; "
        f"shipped recipes are {', '.join(names)}"
    )


def parse_override(text: str) -> tuple[str, object]:
    """Read the `section.key=value` of a `--set`; the value is YAML.

    Raises:
        ConfigError: the text is not of that form.
    """
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or len(keys) < 2 or not all(keys):
        meant = " or ".join(f"{section}.{text}" for section in _sections_with(dotted.strip()))
        hint = f"; did you mean {meant}?" if meant and equals else ""
        raise ConfigError(f"--set {text}: not of the form section.key=value{hint}")
    return dotted.strip(), load_yaml(value, where=f"--set {text}")


def _apply_override(tree: dict[str, Any], dotted: str, value: object) -> None:
    """Set one key of a tree; a number in `dotted` counts the sources of a split from 0.

    Raises:
        ConfigError: the key passes through a list, but names none of its entries.
    """
    place: Any = tree
    keys = dotted.split(".")
    for depth, key in enumerate(keys):
        is_last = depth == len(keys) - 1
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                known = ", ".join(f"{'.'.join(keys[:depth])}.{n}" for n in range(len(place)))
                raise ConfigError(f"options: {dotted}: passes a list; its entries are {known}")
            index: Any = int(key)
        else:
            index = key
            if is_last:
                _make_way(place, key)
        if is_last:
            place[index] = deepcopy(value)  # later overrides must not change the caller's
        else:
            known_place = place.get(index) if isinstance(place, dict) else place[index]
            if not isinstance(known_place, dict | list):
                place[index] = {}
            place = place[index]


def _make_way(source: dict[str, Any], key: str) -> None:
    """Files take the phrasebook's place in a split, and it theirs."""
    if key in ("file", "src", "tgt"):
        source.pop("phrasebook", None)
    elif key == "phrasebook":
        source.clear()


class _ProblemPlace(NamedTuple):
    """Where in a recipe a problem is."""

    keys: list[str]
    section: type[BaseModel]
    """The section, or the kind of source, that has the last key or should have it."""
    field: FieldInfo | None
    """The last key that is known."""


def _explain(error: ValidationError) -> str:
    """The problem that pydantic found, in our words, with what the key is for."""
    # The deepest problem is the cause of the others, and of several an unknown key says most.
    problems = error.errors(include_url=False)
    order = {"extra_forbidden": 0, "missing": 2}
    problem = min(problems, key=lambda p: (-len(_locate(p).keys), order.get(p["type"], 1)))
    place = _locate(problem)
    dotted = ".".join(place.keys)
    if problem["type"] == "extra_forbidden":
        return f"{dotted}: {_describe_unknown(place)}"
    match problem["type"]:
        case "string_pattern_mismatch":
            message = "not of a form that it may have"
            if {*place.keys} & {"src_lang", "tgt_lang", "direction", "directions"} and (
                code := suggest_code(str(problem["input"]))
            ):
                message = f"languages go by their codes; did you mean {code}?"
        case "model_type" | "model_attributes_type":
            message = _describe_no_mapping(place, problem["input"])
        case "too_short":
            message = "should have at least one entry"
        case _:
            message = str(problem["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    if not place.keys:
        return message  # of sections that do not go together; it names their keys
    purpose = ""
    if place.field and not _is_section(place.field):
        purpose = f"; {' '.join(str(place.field.description).split())}"
    return f"{dotted}: {message[0].lower()}{message[1:]}{given}{purpose}"


_SOURCES = {kind.__name__: kind for kind in (ParallelFiles, TableFile, EmbeddedPhrasebook)}


def _locate(problem: ErrorDetails) -> _ProblemPlace:
    """The keys that lead to a problem, without the names of unions' members between them."""
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
        elif part in _SOURCES:
            section = _SOURCES[part]
        elif index == end and problem["type"] == "extra_forbidden":
            keys.append(part)
    return _ProblemPlace(keys, section, field)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _describe_no_mapping(place: _ProblemPlace, given: object) -> str:
    """What should stand where keys and values should."""
    if place.section not in _SOURCES.values():
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


def _describe_unknown(place: _ProblemPlace) -> str:
    """Why a key may not stand where it stands."""
    key, known = place.keys[-1], list(place.section.model_fields)
    if place.section is ParallelFiles and key in TableFile.model_fields:
        return "belongs to a table, which also names its `file`"
    if place.section is EmbeddedPhrasebook and key in TableFile.model_fields:
        return "belongs to files, and `phrasebook` stands beside it; keep one of the two"
    if place.section in (ParallelFiles, EmbeddedPhrasebook):
        # What names neither a file nor a phrasebook is taken for files; and files named by an
        # option take the phrasebook's place. So another kind may be meant.
        known += [name for name in ("src", "tgt", "file", "phrasebook") if name not in known]
    section, _, last = key.rpartition(".")
    if section in Config.model_fields and section in _sections_with(last):
        return f"no such key; write it as a mapping, {section}: {{{last}: ...}}"
    if sections := _sections_with(key):
        meant = " or ".join(f"{section}.{key}" for section in sections)
        return f"no such key here; did you mean {meant}?"
    return f"no such key{_suggest(key, known)}; known are {', '.join(known)}"


def _sections_with(key: str) -> list[str]:
    """The sections that have a key of this name."""
    return [
        name
        for name, field in Config.model_fields.items()
        if _is_section(field) and key in cast("type[BaseModel]", field.annotation).model_fields
    ]


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
