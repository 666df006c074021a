"""Recipes: a YAML file and overrides become a checked `Config`."""

import re
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from s2s_cli.config import Config, Data
from s2s_cli.config_errors import explain, sections_with, suggest
from s2s_cli.errors import ConfigError
from s2s_cli.sources import EmbeddedPhrasebook, OptionalSplit, sources_of

DEFAULT_RECIPE = "quickstart"


class Recipe(NamedTuple):
    """A checked configuration and the name of its run folder."""

    name: str
    config: Config
    assumed: tuple[str, ...] = ()
    """Assumptions about what the recipe leaves open, in words."""


def recipes_folder() -> Path:
    """The folder of the shipped recipes: in an installed package, or next to it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_recipes() -> list[str]:
    """List the names of the recipes that come with the package."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def read_recipe_text(name_or_file: str) -> str:
    """Read the text of a recipe, comments included.

    Raises:
        ConfigError: there is no such recipe, or it is not UTF-8.
    """
    return _read_text(_find_recipe(name_or_file))


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
    tree = load_yaml(_read_text(path), where=str(path)) or {}
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
    overridden = {key.split(".")[1] for key, _ in overrides if key.startswith("data.")}
    if assumed := _assume_splits(config.data, overridden):
        for key, (value, _) in assumed.items():
            _apply_override(tree, f"data.{key}", value)
        config = check_config(tree, where=str(path))
    if config.decoding.dictionary is not None:
        # A model folder is self-contained: its settings name no file outside it.
        raise ConfigError(
            f"{'options' if overrides else path}: decoding.dictionary: cannot be set in a recipe; "
            "remove it, and give `s2s translate` or `s2s eval` --dictionary FILE"
        )
    return Recipe(path.stem, config, tuple(note for _, note in assumed.values() if note))


HELD_OUT_SHARE = 0.05
"""Share of the training pairs for validation, where no validation set is named."""


def _assume_splits(data: Data, overridden: set[str]) -> dict[str, tuple[float | None, str]]:
    """Choose validation and test sets for a user's own training text that comes without them.

    The phrasebook validates and tests only models that are trained on it, so it does not count
    where the recipe trains on the phrasebook and an override names other training text.

    Args:
        data: the recipe's section, overrides included.
        overridden: its keys that are overridden.

    Returns:
        For each split that is missing, its value and a note, which may be empty.
    """
    if _is_phrasebook(data.train):
        return {}
    assumed: dict[str, tuple[float | None, str]] = {}
    for split, value in (("valid", data.valid), ("test", data.test)):
        is_left_over = "train" in overridden and split not in overridden and _is_phrasebook(value)
        if split in data.model_fields_set and not is_left_over:
            continue
        assumed[split] = None, ""
        if split == "valid":
            note = f"no data.valid: {HELD_OUT_SHARE:.0%} of the training pairs are held out for it"
            assumed[split] = HELD_OUT_SHARE, note
    return assumed


def _is_phrasebook(split: OptionalSplit) -> bool:
    """Whether all sources of a split are the phrasebook."""
    if split is None or isinstance(split, float):
        return False
    return all(isinstance(source, EmbeddedPhrasebook) for source in sources_of(split))


def check_config(tree: object, where: str) -> Config:
    """Turn nested mappings into a `Config`.

    Raises:
        ConfigError: a key is unknown, or a value is of the wrong type or out of range.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error)}") from error


def dump_yaml(config: Config) -> str:
    """The whole configuration as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


_PIPED: dict[Path, str] = {}
"""Recipes that were read from a pipe, which can be read only once."""


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
        f"{name_or_file}: no such recipe or file{suggest(name_or_file, names)}; "
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
        meant = " or ".join(f"{section}.{text}" for section in sections_with(dotted.strip()))
        hint = f"; did you mean {meant}?" if meant and equals else ""
        raise ConfigError(f"--set {text}: not of the form section.key=value{hint}")
    return dotted.strip(), load_yaml(value, where=f"--set {text}")


def _apply_override(tree: dict[str, Any], dotted: str, value: object) -> None:
    """Set one key of a tree; a number in `dotted` counts the sources of a split from 0.

    Raises:
        ConfigError: the key leads through a list, but names none of its entries.
    """
    place: Any = tree
    keys = dotted.split(".")
    for depth, key in enumerate(keys):
        is_last = depth == len(keys) - 1
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                known = ", ".join(f"{'.'.join(keys[:depth])}.{n}" for n in range(len(place)))
                raise ConfigError(
                    f"options: {dotted}: names no entry of a list; its entries are {known}"
                )
            index: Any = int(key)
        else:
            index = key
            if is_last:
                _drop_other_kind(place, key)
        if is_last:
            place[index] = deepcopy(value)  # later overrides must not change the caller's
        else:
            child = place.get(index) if isinstance(place, dict) else place[index]
            if not isinstance(child, dict | list):
                place[index] = {}
            place = place[index]


def _drop_other_kind(source: dict[str, Any], key: str) -> None:
    """Let files replace the phrasebook in a split, and the phrasebook replace files."""
    if key in ("file", "src", "tgt"):
        source.pop("phrasebook", None)
    elif key == "phrasebook":
        source.clear()


def load_yaml(text: str, where: str) -> object:
    """Parse YAML safely, by the 1.2 core schema: `no` is a string and `1e-3` a number.

    Raises:
        ConfigError: the text is not YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, Loader=_CoreSchemaLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        message = " ".join(str(error).split())
        raise ConfigError(f"{where}: not valid YAML: {message}") from error


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar types of YAML 1.2 and no duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key '{key}' is given twice; keep one")
        return super().construct_mapping(node, deep)


def _construct_int(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """YAML 1.2: `010` is ten, `0o10` and `0x8` are eight."""
    text = str(node.value)
    return int(text, 0) if text.startswith("0") and text[1:2] in ("o", "x") else int(text)


_CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
for _tag, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
):
    _CoreSchemaLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
    )
