"""`s2s train`: fit a model to a recipe's data."""

import sys
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.inherited_settings import (
    check_languages,
    check_recipes_vocab,
    find_own_config,
    name_recipe,
    refuse_vocab_sets,
    settings_of,
)
from s2s_cli.commands.languages import check_scripts
from s2s_cli.commands.processes import join_processes
from s2s_cli.commands.progress import describe_best, describe_end, describe_selected, follow
from s2s_cli.commands.start import FRESH, StartOptions, start
from s2s_cli.errors import ConfigError, DataError, NotFiniteError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2s_cli.config import Config
    from s2s_cli.launch import Launch
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder
    from s2s_cli.signals import StopRequest


def train(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Most passes over the training pairs.")
    ] = None,
    device: opt.DeviceOption = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="NAME",
            help="float32, tf32 or fp16 (both GPU only), or bf16, fastest last.",
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Fine-tune this model."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="Train from scratch and set an older run aside, or resume it (default).",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of all random choices.")
    ] = None,
    src_lang: opt.SrcLangOption = None,
    tgt_lang: opt.TgtLangOption = None,
    data_dir: opt.DataDirOption = None,
    train_src: opt.TrainSrcOption = None,
    train_tgt: opt.TrainTgtOption = None,
    valid_src: opt.ValidSrcOption = None,
    valid_tgt: opt.ValidTgtOption = None,
    test_src: opt.TestSrcOption = None,
    test_tgt: opt.TestTgtOption = None,
    on_bad_utf8: opt.OnBadUtf8Option = None,
    sets: opt.SetOption = None,
) -> None:
    """Train a model, resuming an interrupted run; prints the model folder."""
    from s2s_cli.console import say, warn
    from s2s_cli.launch import read_launch
    from s2s_cli.signals import StopRequest
    from s2s_cli.storage.lock import locked

    process = read_launch()
    on_request = _say_stopping if process.is_first else _say_nothing
    # Before anything heavy is imported: some imports swallow a KeyboardInterrupt.
    with join_processes(process) as launch, StopRequest(on_request) as stop:
        data = opt.DataOptions(
            src_lang,
            tgt_lang,
            data_dir,
            (train_src, train_tgt),
            (valid_src, valid_tgt),
            (test_src, test_tgt),
            on_bad_utf8,
        )
        given = opt.given(
            training__epochs=epochs,
            training__device=device,
            training__seed=seed,
            training__precision=precision,
            training__init_from=None if init_from is None else str(init_from.absolute()),
        )
        asked = _Asked(config, run, init_from, data, given, sets or ())
        job, are_languages_named = _make_job(asked)
        warn_of_unused(job.recipe.config)
        # Begun anew by torchrun, the run is not to be thrown away a second time.
        is_heeded = launch.marks.has(FRESH) if launch.marks else launch.num_restarts > 0
        if fresh and is_heeded:
            say("begun again by torchrun: --fresh was heeded the first time")
        names_sizes = any(text.startswith("vocab.") for text in sets or ())
        how = StartOptions(fresh and not is_heeded, names_sizes, are_languages_named, launch.marks)
        with locked(job.run.path, warn) if launch.is_first else nullcontext():
            _train(job, how, stop, launch)


class _Asked(NamedTuple):
    """What the options say about the settings."""

    config: str | None
    run: Path | None
    init_from: Path | None
    data: opt.DataOptions
    given: Sequence[tuple[str, object]]
    """Keys that options set."""
    sets: Sequence[str]


def _make_job(asked: _Asked) -> tuple[opt.Job, bool]:
    """The recipe with all overrides, and whether anybody named the languages of the text.

    Without a recipe, a run that exists goes on with its own settings, and fine-tuning takes those
    of the model to begin with.
    """
    from s2s_cli.console import say

    config, run, init_from, data, given, sets = asked
    keys = {text.partition("=")[0].strip() for text in sets}
    if config is None and init_from is None and run is not None:
        own = find_own_config(run, data)
        if own is not None:
            say(f"settings: those of {own}; options override them")
            job = opt.make_job(str(own), run, [*data.overrides(), *given], sets)
            return job._replace(recipe=job.recipe._replace(name=name_recipe(run))), True
    former = settings_of(init_from) if init_from is not None and config is None else []
    job = opt.make_job(config, run, [*data.overrides(), *given], sets, former)
    are_languages_named = bool(
        config or data.src_lang or data.tgt_lang or keys & {"data.src_lang", "data.tgt_lang"}
    )
    if job.recipe.config.training.init_from is not None:
        refuse_vocab_sets(job.recipe.config, sets)
        if config is not None:
            is_option = init_from is not None or "training.init_from" in keys
            check_recipes_vocab(job.recipe.config, names_model=not is_option)
        if not are_languages_named:
            check_languages(job.recipe.config)
    return job, are_languages_named


def warn_of_unused(config: "Config") -> None:
    """Name the keys that were set and have no effect."""
    from s2s_cli.console import warn
    from s2s_cli.unused_settings import find_unused

    for unused in find_unused(config):
        warn(unused.describe())


def _train(job: opt.Job, how: StartOptions, stop: "StopRequest", launch: "Launch") -> None:
    from s2s_cli.console import say, write_result
    from s2s_cli.device import allow_tf32, choose_device, describe_device, prepare_device
    from s2s_cli.parallel import current_ranks
    from s2s_cli.training.memory import check_memory
    from s2s_cli.training.resume import agree

    recipe, folder = job.recipe, job.run
    prepare_device()
    device = choose_device(recipe.config.training.device, launch)
    if recipe.config.training.precision == "tf32":
        allow_tf32(device)
    ranks = current_ranks()
    several = f", the first of {ranks.size} processes" if ranks.size > 1 else ""
    say(
        f"recipe {recipe.name}, run folder {folder.path}, device {describe_device(device)}{several}"
    )
    # Before minutes of reading; its vocabularies count later.
    check_memory(recipe.config, device, num_processes=launch.local_size)
    with ranks.rank_zero_first():
        check_scripts(recipe.config.data, job.explicit)
        trainer = start(recipe, folder, device, how, stop)
    agree(trainer)
    if trainer.is_finished():
        end = describe_end(trainer)
        say(f"{folder.path} is trained already: {end}; --fresh trains from scratch")
    elif not ranks.max(stop.is_set()):
        with naming_lines(recipe, folder):
            follow(trainer, stop)
    number = int(ranks.max(stop.signal_number or 0))
    if number and not trainer.is_finished():
        raise StoppedError(
            f"stopped after update {trainer.record.position.step}, all saved; "
            "the same command goes on from here",
            number,
        )
    if not trainer.record.best_epoch:
        raise ConfigError(
            f"{folder.path}: training diverged in every epoch, so there is no model; lower "
            f"training.learning_rate ({recipe.config.training.peak_learning_rate:g}) and train "
            "from scratch with --fresh"
        )
    say(f"best valid {describe_best(trainer)}, {describe_selected(trainer)}")
    if ranks.is_first:
        write_result(str(folder.model_path))


MOST_NAMED = 8
"""Lines that are shown of an update that went wrong."""


@contextmanager
def naming_lines(recipe: "Recipe", run: "RunFolder") -> "Iterator[None]":
    """Show the lines of the text that a training could not learn from."""
    from s2s_cli.console import say
    from s2s_cli.data.dataset import Dataset
    from s2s_cli.data.locations import locate_pairs

    try:
        yield
    except NotFiniteError as error:
        with suppress(DataError):  # The text is gone or has changed: the error below is reported.
            dataset = Dataset.open(run.data_path / "train")
            numbers = [dataset.number_in_text(pair) for pair in error.pairs[:MOST_NAMED]]
            for line in locate_pairs(recipe.config.data, numbers):
                say(f"  {line}")
        if (rest := len(error.pairs) - MOST_NAMED) > 0:
            say(f"  and {rest} more")
        raise


def _say_stopping() -> None:
    sys.stderr.write("\nstopping after this update; once more stops at once, without saving\n")


def _say_nothing() -> None:
    """Leave it to the first process."""
