"""Which source of a recipe is of which direction: `{src}` and `{tgt}` in names, or `direction`."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.errors import ConfigError
from s2s_cli.sources import Direction, EmbeddedPhrasebook, Source, TableFile, targets_of

PLACEHOLDERS = ("{src}", "{tgt}")


class DirectedSource(NamedTuple):
    """A source whose names are those of files, and its languages."""

    source: Source
    direction: Direction


def direct_source(source: Source, data: Data, key: str) -> list[DirectedSource]:
    """The source once for each direction that it is of.

    Args:
        source: as the recipe has it.
        data: the recipe's directions.
        key: the source's place in the section `data`.

    Raises:
        ConfigError: the source tells no direction, or one that the recipe does not have.
    """
    known = {str(direction): direction for direction in data.all_directions}
    if source.direction is not None:
        if source.direction not in known:
            raise ConfigError(
                f"data.{key}.direction: {source.direction} is none of the recipe's directions "
                f"({', '.join(known)}); name one of them, or add it to data.directions"
            )
        return [_fill_in(source, known[source.direction])]
    if len(known) > 1:
        missing = [
            mark for mark in PLACEHOLDERS if not any(mark in name for name in _names(source))
        ]
        if missing:
            raise ConfigError(
                f"data.{key}: does not tell which of the directions {', '.join(known)} it is of; "
                f"add `direction: {next(iter(known))}`, or write {{src}} and {{tgt}} for the "
                f"languages in its names ({' and '.join(missing)} missing)"
            )
    return [_fill_in(source, direction) for direction in known.values()]


def check_all_trained(data: Data, trained_directions: Iterable[Direction]) -> None:
    """Refuse directions that no training pair is of.

    Raises:
        ConfigError: naming them.
    """
    trained = {*map(str, trained_directions)}
    missing = [name for name in map(str, data.all_directions) if name not in trained]
    if missing:
        raise ConfigError(
            f"data.train: has no pairs of {', '.join(missing)}; every direction of "
            "data.directions needs some: add a source, or take the direction out"
        )


def is_turned_round(directed: DirectedSource, key: str) -> bool:
    """Whether a part of the phrasebook is to be read from English to Chinese.

    Raises:
        ConfigError: its `direction` is of other languages.
    """
    named = directed.source.direction
    if named not in (None, "zh-en", "en-zh"):
        raise ConfigError(
            f"data.{key}.direction: the phrasebook is Chinese and English, not {named}; name "
            "zh-en or en-zh"
        )
    return named == "en-zh"


def _names(source: Source) -> Iterator[str]:
    """Names of files and columns, in which placeholders may stand."""
    if not isinstance(source, EmbeddedPhrasebook):
        if isinstance(source, TableFile):
            yield source.file
        yield from (str(name) for name in (source.src, *targets_of(source)))


def _fill_in(source: Source, direction: Direction) -> DirectedSource:
    """The languages in place of the placeholders."""

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
