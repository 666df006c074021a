"""`s2s train`: fit a model to a recipe's data."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.preparing import preparing
from s2s_cli.commands.progress import describe_best, describe_chosen, describe_end, follow
from s2s_cli.commands.together import together
from s2s_cli.errors import ConfigError, StoppedError

if TYPE_CHECKING:
    import torch

    from s2s_cli.config import Config
    from s2s_cli.launch import Launch
    from s2s_cli.preparation.preparation import Preparation
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.fit import Fit
    from s2s_cli.training.setup import Texts


def train(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Most passes over the training pairs.")
    ] = None,
    device: opt.DeviceOption = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="NAME", help="float32, or bf16: faster, less exact."),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Fine-tune: begin with this model's weights."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh/--resume",
            help="Train anew, keeping an older run aside; or go on where it stopped (default).",
        ),
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seeds everything.")] = None,
    src_lang: opt.SrcLangOption = None,
    tgt_lang: opt.TgtLangOption = None,
    data_dir: opt.DataDirOption = None,
    train_src: opt.TrainSrcOption = None,
    train_tgt: opt.TrainTgtOption = None,
    valid_src: opt.ValidSrcOption = None,
    valid_tgt: opt.ValidTgtOption = None,
    test_src: opt.TestSrcOption = None,
    test_tgt: opt.TestTgtOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Train a model, resuming an interrupted run; prints the model folder."""
    from s2s_cli.console import say
    from s2s_cli.launch import read_launch
    from s2s_cli.signals import StopRequest

    process = read_launch()
    on_request = _say_stopping if process.is_first else _say_nothing
    # Before anything heavy is imported: some imports swallow a KeyboardInterrupt.
    with together(process) as launch, StopRequest(on_request) as stop:
        data = opt.DataOptions(
            src_lang,
            tgt_lang,
            data_dir,
            (train_src, train_tgt),
            (valid_src, valid_tgt),
            (test_src, test_tgt),
        )
        given = opt.given(
            training__epochs=epochs,
            training__device=device,
            training__seed=seed,
            training__precision=precision,
            training__init_from=None if init_from is None else str(init_from.absolute()),
        )
        former = _settings_of(init_from) if init_from is not None and config is None else []
        job = opt.make_job(config, run, [*former, *data.overrides(), *given], sets)
        warn_of_idle(job.recipe.config)
        # Begun anew by torchrun, the run is not to be thrown away a second time.
        is_fresh = fresh and not launch.num_restarts
        if fresh and not is_fresh:
            say("begun again by torchrun: --fresh was heeded the first time")
        how = How(is_fresh, any(text.startswith("vocab.") for text in sets or ()))
        _train(job, how, stop, launch)


def _settings_of(model: Path) -> list[tuple[str, object]]:
    """What a model to begin with decides, where no recipe is named."""
    from s2s_cli.console import say
    from s2s_cli.training.warm_start import load_former

    card = load_former(str(model)).card
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


def warn_of_idle(config: "Config") -> None:
    """Name the keys that were set and do nothing."""
    from s2s_cli.config import find_idle
    from s2s_cli.console import warn

    for problem in find_idle(config):
        warn(problem)


def _train(job: opt.Job, how: "How", stop: "StopRequest", launch: "Launch") -> None:
    from s2s_cli.console import say
    from s2s_cli.device import choose_device, describe_device, prepare_device
    from s2s_cli.distributed import present_ranks
    from s2s_cli.training.agreement import agree

    recipe, folder = job
    prepare_device()
    device = choose_device(recipe.config.training.device, launch)
    ranks = present_ranks()
    several = f", the first of {ranks.size} processes" if ranks.size > 1 else ""
    say(
        f"recipe {recipe.name}, run folder {folder.path}, device {describe_device(device)}{several}"
    )
    with ranks.in_turn():
        fit = _prepare(recipe, folder, device, how, stop)
    agree(fit)
    if fit.is_finished():
        say(f"{folder.path} is trained already: {describe_end(fit)}; --fresh trains anew")
    elif not ranks.most(stop.is_set()):
        follow(fit, stop)
    number = int(ranks.most(stop.signal_number or 0))
    if number and not fit.is_finished():
        raise StoppedError(
            f"stopped after update {fit.record.position.step}, all saved; "
            "the same command goes on from here",
            number,
        )
    say(f"best valid {describe_best(fit)}, {describe_chosen(fit)}")
    if ranks.is_first:
        typer.echo(folder.model_path)


def _say_stopping() -> None:
    sys.stderr.write("\nstopping after this update; once more stops at once, without saving\n")


def _say_nothing() -> None:
    """Leave it to the first process."""


class How(NamedTuple):
    """What the options say about an older run and its vocabularies."""

    is_fresh: bool
    names_sizes: bool
    """Whether `--set vocab.*` asks for vocabularies of certain sizes."""


class Found(NamedTuple):
    """The vocabularies that a run is to have."""

    vocabularies: "Vocabularies"
    is_new: bool
    """Whether they are yet to be written to the run folder."""


def _prepare(
    recipe: "Recipe", run: "RunFolder", device: "torch.device", how: How, stop: "StopRequest"
) -> "Fit":
    """Read the data and the vocabularies; make a model, or take up the one that was begun."""
    with preparing(recipe, run, stop=stop) as preparation:
        fit, config = _begin(recipe, run, preparation, device, how)
    if fit.ranks.is_first:
        _write_record(recipe.name, config, fit, device)
    return fit


def _begin(
    recipe: "Recipe",
    run: "RunFolder",
    preparation: "Preparation",
    device: "torch.device",
    how: How,
) -> "tuple[Fit, Config]":
    from s2s_cli.console import say
    from s2s_cli.distributed import present_ranks
    from s2s_cli.training.setup import (
        Plan,
        begin,
        begin_or_resume,
        encode_texts,
        make_card,
        read_texts,
    )

    ranks = present_ranks()
    is_known = run.has_vocabularies() or recipe.config.training.init_from is not None
    texts = read_texts(recipe.config, preparation, is_known=is_known)
    vocabularies, is_new = _vocabularies(recipe.config, run, texts, how)
    material = encode_texts(recipe.config, texts, vocabularies, say)
    if not is_new and not run.checkpoints():
        # Work that need not be done again, should the model be refused; but what a run was begun
        # with stays until it is known that it goes on with this.
        preparation.commit()
    config = _as_run(recipe.config, vocabularies)
    card = make_card(config, texts, vocabularies)
    plan = Plan(config, run, card, vocabularies, material, device, ranks)
    if not ranks.is_first:
        return begin(plan, say) if how.is_fresh else begin_or_resume(plan, say), config
    if how.is_fresh:
        fit = begin(plan, say)
        # Every check of the input is behind us: only now may an older run be moved.
        if backup := run.set_aside():
            say(f"--fresh: the former run was moved to {backup}")
        run.repair()
    else:
        run.repair()
        fit = begin_or_resume(plan, say)
    if is_new:
        run.save_vocabularies(vocabularies)
    preparation.commit()
    return fit, config


def _as_run(config: "Config", vocabularies: "Vocabularies") -> "Config":
    """The recipe as it is run: vocabularies may have been built, or taken over, with other keys."""
    from s2s_cli.vocabularies import sizes_of

    card = vocabularies.card
    vocab = config.vocab.model_copy(update={**sizes_of(card), "shared": card.shared})
    data = config.data.model_copy(update={"folder": str(Path(config.data.folder).absolute())})
    return config.model_copy(update={"vocab": vocab, "data": data})


def _write_record(name: str, config: "Config", fit: "Fit", device: "torch.device") -> None:
    """What the run folder says about itself."""
    from s2s_cli.console import say
    from s2s_cli.files import write_file
    from s2s_cli.recipe import dump_yaml
    from s2s_cli.sealed import to_json
    from s2s_cli.training.log import forget_after
    from s2s_cli.training.provenance import describe_run

    run = fit.run
    forget_after(run.log_path, fit.record.position.step)
    write_file(run.config_path, dump_yaml(config))
    num_parameters = fit.loaded.model.num_parameters()
    write_file(run.facts_path, to_json(describe_run(name, num_parameters, device, fit.ranks)))
    say(f"model: {num_parameters:,} weights")


def _vocabularies(config: "Config", run: "RunFolder", texts: "Texts", how: How) -> Found:
    """The run folder's vocabularies, refused if they are of other text; else new ones."""
    from s2s_cli.console import say
    from s2s_cli.vocabularies import check_vocabularies, describe_vocabularies, sizes_of

    if not run.has_vocabularies():
        return Found(_new_vocabularies(config, run, texts), is_new=True)
    vocabularies = run.load_vocabularies()
    found, wanted = (
        vocabularies.card,
        describe_vocabularies(config, texts.train.facts().origin.values()),
    )
    if config.training.init_from is not None:
        if how.is_fresh:
            return Found(_new_vocabularies(config, run, texts), is_new=True)
        # Those of the model with which the run was begun, whatever the recipe would have built.
        own = {"trained_on": found.trained_on, "shared": found.shared, **sizes_of(found)}
        wanted = wanted.model_copy(update=own)
    if how.is_fresh and found != wanted:
        say(f"--fresh: the vocabularies of {run.vocab_path} do not fit; building them anew")
        return Found(_new_vocabularies(config, run, texts), is_new=True)
    check_vocabularies(found, wanted, run)
    sizes = f"max_size {found.max_size}, min_freq {found.min_freq}"
    if found.character_coverage is not None:
        sizes += f", character_coverage {found.character_coverage:g}"
    if how.names_sizes and found != wanted:
        raise ConfigError(
            f"{run.vocab_path}: was built with {sizes}; give `s2s vocab build` the other "
            "sizes, or train anew with --fresh"
        )
    src, tgt = found.describe_tokens()
    say(
        f"vocabularies of {run.vocab_path}: {found.src_lang} {len(vocabularies.src):,} "
        f"({src}), {found.tgt_lang} {len(vocabularies.tgt):,} ({tgt}); {sizes}"
    )
    return Found(vocabularies, is_new=False)


def _new_vocabularies(config: "Config", run: "RunFolder", texts: "Texts") -> "Vocabularies":
    """Vocabularies of the training text, or of the model that the training begins with."""
    from s2s_cli.commands.vocab import show_vocabularies
    from s2s_cli.console import say
    from s2s_cli.data.tokenized import count_tokens
    from s2s_cli.preparation.learning import learn_vocabularies
    from s2s_cli.training.warm_start import adopt_vocabularies, load_former

    if config.training.init_from is not None:
        say(f"vocabularies: those of {config.training.init_from}")
        return adopt_vocabularies(config, load_former(config.training.init_from))
    if not run.has_vocabularies():
        say(f"no vocabularies in {run.vocab_path}: building them")
    vocabularies, counts = learn_vocabularies(config, texts.train, say)
    valid = count_tokens(texts.valid_words, vocabularies.subwords)
    show_vocabularies(vocabularies, run, {"train": counts, "valid": valid})
    return vocabularies
