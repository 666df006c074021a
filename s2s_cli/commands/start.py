"""What stands before a training: data, vocabularies, and a model to begin or to go on with."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.data_warnings import read_tests, warn_of_amounts, warn_of_leakage
from s2s_cli.commands.inherited_settings import show_known_text
from s2s_cli.commands.progress import preparing
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from s2s_cli.checkpoint import LoadedModel
    from s2s_cli.config import Config
    from s2s_cli.data.manifest import Counts
    from s2s_cli.launch import Marks
    from s2s_cli.preparation.preparation import Preparation
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.setup import Texts
    from s2s_cli.training.trainer import Trainer
    from s2s_cli.training.validate import TrainingData


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


class RunVocabularies(NamedTuple):
    """The vocabularies that a run is to have."""

    vocabularies: "Vocabularies"
    is_new: bool
    """Whether they are yet to be written to the run folder."""


def prepare(
    recipe: "Recipe",
    run: "RunFolder",
    device: "torch.device",
    how: StartOptions,
    stop: "StopRequest",
) -> "Trainer":
    """Read the data and the vocabularies; make a model, or take up the one that was begun."""
    with preparing(recipe, run, stop=stop) as preparation:
        trainer, config = _begin(recipe, run, preparation, device, how)
    if trainer.ranks.is_first:
        _write_record(recipe.name, config, trainer, device)
    return trainer


def _begin(
    recipe: "Recipe",
    run: "RunFolder",
    preparation: "Preparation",
    device: "torch.device",
    how: StartOptions,
) -> "tuple[Trainer, Config]":
    from s2s_cli.console import say
    from s2s_cli.parallel import current_ranks
    from s2s_cli.training.setup import (
        Plan,
        begin,
        begin_or_resume,
        encode_texts,
        make_card,
        read_texts,
    )

    ranks = current_ranks()
    is_known = run.has_vocabularies() or recipe.config.training.init_from is not None
    texts = read_texts(recipe.config, preparation, is_known=is_known)
    former = _load_former(recipe.config, run, how)
    vocabularies, is_new = _vocabularies(recipe.config, run, texts, how, former)
    material, counts = encode_texts(recipe.config, texts, vocabularies, say)
    if ranks.is_first:
        _warn_of_data(recipe.config, texts, material, counts)
    if ranks.is_first and not is_new and not run.checkpoints():
        # Work that need not be done again, should the model be refused; but what a run was begun
        # with stays until it is known that it goes on with this.
        preparation.commit()
    config = _as_run(recipe.config, vocabularies)
    card = make_card(config, texts, vocabularies)
    plan = Plan(config, run, card, vocabularies, material, device, ranks, former)
    if not ranks.is_first:
        return begin(plan, say) if how.is_fresh else begin_or_resume(plan, say), config
    if how.is_fresh:
        trainer = begin(plan, say)
        # Every check of the input is behind us: only now may an older run be moved.
        if backup := run.set_aside():
            say(f"--fresh: the former run was moved to {backup}")
        if how.marks:
            how.marks.note(FRESH)
        run.repair()
    else:
        run.repair()
        trainer = begin_or_resume(plan, say)
    if is_new:
        run.save_vocabularies(vocabularies)
    preparation.commit()
    return trainer, config


def _load_former(config: "Config", run: "RunFolder", how: StartOptions) -> "LoadedModel | None":
    """The model to begin with; None where there is none, or a run goes on that began before."""
    from s2s_cli.training.initialize import load_former

    goes_on = run.has_vocabularies() and run.checkpoints() and not how.is_fresh
    if config.training.init_from is None or goes_on:
        return None
    return load_former(config.training.init_from)


def _warn_of_data(
    config: "Config", texts: "Texts", material: "TrainingData", counts: "Mapping[str, Counts]"
) -> None:
    """Say what of the data makes the model, or its scores, worse than they look."""
    from s2s_cli.checks.coverage import Known
    from s2s_cli.data.encoded_corpus import StoredPairs
    from s2s_cli.vocabularies import name_sides

    src, tgt = name_sides(config.data.languages)
    known = [
        Known(f"{split} {lang}", number, 1 - num_unknown / max(1, number))
        for split, found in counts.items()
        for lang, number, num_unknown in (
            (src, found.src_tokens, found.src_unknown),
            (tgt, found.tgt_tokens, found.tgt_unknown),
        )
    ]
    warn_of_amounts(config, counts["train"].pairs, counts["valid"].pairs, known)
    if isinstance(material.train, StoredPairs):
        train = material.train.fingerprints
        warn_of_leakage("valid", texts.valid_corpora, train)
        warn_of_leakage("test", read_tests(config.data), train)


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


def _vocabularies(
    config: "Config",
    run: "RunFolder",
    texts: "Texts",
    how: StartOptions,
    former: "LoadedModel | None",
) -> RunVocabularies:
    """The run folder's vocabularies, refused if they are of other text; else new ones."""
    from s2s_cli.console import say
    from s2s_cli.vocabularies import check_vocabularies, describe_vocabularies, sizes_of

    if not run.has_vocabularies():
        return RunVocabularies(_new_vocabularies(config, run, texts, how, former), is_new=True)
    vocabularies = run.load_vocabularies()
    found, wanted = (
        vocabularies.card,
        describe_vocabularies(config, texts.train.facts().origin.values()),
    )
    if config.training.init_from is not None:
        if how.is_fresh:
            return RunVocabularies(_new_vocabularies(config, run, texts, how, former), is_new=True)
        # Those of the model with which the run was begun, whatever the recipe would have built.
        own = {"trained_on": found.trained_on, "shared": found.shared, **sizes_of(found)}
        wanted = wanted.model_copy(update=own)
    if how.is_fresh and found != wanted:
        say(f"--fresh: the vocabularies of {run.vocab_path} do not fit; building them anew")
        return RunVocabularies(_new_vocabularies(config, run, texts, how, former), is_new=True)
    check_vocabularies(found, wanted, run)
    sizes = f"max_size {found.max_size}, min_freq {found.min_freq}"
    if found.character_coverage is not None:
        sizes += f", character_coverage {found.character_coverage:g}"
    if how.names_sizes and found != wanted:
        raise ConfigError(
            f"{run.vocab_path}: was built with {sizes}; give `s2s vocab build` the other "
            "sizes, or train from scratch with --fresh"
        )
    src, tgt = found.describe_tokens()
    say(
        f"vocabularies of {run.vocab_path}: {found.src_lang} {len(vocabularies.src):,} "
        f"({src}), {found.tgt_lang} {len(vocabularies.tgt):,} ({tgt}); {sizes}"
    )
    return RunVocabularies(vocabularies, is_new=False)


def _new_vocabularies(
    config: "Config",
    run: "RunFolder",
    texts: "Texts",
    how: StartOptions,
    former: "LoadedModel | None",
) -> "Vocabularies":
    """Vocabularies of the training text, or of the model that the training begins with."""
    from s2s_cli.commands.vocab import show_vocabularies
    from s2s_cli.console import say
    from s2s_cli.data.tokenized import count_tokens
    from s2s_cli.preparation.learning import learn_vocabularies
    from s2s_cli.training.initialize import adopt_vocabularies

    if former is not None:
        say(f"vocabularies: those of {config.training.init_from}")
        vocabularies = adopt_vocabularies(config, former)
        named = how.are_languages_named
        show_known_text(config, texts, vocabularies, are_languages_named=named)
        return vocabularies
    if not run.has_vocabularies():
        say(f"no vocabularies in {run.vocab_path}: building them")
    vocabularies, counts = learn_vocabularies(config, texts.train, say)
    valid = count_tokens(texts.valid_words, vocabularies.subwords)
    show_vocabularies(vocabularies, run, {"train": counts, "valid": valid})
    return vocabularies
