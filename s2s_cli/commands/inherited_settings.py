"""Settings that a command takes from a model (`--from`) or from an existing run (`--run`)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.options import DataOptions, Job
    from s2s_cli.config import Config
    from s2s_cli.run import Vocabularies
    from s2s_cli.vocabularies import TokenCounts


MIN_KNOWN_SHARE = 0.5
"""If the vocabularies know a smaller share of the running tokens, the language is likely wrong."""


def settings_of(model: Path) -> list[tuple[str, object]]:
    """Overrides with the text settings, architecture and languages of a model to fine-tune."""
    from s2s_cli.console import say
    from s2s_cli.training.initialize import load_pretrained_card

    card = load_pretrained_card(str(model))
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
    """Refuse to fine-tune on text whose languages, which nobody named, are not the model's.

    Raises:
        ConfigError: the file names or the recipe give other languages.
    """
    from s2s_cli.commands.languages import find_contradictions
    from s2s_cli.training.initialize import load_pretrained_card

    model, ours = config.training.init_from, config.data.all_directions
    theirs = load_pretrained_card(str(model)).all_directions
    found = {side.side: side.found for side in find_contradictions(config.data)}
    src, tgt = (found.get(side, lang) for side, lang in zip(("src", "tgt"), ours[0], strict=True))
    if found or {*ours} != {*theirs}:
        languages = f"{src}-{tgt}" if found else ", ".join(map(str, ours))
        raise ConfigError(
            f"{model}: translates {', '.join(map(str, theirs))}, but the text is {languages}; "
            "train without --from, or, to fine-tune on it anyway, add "
            f"--src-lang {src} --tgt-lang {tgt}"
        )


def refuse_vocab_sets(config: "Config", sets: Sequence[str]) -> None:
    """Refuse `--set vocab.*`: fine-tuning keeps the vocabularies of the model.

    Raises:
        ConfigError: naming the keys.
    """
    from s2s_cli.commands.usage import name_given
    from s2s_cli.unused_settings import refuse_unused

    named = name_given({}, (), sets)
    refuse_unused({key: name for key, name in named.items() if key.startswith("vocab.")}, config)


def check_recipes_vocab(config: "Config", *, names_model: bool) -> None:
    """Report the keys of a recipe that have no effect on the vocabularies of the model.

    Args:
        config: the recipe's.
        names_model: whether the recipe itself has `training.init_from`. If not, it is one for
            training from scratch, such as the one that trained the model.

    Raises:
        ConfigError: there are some in a recipe for fine-tuning.
    """
    from s2s_cli.console import warn
    from s2s_cli.unused_settings import find_unused

    for unused in find_unused(config, [f"vocab.{key}" for key in config.vocab.model_fields_set]):
        if names_model:
            remedy = "remove it from the recipe, or remove training.init_from"
            raise ConfigError(f"{unused.describe()}; {remedy}")
        warn(unused.describe())


def check_known_text(
    config: "Config",
    train: "TokenCounts",
    vocabularies: "Vocabularies",
    *,
    are_languages_named: bool,
) -> None:
    """Refuse a text of which the model's vocabularies know little; warn if it was named.

    Raises:
        ConfigError: most text of a side is unknown, and the languages are not named.
    """
    from s2s_cli.console import warn
    from s2s_cli.vocabularies import measure_coverage

    model = config.training.init_from
    found = measure_coverage("train", train, vocabularies)
    unknown = [side for side in found if side.share < MIN_KNOWN_SHARE]
    if not unknown:
        return
    shares = ", ".join(f"{side.share:.1%} of {side.label}" for side in unknown)
    problem = f"{model}: its vocabularies know only {shares}; the rest is <unk>"
    if are_languages_named:
        warn(f"{problem}; without --from, training builds vocabularies from this text")
        return
    src, tgt = config.data.languages
    raise ConfigError(
        f"{problem}; if the text is not {src}-{tgt}, train without --from; to fine-tune on it "
        "anyway, name its languages with --src-lang and --tgt-lang"
    )


def make_job_of_run(
    run: Path | None,
    data: "DataOptions",
    overrides: Sequence[tuple[str, object]],
    sets: Sequence[str],
) -> "Job | None":
    """Continue with the settings of an existing run, which options override.

    Returns:
        None without a run folder that has settings, or if options name a text or languages.
    """
    from s2s_cli.commands.options import make_job
    from s2s_cli.console import say

    own = None if run is None else _find_own_config(run, data)
    if run is None or own is None:
        return None
    say(f"settings: those of {own}; options override them")
    job = make_job(str(own), run, [*data.overrides(sets), *overrides], sets)
    return job._replace(recipe=job.recipe._replace(name=_name_recipe(run)))


def _find_own_config(run: Path, data: "DataOptions") -> Path | None:
    """The recipe in a run folder; None if there is none, or options name a text or languages.

    Args:
        run: the run folder that the options name.
        data: the options about data; `--data-dir` alone names no other text.
    """
    from s2s_cli.run import RunFolder

    others = (data.src_lang, data.tgt_lang, *data.train, *data.valid, *data.test)
    path = RunFolder(run).config_path
    return path if path.is_file() and not any(others) else None


def _name_recipe(run: Path) -> str:
    """The name of the recipe that started a run; the name of the run if that is not known."""
    from s2s_cli.run import RunFolder

    try:
        return str(json.loads(RunFolder(run).facts_path.read_bytes())["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.absolute().name
