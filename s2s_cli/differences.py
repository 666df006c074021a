"""Compare saved settings with present ones."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import BaseModel

LONGEST_VALUES = 80
"""Characters of an old and a new value that are still shown."""


class Change(NamedTuple):
    """A setting that differs."""

    key: str
    """Dotted, such as `model.encoder.hidden_size`."""
    old: object
    new: object


def diff(
    old: BaseModel | Mapping[str, object],
    new: BaseModel | Mapping[str, object],
    may_differ: Collection[str] = (),
) -> list[Change]:
    """List the settings that differ, in the order of `old`.

    Args:
        old: pydantic models or mappings, nested as deep as they are; their keys are joined by dots.
        new: settings of the same kind; a setting that one side lacks counts as None.
        may_differ: keys that are not compared; the key of a group stands for all keys in it.
    """
    old_values, new_values = dict(_flatten(old)), dict(_flatten(new))
    return [
        Change(key, old_values.get(key), new_values.get(key))
        for key in old_values | new_values
        if old_values.get(key) != new_values.get(key) and _list_groups(key).isdisjoint(may_differ)
    ]


def describe(changes: Iterable[Change]) -> str:
    """Put changes into words: `model.cell gru -> lstm, model.num_layers 1 -> 2`."""
    return ", ".join(
        f"{key} {old} -> {new}" if len(f"{old}{new}") < LONGEST_VALUES else key
        for key, old, new in changes
    )


def _flatten(
    settings: BaseModel | Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    if isinstance(settings, BaseModel):
        settings = settings.model_dump(mode="json")
    for key, value in settings.items():
        if isinstance(value, BaseModel | Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _list_groups(key: str) -> set[str]:
    """`a.b.c` and the groups that it belongs to: `a` and `a.b`."""
    parts = key.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
