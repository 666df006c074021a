"""The start of a training: prepared text, vocabularies, and a model that is new or continues."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from s2s_cli.checkpoint import LoadedModel
    from s2s_cli.config import Config
    from s2s_cli.launch import Marks
    from s2s_cli.prepare import Prepared
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.trainer import Trainer
    from s2s_cli.vocabularies import TokenCounts


FRESH = "fresh"
"""Noted when `--fresh` was heeded: begun anew by torchrun, the run is not moved once more."""


class StartOptions(NamedTuple):
    """What the options say about an older run and its vocabularies."""

    is_fresh: bool
    names_sizes: bool
    """Whether `--set vocab.*` asks for vocabularies of certain sizes."""
    are_languages_named: bool
    """Whether options or a recipe name the languages of the text."""
    marks: "Marks | None" = None
    """Where to note that an older run was moved."""


def start(
    recipe: "Recipe",
    run: "RunFolder",
    device: "torch.device",
    how: StartOptions,
    stop: "StopRequest",
) -> "Trainer":
    """Prepare text and vocabularies; make a model, or continue with that of the run."""
    from s2s_cli.console import say
    from s2s_cli.parallel import current_ranks
    from s2s_cli.prepare import open_prepared
    from s2s_cli.training.setup import begin, begin_or_resume

    ranks, former = current_ranks(), _load_former(recipe.config, run, how)
    if not how.is_fresh:
        _check_settings(recipe.config, run)
    if ranks.is_first:
        prepared = _prepare(recipe.config, run, how, former, stop)
    else:  # The first process has prepared the text in the same run folder.
        prepared = open_prepared(run.data_path, run.load_vocabularies())
    config = _as_run(recipe.config, prepared.vocabularies)
    make = begin if how.is_fresh else begin_or_resume
    if not ranks.is_first:
        return make(config, prepared, run, device, say, ranks, former)
    if how.is_fresh:
        trainer = make(config, prepared, run, device, say, ranks, former)
        # All input has been checked: only now may an older run be moved.
        if backup := run.set_aside():
            say(f"--fresh: the former run was moved to {backup}")
        if how.marks:
            how.marks.note(FRESH)
        run.repair()
    else:
        run.repair()
        trainer = make(config, prepared, run, device, say, ranks, former)
    _warn_of_data(config, prepared)
    if prepared.is_new or former is not None:
        run.save_vocabularies(prepared.vocabularies)
    _write_record(recipe.name, config, trainer, device)
    return trainer


def _prepare(
    config: "Config",
    run: "RunFolder",
    how: StartOptions,
    former: "LoadedModel | None",
    stop: "StopRequest",
) -> "Prepared":
    """Bring the datasets up to date, with the vocabularies of the run, of a model, or new ones."""
    from s2s_cli.commands.inherited_settings import check_known_text
    from s2s_cli.commands.progress import preparing
    from s2s_cli.commands.vocab import show_coverage, show_vocabularies
    from s2s_cli.console import say, warn
    from s2s_cli.prepare import prepare
    from s2s_cli.training.initialize import adopt_vocabularies

    if former is not None:
        say(f"vocabularies: those of {config.training.init_from}")
        known = adopt_vocabularies(config, former)
    elif run.has_vocabularies():
        known = run.load_vocabularies()
    else:
        say(f"no vocabularies in {run.vocab_path}: building them")
        known = None

    def fits(origin: "Mapping[str, str]") -> bool:
        return former is not None or known is None or _check_own(config, run, known, origin, how)

    def inspect(vocabularies: "Vocabularies", counts: "Mapping[str, TokenCounts]") -> None:
        if former is not None:
            title = f"the text in the vocabularies of {config.training.init_from}"
            show_coverage(title, vocabularies, counts)
            named = how.are_languages_named
            check_known_text(config, counts["train"], vocabularies, are_languages_named=named)
        elif vocabularies is not known:
            show_vocabularies(vocabularies, run, counts)

    with preparing(None, stop) as workers:
        adopts = former is not None
        prepared = prepare(config, run.data_path, workers, known, fits, inspect, reads_all=adopts)
    for note in prepared.notes:
        say(note)
    for warning in prepared.warnings:
        warn(warning)
    if former is None and not prepared.is_new:
        _say_own(run, prepared.vocabularies)
    return prepared


def _check_settings(config: "Config", run: "RunFolder") -> None:
    """Refuse other settings for a run that continues, before its datasets are made of them.

    The batch size may change with the number of processes, and vocabularies are compared later.

    Raises:
        ConfigError: settings differ that may not change.
    """
    from s2s_cli.recipe import load_recipe
    from s2s_cli.training.resume import check_same_settings

    if run.checkpoints() and run.config_path.is_file():
        former = load_recipe(str(run.config_path)).config
        may_differ = ("training.batch_size", "training.init_from", "vocab")
        check_same_settings(former, config, run, may_differ)


def _load_former(config: "Config", run: "RunFolder", how: StartOptions) -> "LoadedModel | None":
    """The model to begin with; None where there is none, or a run goes on that began before."""
    from s2s_cli.training.initialize import load_former

    goes_on = run.has_vocabularies() and run.checkpoints() and not how.is_fresh
    if config.training.init_from is None or goes_on:
        return None
    return load_former(config.training.init_from)


def _warn_of_data(config: "Config", prepared: "Prepared") -> None:
    """Warn of what in the data makes the model, or its scores, worse than they look."""
    from s2s_cli.commands.data_warnings import warn_of_amounts, warn_of_leaked_splits

    warn_of_amounts(config, prepared.datasets)
    warn_of_leaked_splits(prepared.datasets)


def _as_run(config: "Config", vocabularies: "Vocabularies") -> "Config":
    """The recipe as it is run: vocabularies may have been built, or taken over, with other keys."""
    from s2s_cli.vocabularies import sizes_of

    card = vocabularies.card
    vocab = config.vocab.model_copy(update={**sizes_of(card), "shared": card.shared})
    # Names of folders hold from wherever the run goes on.
    data = config.data.model_copy(update={"folder": str(Path(config.data.folder).absolute())})
    former = config.training.init_from
    init_from = None if former is None else str(Path(former).absolute())
    training = config.training.model_copy(update={"init_from": init_from})
    return config.model_copy(update={"vocab": vocab, "data": data, "training": training})


def _write_record(name: str, config: "Config", trainer: "Trainer", device: "torch.device") -> None:
    """What the run folder says about itself."""
    from s2s_cli.console import say
    from s2s_cli.recipe import dump_yaml
    from s2s_cli.storage.atomic import write_file
    from s2s_cli.storage.checksummed import to_json
    from s2s_cli.training.log import describe_run, truncate_log

    run = trainer.run
    truncate_log(run.log_path, trainer.record)
    write_file(run.config_path, dump_yaml(config))
    num_parameters = trainer.loaded.model.num_parameters()
    facts = describe_run(name, num_parameters, device, trainer.ranks)
    if trainer.record.position.step and not trainer.is_finished():
        _tell_moved(run, facts)
    write_file(run.facts_path, to_json(facts))
    say(f"model: {num_parameters:,} weights")


def _tell_moved(run: "RunFolder", facts: "Mapping[str, object]") -> None:
    """Say if a run goes on where the same weights cannot be promised."""
    from s2s_cli.console import say

    try:
        former = json.loads(run.facts_path.read_bytes())
        changed = [
            f"{key} {former[key]} -> {facts[key]}"
            for key in ("machine", "torch_version")
            if former[key] != facts[key]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if changed:
        say(f"goes on elsewhere ({', '.join(changed)}): the weights will not be the same bytes")


def _check_own(
    config: "Config",
    run: "RunFolder",
    found: "Vocabularies",
    origin: "Mapping[str, str]",
    how: StartOptions,
) -> bool:
    """Whether the vocabularies of the run folder are those that the recipe would build.

    Raises:
        ConfigError: they are of other text or made otherwise, and the run is not a fresh one.
    """
    from s2s_cli.console import say
    from s2s_cli.vocabularies import check_vocabularies, describe_vocabularies, sizes_of

    card = found.card
    wanted = describe_vocabularies(config, origin.values())
    if config.training.init_from is not None:
        # Those of the model with which the run was started, whatever the recipe would have built.
        own = {"trained_on": card.trained_on, "shared": card.shared, **sizes_of(card)}
        wanted = wanted.model_copy(update=own)
    if how.is_fresh and card != wanted:
        say(f"--fresh: the vocabularies of {run.vocab_path} do not fit; building new ones")
        return False
    check_vocabularies(card, wanted, run)
    if how.names_sizes and card != wanted:
        raise ConfigError(
            f"{run.vocab_path}: was built with {_describe_sizes(card)}; give `s2s vocab build` the "
            "other sizes, or train from scratch with --fresh"
        )
    return True


def _describe_sizes(card: "VocabularyCard") -> str:
    sizes = f"max_size {card.max_size}, min_freq {card.min_freq}"
    if card.character_coverage is not None:
        sizes += f", character_coverage {card.character_coverage:g}"
    return sizes


def _say_own(run: "RunFolder", vocabularies: "Vocabularies") -> None:
    """Report the vocabularies of the run folder."""
    from s2s_cli.console import say

    card = vocabularies.card
    src, tgt = card.describe_tokens()
    say(
        f"vocabularies of {run.vocab_path}: {card.src_lang} {len(vocabularies.src):,} "
        f"({src}), {card.tgt_lang} {len(vocabularies.tgt):,} ({tgt}); {_describe_sizes(card)}"
    )
