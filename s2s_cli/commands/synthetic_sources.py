"""The lines of a recipe that train on real text and on a table of synthetic pairs."""

from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.sources import (
    EmbeddedPhrasebook,
    ParallelFiles,
    Source,
    TableFile,
    sources_of,
    targets_of,
)

if TYPE_CHECKING:
    from s2s_cli.config import Data
    from s2s_cli.data.synthetic import SyntheticCard
    from s2s_cli.run import RunFolder


def show_sources(table: Path, card: "SyntheticCard", run: "RunFolder | None") -> None:
    """Show the lines of `data.train` that use the real text of a run and a synthetic table.

    Args:
        table: the table.
        card: what it is made of.
        run: the run of the model that translated, if it is known.
    """
    from s2s_cli.console import say, warn
    from s2s_cli.recipe import load_recipe

    has_recipe = run is not None and run.config_path.is_file()
    data = load_recipe(str(run.config_path)).config.data if run and has_recipe else None
    say("data.train for the real text and this table:")
    for line in format_sources(table, card, data):
        say(line)
    if data is None:
        return
    held_out = [name for name in ("valid", "test") if isinstance(getattr(data, name), float)]
    for name in held_out:
        warn(
            f"data.{name}: is a share of data.train, and would hold out synthetic pairs as well; "
            f"name files for data.{name}"
        )


def format_sources(table: Path, card: "SyntheticCard", data: "Data | None") -> list[str]:
    """Format the lines of `data.train`.

    Files have absolute names, because the lines may be used in a recipe in any folder.

    Args:
        table: the table.
        card: what it is made of.
        data: of the recipe of the model that translated. After back-translation with a model of one
            direction, the sides of its text are exchanged.
    """
    has_directions = data is not None and len(data.all_directions) > 1
    lines = ["  train:"]
    if data is None:
        lines.append("    - {src: FILE, tgt: FILE}  # the real text")
    else:
        is_swapped = card.synthetic_side == "src" and not has_directions
        folder = Path(data.folder)
        for source in _name_languages(data):
            located = _locate(source, folder)
            lines.append(f"    - {_to_yaml(_swap(located) if is_swapped else located)}")
    direction = card.direction if has_directions else None
    synthetic = TableFile(file=str(table.absolute()), src=1, tgt=2, direction=direction)
    tail = "  # weight: how often an epoch uses a pair; a fraction samples"
    lines.append(f"    - {_to_yaml(synthetic, weight=1)}{tail}")
    return lines


def _name_languages(data: "Data") -> list[Source]:
    """The sources of train; with one direction, languages replace placeholders in their names."""
    from s2s_cli.data.directions import expand_directions

    sources = sources_of(data.train)
    if len(data.all_directions) > 1:
        return [*sources]
    return [one.source for source in sources for one in expand_directions(source, data, "train")]


def _locate(source: Source, folder: Path) -> Source:
    """The same source with absolute file names."""
    match source:
        case ParallelFiles():
            src, tgt = source.src, str(targets_of(source)[0])
            files = {"src": str((folder / src).absolute()), "tgt": str((folder / tgt).absolute())}
            return source.model_copy(update=files)
        case TableFile():
            return source.model_copy(update={"file": str((folder / source.file).absolute())})
        case EmbeddedPhrasebook():
            return source


def _swap(source: Source) -> Source:
    """The same pairs in the other direction."""
    if isinstance(source, EmbeddedPhrasebook):
        # Its columns are Chinese and English.
        direction = None if source.direction == "en-zh" else "en-zh"
        return source.model_copy(update={"direction": direction})
    update: dict[str, object] = {"src": targets_of(source)[0], "tgt": source.src}
    if source.direction is not None:
        update["direction"] = "-".join(source.direction.split("-")[::-1])
    return source.model_copy(update=update)


def _to_yaml(source: Source, **more: object) -> str:
    """Format a source as YAML on one line, without defaults."""
    import yaml

    tree = source.model_dump(mode="json", exclude_defaults=True) | more
    return yaml.safe_dump(
        tree, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    ).strip()
