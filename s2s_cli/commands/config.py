"""`s2s config`: the shipped recipes, the settings of a run, and what every key means."""

import itertools
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.usage import Command
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.config import Config

app = typer.Typer(no_args_is_help=True, help="Show recipes and keys, and start a recipe.")


@app.command("list", cls=Command)
def list_recipes() -> None:
    """List the shipped recipes with what they are for."""
    from s2s_cli.console import write_result
    from s2s_cli.recipe import read_recipe_text, shipped_recipes

    names = shipped_recipes()
    width = max(map(len, names))
    for name in names:
        summary = _summarise(read_recipe_text(name))
        indent = " " * (width + 2)
        lines = textwrap.wrap(summary, 80, initial_indent=indent, subsequent_indent=indent)
        write_result(name + "\n".join(lines).removeprefix(" " * len(name)))


def _summarise(text: str) -> str:
    """The first sentence of the comment that a recipe begins with."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.split("\n"))
    words = " ".join(line.lstrip("# ") for line in comment)
    return re.split(r"(?<=[.?])\s(?=[A-Z]|s2s )", words, maxsplit=1)[0]


@app.command("show", cls=Command)
def show(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Print all settings as YAML; a comment says which are not defaults, and where they come from.

    Without options, those of the recipe quickstart.
    """
    from s2s_cli.console import write_stdout
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe, parse_override
    from s2s_cli.run import RunFolder

    if run is not None and config is not None:
        raise ConfigError("--config: has no effect with --run; remove it")
    recipe = config or DEFAULT_RECIPE
    if run is not None:
        recipe = str(RunFolder(run).config_path)
        if not Path(recipe).is_file():
            raise ConfigError(f"--run {run}: has no config.yaml; name a run folder of `s2s train`")
    overrides = [parse_override(text) for text in sets or ()]
    base, final = load_recipe(recipe).config, load_recipe(recipe, overrides).config
    write_stdout(_format_settings(base, final, recipe if run is None else "run"))


def _format_settings(base: "Config", final: "Config", recipe: str) -> str:
    """Format settings as YAML with the origin of each value that is not a default.

    Args:
        base: the settings of the recipe.
        final: the same with overrides.
        recipe: what the comments call it.
    """
    import yaml

    from s2s_cli.config import Config

    default = Config().model_dump(mode="json")
    in_recipe, used = base.model_dump(mode="json"), final.model_dump(mode="json")
    lines = []
    for section, keys in used.items():
        lines.append(f"{section}:")
        for key, value in keys.items():
            origin = ""
            if value != in_recipe[section][key]:
                origin = "--set"
            elif value != default[section][key]:
                origin = recipe
            text = yaml.safe_dump(
                value, default_flow_style=True, allow_unicode=True, width=float("inf")
            )
            # After a plain value, YAML ends the document by a line of three dots.
            shown = text.removesuffix("...\n").rstrip("\n")
            lines.append(f"  {key}: {shown}" + (f"  # {origin}" if origin else ""))
    return "\n".join(lines) + "\n"


def _complete_names(incomplete: str) -> list[str]:
    """Sections and keys that begin like this."""
    return [name for name in opt.list_keys() if name.startswith(incomplete)]


@app.command("keys", cls=Command)
def keys(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SECTION[.KEY]]",
            help="A section, such as model, or a key, such as model.cell (default: all).",
            autocompletion=_complete_names,
        ),
    ] = None,
) -> None:
    """Print what keys mean, which values they take, and their defaults."""
    from s2s_cli.config import Config
    from s2s_cli.config_errors import suggest
    from s2s_cli.console import write_stdout

    schema = Config.model_json_schema()
    found = []
    for section in Config.model_fields:
        properties = schema["$defs"][schema["properties"][section]["$ref"].rpartition("/")[2]]
        for key, entry in properties["properties"].items():
            dotted = f"{section}.{key}"
            if name in (None, section, dotted):
                found.append(_format_key(dotted, entry))
    if not found:
        raise ConfigError(f"{name}: no such section or key{suggest(str(name), opt.list_keys())}")
    write_stdout("\n".join(found))


def _format_key(dotted: str, entry: Mapping[str, object]) -> str:
    """A key with its default, the values it takes, and its documentation."""
    import json

    text = " ".join(str(entry.get("description", "")).split())
    default = json.dumps(entry.get("default"), ensure_ascii=False)
    values = _describe_values(entry)
    return f"{dotted}  (default: {default})\n" + (f"  {values}\n" if values else "") + f"  {text}\n"


def _describe_values(entry: Mapping[str, Any]) -> str:
    """The values that a key takes, in words; empty if its documentation has to say."""
    match entry:
        case {"enum": [*names]}:
            return " | ".join(map(str, names))
        case {"anyOf": [*kinds]}:
            described = [_describe_values(kind) for kind in kinds]
            return " | ".join(described) if all(described) else ""
        case {"type": "integer" | "number" as kind}:
            bounds = [
                f"{word} {entry[key]:g}"
                for key, word in (
                    *(("minimum", "at least"), ("exclusiveMinimum", "above")),
                    *(("maximum", "at most"), ("exclusiveMaximum", "below")),
                )
                if key in entry
            ]
            return " ".join([str(kind), " and ".join(bounds)]).strip()
        case {"type": "boolean"}:
            return "true | false"
        case {"type": "string" | "null" as kind}:
            return "null" if kind == "null" else "text"
    return ""


@app.command("new", cls=Command)
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recipe to write, a new file.")],
    config: opt.ConfigOption = None,
) -> None:
    """Write a copy of a shipped recipe to edit, with a comment on each key."""
    from s2s_cli.console import say, write_result
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe, read_recipe_text
    from s2s_cli.storage.atomic import write_file

    if file.exists():
        raise ConfigError(f"{file}: exists already; name a new file")
    if file.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{file}: does not end in .yaml; name it {file.with_suffix('.yaml')}")
    name = config or DEFAULT_RECIPE
    load_recipe(name)  # Only what can be read is copied.
    write_file(file, read_recipe_text(name).encode())
    say(f"a copy of {name}; train with `s2s train -c {file}`")
    write_result(str(file))
