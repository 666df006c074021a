"""What options and recipes say about the search, where a model's own settings count."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.config import Decoding

_OF_BEAM = {
    "beam_size": "keeps no beam",
    "length_penalty": "compares no hypotheses",
}
"""Settings that sampling does not use, and why."""


def refuse_idle_options(decoding: "Decoding", given: Sequence[tuple[str, object]]) -> None:
    """Refuse options of the other kind of search.

    Args:
        decoding: the settings with which there will be a search.
        given: keys that options set.

    Raises:
        ConfigError: one of them would change nothing.
    """
    keys = {key.removeprefix("decoding.") for key, _ in given}
    if decoding.search == "beam" and "seed" in keys:
        raise ConfigError("--seed: of no use to beam search, which draws nothing; add --sample")
    for key, reason in _OF_BEAM.items():
        if decoding.search == "sample" and key in keys:
            option = f"--{key.replace('_', '-')}"
            raise ConfigError(f"{option}: of no use to sampling, which {reason}; leave it out")


def tell_recipe_search(config: str, loaded: "Loaded") -> None:
    """Say where the search that a recipe names is not the one used, and how to use it."""
    from s2s_cli.console import say
    from s2s_cli.recipe import load_recipe

    recipe = load_recipe(config).config.decoding.model_dump()
    own, used = loaded.card.decoding.model_dump(), loaded.decoding.model_dump()
    unlike = [key for key in recipe if used[key] == own[key] != recipe[key]]
    if unlike:
        here = ", ".join(f"decoding.{key}={_as_yaml(used[key])}" for key in unlike)
        there = " ".join(f"--set decoding.{key}={_as_yaml(recipe[key])}" for key in unlike)
        say(f"the search is the model's own, with {here}; as {config} has it: {there}")


def _as_yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
