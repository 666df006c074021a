"""`s2s train`: fit a model to a recipe's data."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.vocab import build_vocabularies, describe_vocabularies, make_tokenizers
from s2s_cli.errors import ConfigError, DataError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from s2s_cli.checkpoint import LoadedModel, ModelCard
    from s2s_cli.config import Config
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.fit import Fit, Material, Validation

PLAIN_SECONDS = 30.0
"""Where nobody watches, a line of progress at most this often."""


def train(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Most passes over the training pairs.")
    ] = None,
    device: opt.DeviceOption = None,
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
    from s2s_cli.device import choose_device, describe_device, prepare_float32
    from s2s_cli.signals import StopRequest

    data = opt.DataOptions(
        src_lang,
        tgt_lang,
        data_dir,
        (train_src, train_tgt),
        (valid_src, valid_tgt),
        (test_src, test_tgt),
    )
    given = opt.given(training__epochs=epochs, training__device=device, training__seed=seed)
    recipe, folder = opt.make_job(config, run, [*data.overrides(), *given], sets)
    prepare_float32()
    chosen = choose_device(recipe.config.training.device)
    say(f"recipe {recipe.name}, run folder {folder.path}, device {describe_device(chosen)}")
    with StopRequest() as stop:
        fit = _prepare(recipe, folder, chosen, fresh)
        if fit.record.is_finished(fit.config):
            say(
                f"{folder.path} is trained already (epoch {fit.record.position.epoch}, best valid "
                f"BLEU {fit.record.best_bleu:.2f}); --fresh trains anew, --epochs N goes on to N"
            )
        else:
            _run(fit, stop)
        if stop.signal_number is not None:
            raise StoppedError(
                f"stopped after update {fit.record.position.step}, all saved; "
                "the same command goes on from here",
                stop.signal_number,
            )
    say(f"best valid BLEU {fit.record.best_bleu:.2f} in epoch {fit.record.best_epoch}")
    typer.echo(folder.model_path)


def _prepare(recipe: "Recipe", run: "RunFolder", device: "torch.device", fresh: bool) -> "Fit":
    """Read the data and the vocabularies; make a model, or take up the one that was begun."""
    import torch

    from s2s_cli.checkpoint import LoadedModel, build_model, make_codecs
    from s2s_cli.console import say, warn
    from s2s_cli.data.corpus import load_training
    from s2s_cli.files import write_file
    from s2s_cli.recipe import dump_yaml, load_recipe
    from s2s_cli.training.fit import Fit
    from s2s_cli.training.log import forget_after
    from s2s_cli.training.resume import check_same_run, find_resumable

    config = recipe.config
    train_text, valid_text = load_training(config.data)
    if fresh and (backup := run.set_aside()):
        say(f"--fresh: the former run was moved to {backup}")
    run.repair()
    vocabularies = _vocabularies(config, run, train_text, valid_text)
    skipped: list[str] = []
    resumable = find_resumable(run, skipped)
    for line in skipped:
        warn(f"passed over a damaged checkpoint: {line}")
    card = _make_card(config, train_text, valid_text)
    if resumable is not None:
        former = load_recipe(str(run.config_path)).config
        check_same_run(former, config, resumable, vocabularies, card.trained_on, run)
        loaded = resumable.loaded._replace(card=card)
    else:
        torch.manual_seed(config.training.seed)
        model = build_model(card.model, vocabularies.src, vocabularies.tgt)
        codecs = make_codecs(
            card.text, card.src_lang, card.tgt_lang, vocabularies.src, vocabularies.tgt
        )
        loaded = LoadedModel(model, *codecs, card)
    loaded.model.to(device)
    material = _encode(config, loaded, train_text, valid_text)
    fit = Fit(loaded, material, config.training, run)
    if resumable is not None:
        fit.restore(resumable.state)
        epoch, _, step = fit.record.position
        say(f"resumed after update {step:,}, in epoch {epoch + 1}")
    forget_after(run.log_path, fit.record.position.step)
    write_file(run.config_path, dump_yaml(config))
    say(f"model: {loaded.model.num_parameters():,} weights")
    return fit


def _vocabularies(
    config: "Config", run: "RunFolder", train_text: "Corpus", valid_text: "Corpus"
) -> "Vocabularies":
    """The run folder's vocabularies, built if missing, refused if they are of other text."""
    from s2s_cli.console import say

    if not run.has_vocabularies():
        say(f"no vocabularies in {run.vocab_path}: building them")
        return build_vocabularies(config, run, train_text, valid_text)
    vocabularies = run.load_vocabularies()
    wanted, found = describe_vocabularies(config, train_text), vocabularies.card
    sizes = {"max_size": found.max_size, "min_freq": found.min_freq}
    for key, value in wanted.model_copy(update=sizes):
        if getattr(found, key) != value:
            what = "other text" if key == "trained_on" else f"{key} {getattr(found, key)}"
            raise ConfigError(
                f"{run.vocab_path}: was built with {what}; build it anew with `s2s vocab build` "
                "and the same options, or train elsewhere with --run DIR"
            )
    say(
        f"vocabularies of {run.vocab_path}: {found.src_lang} {len(vocabularies.src):,} entries "
        f"({found.src_tokenizer}), {found.tgt_lang} {len(vocabularies.tgt):,} "
        f"({found.tgt_tokenizer}); max_size {found.max_size}, min_freq {found.min_freq}"
    )
    return vocabularies


def _make_card(config: "Config", train_text: "Corpus", valid_text: "Corpus") -> "ModelCard":
    from s2s_cli.checkpoint import ModelCard, s2s_version
    from s2s_cli.text.tokenizer import choose_tokenizer

    data, text = config.data, config.text
    resolved = {
        "src_tokenizer": choose_tokenizer(text.src_tokenizer, data.src_lang),
        "tgt_tokenizer": choose_tokenizer(text.tgt_tokenizer, data.tgt_lang),
    }
    return ModelCard(
        s2s_version=s2s_version(),
        src_lang=data.src_lang,
        tgt_lang=data.tgt_lang,
        text=text.model_copy(update=resolved),
        model=config.model,
        decoding=config.decoding,
        trained_on={"train": train_text.origin, "valid": valid_text.origin},
        epoch=0,
        step=0,
        valid_scores={},
    )


def _encode(
    config: "Config", loaded: "LoadedModel", train_text: "Corpus", valid_text: "Corpus"
) -> "Material":
    """Tokenise and encode both splits, saying how much was left out."""
    from s2s_cli.console import say
    from s2s_cli.data.tokenized import encode_corpus, tokenize_corpus
    from s2s_cli.training.fit import Material

    tokenizers = make_tokenizers(config)
    vocabularies = loaded.src.vocabulary, loaded.tgt.vocabulary
    train = encode_corpus(
        tokenize_corpus(train_text, *tokenizers), *vocabularies, config.data.max_length
    )
    valid = encode_corpus(tokenize_corpus(valid_text, *tokenizers), *vocabularies)
    for name, corpus, text in (("train", train, train_text), ("valid", valid, valid_text)):
        if not corpus.pairs:
            raise DataError(
                f"data.{name}: no pair of {text.name} is left; check data.max_length and the text"
            )
        left_out = [
            f"{number:,} {reason}"
            for number, reason in (
                (text.num_blank, "with a blank side"),
                (corpus.num_too_long, f"longer than {config.data.max_length} tokens"),
                (corpus.num_empty, "without tokens"),
            )
            if number
        ]
        tail = f"; left out: {', '.join(left_out)}" if left_out else ""
        say(f"{name}: {len(corpus.pairs):,} pairs, {corpus.num_tgt_tokens():,} target tokens{tail}")
    return Material(train, valid, valid_text)


def _run(fit: "Fit", stop: "StopRequest") -> None:
    """Consume the training: show it, and log each validation."""
    from s2s_cli.console import is_terminal, say, training_bar
    from s2s_cli.training.loop import Progress

    if not is_terminal():
        shown = time.monotonic()
        for event in fit.steps(stop.is_set):
            if not isinstance(event, Progress):
                _log(fit, event)
                for line in _describe(event):
                    say(line)
            elif time.monotonic() - shown > PLAIN_SECONDS:
                shown = time.monotonic()
                epoch, batch, _ = event.position
                say(f"epoch {epoch + 1}: {batch / event.num_batches:4.0%}  {_status(fit)}")
        return
    with training_bar() as bar:
        label = ""
        for event in fit.steps(stop.is_set):
            if not isinstance(event, Progress):
                _log(fit, event)
                for line in _describe(event):
                    bar.say(line)
                continue
            epoch, batch, _ = event.position
            if label != (label := f"epoch {epoch + 1}/{fit.config.epochs}"):
                bar.begin(label, event.num_batches, batch)
            bar.advance(batch, _status(fit))


def _status(fit: "Fit") -> str:
    """How the present epoch goes."""
    record = fit.record
    loss = record.epoch_loss / max(1, record.epoch_tokens)
    speed = record.epoch_tokens / max(1e-9, record.epoch_seconds)
    best = f"  best BLEU {record.best_bleu:.2f}" if record.best_epoch else ""
    return f"loss {loss:.3f}  {speed:,.0f} tokens/s{best}"


def _describe(validation: "Validation") -> "Iterator[str]":
    """An epoch's result on the validation set, and one translation to watch the model learn."""
    v = validation
    yield (
        f"epoch {v.epoch}  loss {v.train_loss:.3f}  valid {v.loss:.3f}  ppl {v.perplexity:.2f}  "
        f"acc {v.accuracy:.1%}  BLEU {v.bleu:.2f}{' best' if v.is_best else ''}  "
        f"{v.tokens_per_second:,.0f} tokens/s  {v.seconds + v.valid_seconds:.0f} s"
    )
    source, reference, translation = v.example
    yield f"  {source} -> {translation} (reference: {reference})"


def _log(fit: "Fit", validation: "Validation") -> None:
    from s2s_cli.training.log import append_validation

    append_validation(fit.run.log_path, validation)
