"""Select the test sets of an evaluation, and their directions."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands import options as opt
from s2s_cli.commands.data_warnings import warn_of_tests_in_train
from s2s_cli.commands.languages import language_of_files, warn_of_test_names
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.config import Data
    from s2s_cli.data.pairs import ParallelText
    from s2s_cli.sources import Direction


class TestSetOptions(NamedTuple):
    """The options about test sets."""

    config: str | None
    """The recipe that names the test sets, in place of the recipe of the run."""
    data: opt.DataOptions
    sets: list[str]
    """`--set data.*`."""
    src_lang: str | None
    """`--from`: source language of the test files, or of the test sets to select."""
    tgt_lang: str | None
    """`--to`: target language, in the same way."""


def load_test_sets(
    options: TestSetOptions, location: "ModelLocation", loaded: "Loaded"
) -> "list[ParallelText]":
    """Read the test sets; warn of pairs that the model was trained on.

    They are those of the recipe that the options name or, without one, of the recipe of the run.
    For a model outside a run folder, the options have to give the files.

    Raises:
        ConfigError: no test set is known, or the model does not have its direction.
        DataError: a file is missing or malformed; or the test set is held out from the training
            pairs, but the model was trained with another split of them.
    """
    from s2s_cli.data.test_set import load_test_and_rest
    from s2s_cli.decoding.translator import find_directions
    from s2s_cli.recipe import load_recipe

    card = loaded.card
    directions = find_directions(card.all_directions, options.src_lang, options.tgt_lang)
    overrides = gather_overrides(options, card)
    recipe = options.config
    if recipe is None and location.run is not None and location.run.config_path.is_file():
        recipe = str(location.run.config_path)
    if recipe is None:
        data, recipe = _make_data(overrides, location, card), "options"
    else:
        data = load_recipe(recipe, overrides).config.data
    check_directions(data, recipe, location, card)
    if options.data.test[0] is not None:
        warn_of_test_names(data, str(location.folder))
    all_tests, rest = load_test_and_rest(data)
    check_held_out("test", rest, location, loaded)
    tests = [test for test in all_tests if test.direction in directions]
    if not tests:
        raise ConfigError(
            f"{recipe}: has no test set for {in_words(directions)}; name one with --test-src and "
            "--test-tgt"
        )
    warn_of_tests_in_train(location, card, tests)
    return tests


def check_directions(
    data: "Data", recipe: str, location: "ModelLocation", card: "ModelCard"
) -> None:
    """Refuse a recipe with directions that the model does not have.

    Raises:
        ConfigError: there are some.
    """
    if not {*data.all_directions} <= {*card.all_directions}:
        raise ConfigError(
            f"{recipe}: has {in_words(data.all_directions)}, but {location.folder} translates "
            f"{in_words(card.all_directions)}; name a recipe with the same languages"
        )


def check_held_out(
    split: str, hashes: "dict[str, set[str]]", location: "ModelLocation", loaded: "Loaded"
) -> None:
    """Refuse a split held out from the training pairs if a model may have seen its pairs.

    Args:
        split: `test` or `valid`.
        hashes: of the pairs of `train` and, if held out too, `valid`; empty if the split has files.
        location: of the model or ensemble.
        loaded: the model or ensemble.

    Raises:
        DataError: a model was trained or validated on other pairs.
    """
    if not hashes:
        return
    for folder, card in zip(location.folders, (loaded.card, *loaded.others), strict=True):
        _check_model(split, hashes, card, folder)


def _check_model(
    split: str, hashes: "dict[str, set[str]]", card: "ModelCard", folder: Path
) -> None:
    """Check one model of an ensemble; raises as `check_held_out`."""
    other = ", or name a test set (--test-src, --test-tgt)" if split == "test" else ""
    for name in ("train", "valid"):
        found = hashes.get(name, set())
        known = card.trained_on.get(name, {}).items()
        if found != {digest for key, digest in known if key.endswith(f"#{name}")}:
            raise DataError(
                f"data.{split}: {folder} was trained with another split of the training pairs, so "
                "it may have seen some of these; evaluate with the files, shares and split_seed of "
                f"its training{other}"
            )


def gather_overrides(options: TestSetOptions, card: "ModelCard") -> list[tuple[str, object]]:
    """List the keys of a recipe that the options set."""
    from s2s_cli.decoding.translator import choose_direction
    from s2s_cli.recipe import parse_override

    if options.data.tgt_lang is not None and card.directions:
        raise ConfigError("--tgt-lang: has no effect with several directions; use --to")
    overrides = []
    for key, value in options.data.overrides(options.sets):
        overrides.append((key, value))
        if key == "data.test" and card.directions and isinstance(value, dict):
            direction = _find_named_direction(options, card) or choose_direction(
                card.all_directions, options.src_lang, options.tgt_lang
            )
            value["direction"] = str(direction)
    return overrides + [parse_override(text) for text in options.sets]


def _find_named_direction(options: TestSetOptions, card: "ModelCard") -> "Direction | None":
    """Find the direction that the names of the test files give, if no option names one."""
    from s2s_cli.console import say
    from s2s_cli.sources import plain_code

    src, refs = options.data.test
    if options.src_lang or options.tgt_lang or src is None:
        return None
    langs = language_of_files([src]), language_of_files(refs or [])
    name = "-".join(plain_code(lang or "") for lang in langs)
    found = next((one for one in card.all_directions if str(one) == name), None)
    if found is not None:
        say(f"no --from and --to: the direction is {found}, according to the file names")
    return found


def _make_data(
    overrides: list[tuple[str, object]], location: "ModelLocation", card: "ModelCard"
) -> "Data":
    """Make the section `data` for a model outside a run folder.

    Raises:
        ConfigError: the options give no test set.
    """
    from s2s_cli.recipe import check_config

    if not overrides:
        raise ConfigError(
            f"{location.folder}: is not in a run folder, so no test set is known; "
            "give --test-src and --test-tgt, or a recipe with --config"
        )
    tree: dict[str, object] = {"test": None, "directions": card.directions}
    if not card.directions:
        tree |= {"src_lang": card.src_lang, "tgt_lang": card.tgt_lang}
    tree.update((key.removeprefix("data."), value) for key, value in overrides)
    return check_config({"data": tree}, where="options").data


def in_words(directions: "Iterable[Direction]") -> str:
    """Describe directions, as in `de to en, fr to en`."""
    return ", ".join(f"{src} to {tgt}" for src, tgt in directions)
