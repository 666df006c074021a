"""`s2s train --from MODEL`: what the model decides, and what cannot be chosen next to it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.options import DataOptions
    from s2s_cli.config import Config
    from s2s_cli.run import Vocabularies
    from s2s_cli.vocabularies import TokenCounts


LEAST_COVERAGE = 0.5
"""Share of the running tokens: text of which less is known is hardly of the model's languages."""


def settings_of(model: Path) -> list[tuple[str, object]]:
    """Text, architecture and languages of a model to begin with, where no recipe is named."""
    from s2s_cli.console import say
    from s2s_cli.training.initialize import load_former_card

    card = load_former_card(str(model))
    say(f"text, model and languages: those of {model}")
    languages = (
        {"directions": card.directions}
        if card.directions
        else {"src_lang": card.src_lang, "tgt_lang": card.tgt_lang}
    )
    return [
        ("text", card.text.model_dump(mode="json")),
        ("model", card.model.model_dump(mode="json") | {"src_vectors": None, "tgt_vectors": None}),
        *((f"data.{key}", value) for key, value in languages.items()),
    ]


def check_languages(config: "Config") -> None:
    """Refuse text whose languages are not the model's, unless they are named.

    Raises:
        ConfigError: the names of the files, or the recipe, give other languages.
    """
    from s2s_cli.commands.languages import find_contradictions
    from s2s_cli.training.initialize import load_former_card

    model, ours = config.training.init_from, config.data.all_directions
    theirs = load_former_card(str(model)).all_directions
    found = {side.side: side.found for side in find_contradictions(config.data)}
    src, tgt = (found.get(side, lang) for side, lang in zip(("src", "tgt"), ours[0], strict=True))
    if found or {*ours} != {*theirs}:
        languages = f"{src}-{tgt}" if found else ", ".join(map(str, ours))
        raise ConfigError(
            f"{model}: translates {', '.join(map(str, theirs))}, but the text is {languages}; "
            "train without --from, or, to fine-tune on it all the same, add "
            f"--src-lang {src} --tgt-lang {tgt}"
        )


def refuse_vocab_sets(config: "Config", sets: Sequence[str]) -> None:
    """Refuse `--set vocab.*`: vocabularies are those of the model to begin with.

    Raises:
        ConfigError: naming the keys.
    """
    from s2s_cli.recipe import parse_override

    keys = [key for key, _ in map(parse_override, sets) if key.partition(".")[0] == "vocab"]
    if keys:
        raise ConfigError(
            f"--set {', '.join(keys)}: {_no_effect(config)}; leave it out, or train without --from"
        )


def check_recipes_vocab(config: "Config", *, names_model: bool) -> None:
    """Name the keys of a recipe that would choose other vocabularies than those of the model.

    Args:
        config: of the recipe.
        names_model: whether the recipe itself says what to begin with. If not, it is one for
            training from scratch, such as the one that trained the model.

    Raises:
        ConfigError: there are some in a recipe for fine-tuning.
    """
    from s2s_cli.console import warn

    vocab = config.vocab
    keys = [f"vocab.{key}" for key in type(vocab).model_fields if key in vocab.model_fields_set]
    if keys and names_model:
        problem = f"{', '.join(keys)}: {_no_effect(config)}"
        raise ConfigError(f"{problem}; take it out of the recipe, or training.init_from")
    if keys:
        warn(f"{', '.join(keys)}: {_no_effect(config)}")


def _no_effect(config: "Config") -> str:
    return (
        f"no effect when fine-tuning, which keeps the vocabularies of {config.training.init_from}"
    )


def check_known_text(
    config: "Config",
    train: "TokenCounts",
    vocabularies: "Vocabularies",
    *,
    are_languages_named: bool,
) -> None:
    """Refuse text of which the vocabularies of the model know little; warn if it was named.

    Raises:
        ConfigError: little of a side is known, and no option names the languages.
    """
    from s2s_cli.console import warn
    from s2s_cli.vocabularies import measure_coverage

    model = config.training.init_from
    found = measure_coverage("train", train, vocabularies)
    unknown = [side for side in found if side.share < LEAST_COVERAGE]
    if not unknown:
        return
    shares = ", ".join(f"{side.share:.1%} of {side.label}" for side in unknown)
    problem = f"{model}: its vocabularies know only {shares}, all else is <unk>"
    if are_languages_named:
        warn(f"{problem}; training without --from would build vocabularies of this text")
        return
    src, tgt = config.data.languages
    raise ConfigError(
        f"{problem}; is the text really {src}-{tgt}? Train without --from, or, to fine-tune on it "
        f"all the same, name its languages with --src-lang and --tgt-lang"
    )


def find_own_config(run: Path, data: "DataOptions") -> Path | None:
    """The run's own recipe; None if it has none, or options name other text or languages.

    Args:
        run: the run folder that the options name.
        data: the options about data; the same files in another folder are the same text.
    """
    from s2s_cli.run import RunFolder

    others = (data.src_lang, data.tgt_lang, *data.train, *data.valid, *data.test)
    path = RunFolder(run).config_path
    return path if path.is_file() and not any(others) else None


def name_recipe(run: Path) -> str:
    """The name of the recipe that a run was begun with; the run's own where that is not known."""
    from s2s_cli.run import RunFolder

    try:
        return str(json.loads(RunFolder(run).facts_path.read_bytes())["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.absolute().name
