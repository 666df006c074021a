"""From measurements to figures, and from figures of two systems to ratios."""

import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from benchmarks.results import Facts

Series = dict[int, float]
"""A figure by repetition."""


class Spread(NamedTuple):
    """The range of a figure over several repetitions."""

    least: float
    median: float
    greatest: float
    num_values: int


class Measure(NamedTuple):
    """A quantity to compare."""

    title: str
    unit: str
    is_better_high: bool = True
    digits: int = 0


MEASURES = {
    "train": Measure("training", "target tokens/s"),
    "memory": Measure("peak memory of training", "MB", is_better_high=False),
    "greedy, with loading": Measure("greedy, with loading", "sentences/s"),
    "greedy, without": Measure("greedy, without loading", "sentences/s"),
    "beam5, with loading": Measure("beam 5, with loading", "sentences/s"),
    "beam5, without": Measure("beam 5, without loading", "sentences/s"),
    "greedy tokens": Measure("greedy, without loading", "output tokens/s"),
    "beam5 tokens": Measure("beam 5, without loading", "output tokens/s"),
    "help": Measure("`--help`", "s", is_better_high=False, digits=2),
}


def spread(values: Iterable[float]) -> Spread | None:
    """Minimum, median and maximum; None if there are no values."""
    found = sorted(values)
    if not found:
        return None
    return Spread(found[0], statistics.median(found), found[-1], len(found))


def ratios(ours: Series, theirs: Series, is_better_high: bool = True) -> Spread | None:
    """The ratio of two series, repetition by repetition; above 1, ours is better.

    Only repetitions of both series count, because each ratio compares measurements close in time.
    """
    both = sorted(ours.keys() & theirs.keys())
    if is_better_high:
        return spread(ours[n] / theirs[n] for n in both)
    return spread(theirs[n] / ours[n] for n in both)


def figures(lines: Iterable[Facts]) -> dict[str, dict[str, Series]]:
    """Every figure by measure, system and repetition.

    Translating without loading: the time of all sentences minus the time of a single one, which is
    the time of starting, loading and ending, divided by the number of the other sentences.
    """
    found: dict[str, dict[str, Series]] = {name: {} for name in MEASURES}
    parts: dict[tuple[str, str, int], dict[str, Facts]] = {}
    for line in lines:
        system, repetition = line["system"], line["repetition"]
        if line["kind"] == "train":
            put(found, "train", system, repetition, line["tokens_per_second"])
            put(found, "memory", system, repetition, line["peak_mb"])
        elif line["kind"] == "help":
            put(found, "help", system, repetition, line["wall_seconds"])
        elif line["kind"] == "translate":
            parts.setdefault((system, line["search"], repetition), {})[line["part"]] = line
    for (system, search, repetition), both in parts.items():
        if "all" not in both:
            continue
        whole = both["all"]
        rate = whole["sentences"] / whole["wall_seconds"]
        put(found, f"{search}, with loading", system, repetition, rate)
        if "one" not in both:
            continue
        one = both["one"]
        seconds = whole["wall_seconds"] - one["wall_seconds"]
        if seconds > 0:
            sentences, tokens = (whole[key] - one[key] for key in ("sentences", "tokens"))
            put(found, f"{search}, without", system, repetition, sentences / seconds)
            put(found, f"{search} tokens", system, repetition, tokens / seconds)
    return found


def put(
    found: Mapping[str, dict[str, Series]], name: str, system: str, repetition: int, value: float
) -> None:
    """Store a figure."""
    found[name].setdefault(system, {})[repetition] = value


def shares(
    speeds: Series, rates: Mapping[int, Mapping[str, float]], kind: str, training_mflop: float
) -> Spread | None:
    """The speed as a share of the bound set by matrix products, in the same repetition.

    Args:
        speeds: target tokens per second.
        rates: GFLOP/s of each kind of product, by repetition.
        kind: which of them bounds the system.
        training_mflop: 10^6 operations per target token.
    """
    return spread(
        speed * training_mflop * 1e6 / (rates[number][kind] * 1e9)
        for number, speed in speeds.items()
        if number in rates
    )
