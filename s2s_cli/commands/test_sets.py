"""Which test sets an evaluation means, and in which directions."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands import options as opt
from s2s_cli.commands.languages import language_of_files, warn_of_test_names
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.config import Data
    from s2s_cli.data.pairs import ParallelText
    from s2s_cli.sources import Direction


class Wanted(NamedTuple):
    """What the options say about test sets."""

    config: str | None
    """A recipe that names them, instead of the run's own."""
    data: opt.DataOptions
    sets: list[str]
    """`--set data.*`."""
    src_lang: str | None
    """`--from`: of the test files given, or of those test sets that count."""
    tgt_lang: str | None
    """`--to`: the same."""


def load_test_sets(
    wanted: Wanted, place: "ModelLocation", loaded: "Loaded"
) -> "list[ParallelText]":
    """The test sets: of the recipe named, else of the run's own, else what the options give.

    Raises:
        ConfigError: no test set is known, or it is of a direction that the model does not have.
        DataError: a file is missing or malformed; or the test set is a share of the training pairs
            that is not the one left out when the model was trained.
    """
    from s2s_cli.data.test_set import load_test_and_rest
    from s2s_cli.decoding.translator import find_directions
    from s2s_cli.recipe import load_recipe

    card = loaded.card
    directions = find_directions(card.all_directions, wanted.src_lang, wanted.tgt_lang)
    overrides = _gather_overrides(wanted, card)
    recipe = wanted.config
    if recipe is None and place.run is not None and place.run.config_path.is_file():
        recipe = str(place.run.config_path)
    if recipe is None:
        data, recipe = _make_data(overrides, place, card), "options"
    else:
        data = load_recipe(recipe, overrides).config.data
    if not {*data.all_directions} <= {*card.all_directions}:
        raise ConfigError(
            f"{recipe}: is {_in_words(data.all_directions)}, but {place.folder} translates "
            f"{_in_words(card.all_directions)}; name a recipe of the same languages"
        )
    if wanted.data.test[0] is not None:
        warn_of_test_names(data, str(place.folder))
    all_tests, rest = load_test_and_rest(data)
    if rest:
        for folder, one in zip((place.folder, *place.others), (card, *loaded.others), strict=True):
            check_left_out(rest, one, folder)
    tests = [test for test in all_tests if test.direction in directions]
    if not tests:
        raise ConfigError(f"{recipe}: has no test set that is {_in_words(directions)}")
    return tests


def check_left_out(rest: "dict[str, set[str]]", card: "ModelCard", folder: Path) -> None:
    """Refuse a test set held out of train, unless the model was fitted to just the other parts.

    Args:
        rest: hashes of those parts, `train` and perhaps `valid`.
        card: the model's.
        folder: names it.

    Raises:
        DataError: the model was trained on other pairs, or chosen by others.
    """
    for name in ("train", "valid"):
        found = rest.get(name, set())
        known = card.trained_on.get(name, {}).items()
        if found != {digest for key, digest in known if key.endswith(f"#{name}")}:
            raise DataError(
                f"data.test: this share of the training pairs is not what {folder} was trained "
                "without, so it may have seen some of them; evaluate with the files, shares and "
                "split_seed of its training, or name a test set (--test-src, --test-tgt)"
            )


def _gather_overrides(wanted: Wanted, card: "ModelCard") -> list[tuple[str, object]]:
    """Keys of a recipe that the options set."""
    from s2s_cli.decoding.translator import choose_direction
    from s2s_cli.recipe import parse_override

    if wanted.data.tgt_lang is not None and card.directions:
        raise ConfigError("--tgt-lang: of no use with several directions; --to names one")
    overrides = []
    for key, value in wanted.data.overrides():
        overrides.append((key, value))
        if key == "data.test" and card.directions and isinstance(value, dict):
            direction = _find_named_direction(wanted, card) or choose_direction(
                card.all_directions, wanted.src_lang, wanted.tgt_lang
            )
            value["direction"] = str(direction)
    return overrides + [parse_override(text) for text in wanted.sets]


def _find_named_direction(wanted: Wanted, card: "ModelCard") -> "Direction | None":
    """The model's direction that the names of the test files give, where no option names one."""
    from s2s_cli.console import say
    from s2s_cli.sources import plain_code

    src, refs = wanted.data.test
    if wanted.src_lang or wanted.tgt_lang or src is None:
        return None
    langs = language_of_files([src]), language_of_files(refs or [])
    name = "-".join(plain_code(lang or "") for lang in langs)
    found = next((one for one in card.all_directions if str(one) == name), None)
    if found is not None:
        say(f"no --from and --to: {found}, by the names of the test files")
    return found


def _make_data(
    overrides: list[tuple[str, object]], place: "ModelLocation", card: "ModelCard"
) -> "Data":
    """The section `data` of a model that stands alone."""
    from s2s_cli.recipe import check_config

    if not overrides:
        raise ConfigError(
            f"{place.folder}: stands in no run folder, so no test set is known; "
            "give --test-src and --test-tgt, or a recipe with --config"
        )
    tree: dict[str, object] = {"test": None, "directions": card.directions}
    if not card.directions:
        tree |= {"src_lang": card.src_lang, "tgt_lang": card.tgt_lang}
    tree.update((key.removeprefix("data."), value) for key, value in overrides)
    return check_config({"data": tree}, where="options").data


def _in_words(directions: "Iterable[Direction]") -> str:
    return ", ".join(f"{src} to {tgt}" for src, tgt in directions)
