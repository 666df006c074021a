"""`s2s train`: train a model on the data of a recipe."""

import sys
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.inherited_settings import (
    check_languages,
    check_recipes_vocab,
    make_job_of_run,
    refuse_vocab_sets,
    settings_of,
)
from s2s_cli.commands.languages import check_scripts
from s2s_cli.commands.processes import join_processes
from s2s_cli.commands.progress import (
    describe_best,
    describe_course,
    describe_end,
    describe_selected,
    run_training,
)
from s2s_cli.commands.start import FRESH, StartOptions, choose_training_device, start
from s2s_cli.errors import ConfigError, DataError, NotFiniteError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2s_cli.launch import Launch
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.trainer import Trainer


def train(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Maximum number of epochs.")
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
            help="Move an existing run aside and train from scratch, or resume it (default).",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed for all random numbers.")
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
    from s2s_cli.console import warn
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
        overrides = opt.given(
            training__epochs=epochs,
            training__device=device,
            training__seed=seed,
            training__precision=precision,
            training__init_from=None if init_from is None else str(init_from.absolute()),
        )
        job, are_languages_named = _make_job(config, run, init_from, data, overrides, sets or ())
        opt.warn_of_unused(job.recipe.config)
        options = StartOptions(
            is_fresh=fresh and not _was_fresh_heeded(launch),
            sets_vocab=any(text.startswith("vocab.") for text in sets or ()),
            are_languages_named=are_languages_named,
            marks=launch.marks,
        )
        with locked(job.run.path, warn) if launch.is_first else nullcontext():
            _train(job, options, stop, launch)


def _make_job(
    config: str | None,
    run: Path | None,
    init_from: Path | None,
    data: opt.DataOptions,
    overrides: Sequence[tuple[str, object]],
    sets: Sequence[str],
) -> tuple[opt.Job, bool]:
    """Read the recipe with all overrides; report whether the languages of the text are named.

    Without a recipe, an existing run continues with its own settings, and fine-tuning takes its
    settings from the pretrained model.
    """
    if config is None and init_from is None:
        own_job = make_job_of_run(run, data, overrides, sets)
        if own_job is not None:
            return own_job, True
    inherited = settings_of(init_from) if init_from is not None and config is None else []
    job = opt.make_job(config, run, [*data.overrides(sets), *overrides], sets, inherited)
    keys = {text.partition("=")[0].strip() for text in sets}
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


def _was_fresh_heeded(launch: "Launch") -> bool:
    """Whether `--fresh` took effect before a restart by torchrun; reports it."""
    from s2s_cli.console import say

    was_heeded = launch.marks.has(FRESH) if launch.marks else launch.num_restarts > 0
    if was_heeded:
        say("restarted by torchrun: --fresh already took effect, so the run is resumed")
    return was_heeded


def _train(job: opt.Job, options: StartOptions, stop: "StopRequest", launch: "Launch") -> None:
    """Make or resume a trainer, train, and print the model folder."""
    from s2s_cli.console import say, write_result
    from s2s_cli.device import prepare_device
    from s2s_cli.parallel import current_ranks
    from s2s_cli.training.memory import check_memory
    from s2s_cli.training.resume import check_same_on_all_ranks

    recipe, folder = job.recipe, job.run
    prepare_device()
    ranks = current_ranks()
    device = choose_training_device(job, launch, ranks.size)
    # Checked before minutes of reading; the size of the vocabularies is not known yet.
    check_memory(recipe.config, device, num_processes=launch.local_size)
    with ranks.rank_zero_first():
        check_scripts(recipe.config.data, job.explicit)
        trainer = start(recipe, folder, device, options, stop)
    check_same_on_all_ranks(trainer)
    if trainer.is_finished():
        end = describe_end(trainer)
        say(f"{folder.path}: already trained: {end}; --fresh trains from scratch")
    elif not ranks.max(stop.is_set()):
        with report_failed_lines(recipe, folder):
            run_training(trainer, stop)
    _check_end(trainer, int(ranks.max(stop.signal_number or 0)))
    say(f"best valid {describe_best(trainer)}, {describe_selected(trainer)}")
    if course := describe_course(trainer):
        say(course)
    if ranks.is_first:
        write_result(str(folder.model_path))


def _check_end(trainer: "Trainer", signal_number: int) -> None:
    """Refuse to report a model if training was stopped or never gave one.

    Raises:
        StoppedError: a signal stopped the training before its end.
        ConfigError: training diverged in every epoch.
    """
    if signal_number and not trainer.is_finished():
        raise StoppedError(
            f"stopped after update {trainer.record.position.step}; everything is saved; "
            "run the same command again to continue",
            signal_number,
        )
    if not trainer.record.best_epoch:
        raise ConfigError(
            f"{trainer.run.path}: training diverged in every epoch, so there is no model; lower "
            f"training.learning_rate ({trainer.config.peak_learning_rate:g}) and train from "
            "scratch with --fresh"
        )


MAX_SHOWN = 8
"""Maximum number of lines to show of a batch whose loss or gradient is not finite."""


@contextmanager
def report_failed_lines(recipe: "Recipe", run: "RunFolder") -> "Iterator[None]":
    """Show the lines of the training text that gave a loss or gradient that is not finite."""
    from s2s_cli.console import say
    from s2s_cli.data.dataset import Dataset
    from s2s_cli.data.locations import locate_pairs

    try:
        yield
    except NotFiniteError as error:
        # If the text is gone or has changed, only the error itself is reported.
        with suppress(DataError):
            dataset = Dataset.open(run.data_path / "train")
            numbers = [dataset.number_in_text(pair) for pair in error.pairs[:MAX_SHOWN]]
            for line in locate_pairs(recipe.config.data, numbers):
                say(f"  {line}")
        if (num_hidden := len(error.pairs) - MAX_SHOWN) > 0:
            say(f"  and {num_hidden} more")
        raise


def _say_stopping() -> None:
    sys.stderr.write(
        "\nstopping at the next safe point; interrupt again to stop at once without saving\n"
    )


def _say_nothing() -> None:
    """Do nothing: the first process reports the request."""
