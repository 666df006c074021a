"""Which directions of translation the sources of a recipe have.

With one direction, every source has it. With several, a source either names its direction
(`direction: de-en`) or has `{src}` and `{tgt}` in the names of its files or columns. In the second
case it is expanded: there is one copy of it for each direction, with the languages filled in.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.errors import ConfigError
from s2s_cli.sources import Direction, EmbeddedPhrasebook, Source, TableFile, targets_of

PLACEHOLDERS = ("{src}", "{tgt}")


class DirectedSource(NamedTuple):
    """A source with its direction, and with file names in place of placeholders."""

    source: Source
    direction: Direction


def expand_directions(source: Source, data: Data, key: str) -> list[DirectedSource]:
    """Return the source with its direction, or a copy of it for each direction.

    Args:
        source: as the recipe has it.
        data: section `data` of the recipe, which lists the directions.
        key: the source's key in that section, such as `train.0`.

    Raises:
        ConfigError: the source names no direction, or one that the recipe does not have.
    """
    known = {str(direction): direction for direction in data.all_directions}
    if source.direction is not None:
        if source.direction not in known:
            raise ConfigError(
                f"data.{key}.direction: {source.direction} is not a direction of the recipe "
                f"({', '.join(known)}); name one of them, or add it to data.directions"
            )
        return [_fill_in(source, known[source.direction])]
    if len(known) > 1:
        names = list(_list_names(source))
        missing = [mark for mark in PLACEHOLDERS if not any(mark in name for name in names)]
        if missing:
            raise ConfigError(
                f"data.{key}: has no direction, but the recipe has several ({', '.join(known)}); "
                f"add `direction: {next(iter(known))}`, or write {{src}} and {{tgt}} for the "
                f"languages in its names ({' and '.join(missing)} missing)"
            )
    return [_fill_in(source, direction) for direction in known.values()]


def check_all_trained(data: Data, trained_directions: Iterable[Direction]) -> None:
    """Refuse directions without training pairs.

    Raises:
        ConfigError: a direction has none; the message names it.
    """
    trained = {*map(str, trained_directions)}
    missing = [name for name in map(str, data.all_directions) if name not in trained]
    if missing:
        raise ConfigError(
            f"data.train: has no pairs of {', '.join(missing)}; every direction of "
            "data.directions needs some: add a source, or remove the direction"
        )


def _list_names(source: Source) -> Iterator[str]:
    """Yield the names of files and columns, which may contain placeholders."""
    if not isinstance(source, EmbeddedPhrasebook):
        if isinstance(source, TableFile):
            yield source.file
        yield from (str(name) for name in (source.src, *targets_of(source)))


def _fill_in(source: Source, direction: Direction) -> DirectedSource:
    """Replace placeholders by the languages of a direction."""

    def fill(name: str | int) -> str | int:
        if isinstance(name, int):
            return name
        return name.replace("{src}", direction.src).replace("{tgt}", direction.tgt)

    if isinstance(source, EmbeddedPhrasebook):
        return DirectedSource(source, direction)
    targets = tuple(fill(target) for target in targets_of(source))
    update: dict[str, object] = {
        "src": fill(source.src),
        "tgt": targets if isinstance(source.tgt, tuple) else targets[0],
    }
    if isinstance(source, TableFile):
        update["file"] = fill(source.file)
    return DirectedSource(source.model_copy(update=update), direction)
