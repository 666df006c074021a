"""Start or resume a training: prepare the text and vocabularies, and make the trainer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from s2s_cli.checkpoint import LoadedModel
    from s2s_cli.commands.options import Job
    from s2s_cli.config import Config
    from s2s_cli.data.dataset import Dataset
    from s2s_cli.launch import Launch, Marks
    from s2s_cli.prepare import Prepared
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.trainer import Trainer
    from s2s_cli.vocabularies import TokenCounts


FRESH = "fresh"
"""Mark for an executed `--fresh`: after a restart by torchrun, the run is not moved again."""


class StartOptions(NamedTuple):
    """How the options treat an existing run and its vocabularies."""

    is_fresh: bool
    sets_vocab: bool
    """Whether `--set vocab.*` is given."""
    are_languages_named: bool
    """Whether options or a recipe name the languages of the text."""
    marks: "Marks | None" = None
    """Remembers across restarts that the existing run was moved."""


def choose_training_device(job: "Job", launch: "Launch", num_processes: int) -> "torch.device":
    """Choose and report the device, and allow TF32 on it if the recipe does."""
    from s2s_cli.console import say
    from s2s_cli.device import allow_tf32, choose_device, describe_device

    training = job.recipe.config.training
    device = choose_device(training.device, launch)
    if training.precision == "tf32":
        allow_tf32(device)
    rank = f", the first of {num_processes} processes" if num_processes > 1 else ""
    say(
        f"recipe {job.recipe.name}, run folder {job.run.path}, "
        f"device {describe_device(device)}{rank}"
    )
    return device


def start(
    recipe: "Recipe",
    run: "RunFolder",
    device: "torch.device",
    options: StartOptions,
    stop: "StopRequest",
) -> "Trainer":
    """Prepare text and vocabularies, and make a trainer or resume that of the run."""
    from s2s_cli.commands.data_warnings import warn_of_amounts, warn_of_leaked_splits
    from s2s_cli.console import say
    from s2s_cli.parallel import current_ranks
    from s2s_cli.prepare import open_prepared
    from s2s_cli.training.setup import make_or_resume_trainer, make_trainer

    ranks, pretrained = current_ranks(), _load_pretrained(recipe.config, run, options)
    if not options.is_fresh:
        _check_settings(recipe.config, run)
    if ranks.is_first:
        prepared = _prepare(recipe.config, run, options, pretrained, stop)
    else:  # The first process has prepared the text in the same run folder.
        prepared = open_prepared(run.data_path, run.load_vocabularies())
    config = _as_run(recipe.config, prepared.vocabularies)
    make = make_trainer if options.is_fresh else make_or_resume_trainer
    if ranks.is_first and not options.is_fresh:
        run.repair()
    trainer = make(config, prepared, run, device, ranks, pretrained)
    if not ranks.is_first:
        return trainer
    if options.is_fresh:
        # All input has been checked: only now may an existing run be moved.
        if backup := run.set_aside():
            say(f"--fresh: the previous run was moved to {backup}")
        if options.marks:
            options.marks.note(FRESH)
        run.repair()
    warn_of_amounts(config, prepared.datasets)
    warn_of_leaked_splits(prepared.datasets)
    if prepared.is_new or pretrained is not None:
        run.save_vocabularies(prepared.vocabularies)
    cards = _find_cards(prepared.datasets["train"])
    _write_run_info(recipe.name, config, trainer, device, cards)
    return trainer


def _prepare(
    config: "Config",
    run: "RunFolder",
    options: StartOptions,
    pretrained: "LoadedModel | None",
    stop: "StopRequest",
) -> "Prepared":
    """Update the datasets, with vocabularies of the pretrained model, of the run, or new ones."""
    from s2s_cli.commands.inherited_settings import check_known_text
    from s2s_cli.commands.progress import preparing
    from s2s_cli.commands.vocab import show_coverage, show_vocabularies
    from s2s_cli.console import say, warn
    from s2s_cli.prepare import prepare
    from s2s_cli.training.initialize import adopt_vocabularies

    if pretrained is not None:
        say(f"vocabularies: those of {config.training.init_from}")
        known = adopt_vocabularies(config, pretrained)
    elif run.has_vocabularies():
        known = run.load_vocabularies()
    else:
        say(f"no vocabularies in {run.vocab_path}: building them")
        known = None

    def fits(origin: "Mapping[str, str]") -> bool:
        if pretrained is not None or known is None:
            return True
        return _check_vocabularies(config, run, known, origin, options)

    def inspect(vocabularies: "Vocabularies", counts: "Mapping[str, TokenCounts]") -> None:
        if pretrained is not None:
            title = f"coverage by the vocabularies of {config.training.init_from}"
            show_coverage(title, vocabularies, counts)
            named = options.are_languages_named
            check_known_text(config, counts["train"], vocabularies, are_languages_named=named)
        elif vocabularies is not known:
            show_vocabularies(vocabularies, run, counts)

    with preparing(None, stop) as workers:
        reads_all = pretrained is not None
        prepared = prepare(
            config, run.data_path, workers, known, fits, inspect, reads_all=reads_all
        )
    for note in prepared.notes:
        say(note)
    for warning in prepared.warnings:
        warn(warning)
    if pretrained is None and not prepared.is_new:
        _report_vocabularies(run, prepared.vocabularies)
    return prepared


def _check_settings(config: "Config", run: "RunFolder") -> None:
    """Refuse other settings for an existing run, before its datasets are replaced.

    The batch size may change with the number of processes. Vocabularies are compared later.

    Raises:
        ConfigError: settings differ that may not change.
    """
    from s2s_cli.recipe import load_recipe
    from s2s_cli.training.resume import check_same_settings

    if run.checkpoints() and run.config_path.is_file():
        saved = load_recipe(str(run.config_path)).config
        may_differ = ("training.batch_size", "training.init_from", "vocab")
        check_same_settings(saved, config, run, may_differ)


def _load_pretrained(
    config: "Config", run: "RunFolder", options: StartOptions
) -> "LoadedModel | None":
    """Load the model to fine-tune; None if there is none, or if the run is resumed."""
    from s2s_cli.training.initialize import load_pretrained

    is_resumed = run.has_vocabularies() and run.checkpoints() and not options.is_fresh
    if config.training.init_from is None or is_resumed:
        return None
    return load_pretrained(config.training.init_from)


def _as_run(config: "Config", vocabularies: "Vocabularies") -> "Config":
    """Return the settings for the run folder: the actual vocabulary sizes, and absolute paths."""
    from s2s_cli.vocabularies import sizes_of

    card = vocabularies.card
    vocab = config.vocab.model_copy(update={**sizes_of(card), "shared": card.shared})
    # Absolute, because the run may be resumed from another working directory.
    data = config.data.model_copy(update={"folder": str(Path(config.data.folder).absolute())})
    model = config.training.init_from
    init_from = None if model is None else str(Path(model).absolute())
    training = config.training.model_copy(update={"init_from": init_from})
    return config.model_copy(update={"vocab": vocab, "data": data, "training": training})


def _find_cards(train: "Dataset") -> dict[str, object]:
    """Find the cards of synthetic tables among the training text, for `run.json`."""
    from s2s_cli.console import warn
    from s2s_cli.data.synthetic import find_cards

    cards, stale = find_cards(train.manifest.texts)
    for path in stale:
        warn(
            f"{path}: describes another version of its table and is not recorded in run.json; "
            "make the table again with `s2s augment`, or delete the card"
        )
    return {name: card.model_dump(mode="json") for name, card in cards.items()}


def _write_run_info(
    name: str,
    config: "Config",
    trainer: "Trainer",
    device: "torch.device",
    cards: "Mapping[str, object]",
) -> None:
    """Write the settings and the facts about the run to its folder, and truncate its log."""
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
    if cards:
        facts["synthetic"] = cards
    if trainer.record.position.step and not trainer.is_finished():
        _report_other_machine(run, facts)
    write_file(run.facts_path, to_json(facts))
    say(f"model: {num_parameters:,} weights")


def _report_other_machine(run: "RunFolder", facts: "Mapping[str, object]") -> None:
    """Report a change of machine or PyTorch, with which the weights are not reproducible."""
    from s2s_cli.console import say

    try:
        saved = json.loads(run.facts_path.read_bytes())
        changed = [
            f"{key} {saved[key]} -> {facts[key]}"
            for key in ("machine", "torch_version")
            if saved[key] != facts[key]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if changed:
        say(f"resumed elsewhere ({', '.join(changed)}): the weights will not be the same bytes")


def _check_vocabularies(
    config: "Config",
    run: "RunFolder",
    found: "Vocabularies",
    origin: "Mapping[str, str]",
    options: StartOptions,
) -> bool:
    """Whether the vocabularies of the run folder are those that the recipe would build.

    Raises:
        ConfigError: they come from other text or other settings, and `--fresh` is not given.
    """
    from s2s_cli.console import say
    from s2s_cli.vocabularies import check_vocabularies, describe_vocabularies, sizes_of

    card = found.card
    wanted = describe_vocabularies(config, origin.values())
    if config.training.init_from is not None:
        # The run has the vocabularies of the pretrained model, whatever the recipe would build.
        own = {"trained_on": card.trained_on, "shared": card.shared, **sizes_of(card)}
        wanted = wanted.model_copy(update=own)
    if options.is_fresh and card != wanted:
        say(f"--fresh: the vocabularies in {run.vocab_path} do not match; building new ones")
        return False
    check_vocabularies(card, wanted, run)
    if options.sets_vocab and card != wanted:
        raise ConfigError(
            f"{run.vocab_path}: was built with {_describe_sizes(card)}; rebuild it with "
            "`s2s vocab build`, or train from scratch with --fresh"
        )
    return True


def _describe_sizes(card: "VocabularyCard") -> str:
    sizes = f"max_size {card.max_size}, min_freq {card.min_freq}"
    if card.character_coverage is not None:
        sizes += f", character_coverage {card.character_coverage:g}"
    return sizes


def _report_vocabularies(run: "RunFolder", vocabularies: "Vocabularies") -> None:
    """Report the existing vocabularies of the run folder."""
    from s2s_cli.console import say

    card = vocabularies.card
    src, tgt = card.describe_tokens()
    say(
        f"vocabularies in {run.vocab_path}: {card.src_lang} {len(vocabularies.src):,} "
        f"({src}), {card.tgt_lang} {len(vocabularies.tgt):,} ({tgt}); {_describe_sizes(card)}"
    )
