"""`s2s vocab`: build and show vocabularies."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.inherited_settings import make_job_of_run
from s2s_cli.commands.languages import check_scripts
from s2s_cli.commands.progress import WorkersOption, preparing
from s2s_cli.commands.usage import Command
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s2s_cli.prepare import Workers
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder, Vocabularies
    from s2s_cli.vocabularies import TokenCounts

app = typer.Typer(no_args_is_help=True, help="Build and show vocabularies.")


@app.command("build", cls=Command)
def build(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    max_size: Annotated[
        int | None,
        typer.Option("--max-size", min=5, help="Maximum entries per side, with the four markers."),
    ] = None,
    min_freq: Annotated[
        int | None,
        typer.Option(
            "--min-freq", min=1, help="Minimum count of a word; rarer words become <unk>."
        ),
    ] = None,
    src_lang: opt.SrcLangOption = None,
    tgt_lang: opt.TgtLangOption = None,
    data_dir: opt.DataDirOption = None,
    train_src: opt.TrainSrcOption = None,
    train_tgt: opt.TrainTgtOption = None,
    valid_src: opt.ValidSrcOption = None,
    valid_tgt: opt.ValidTgtOption = None,
    on_bad_utf8: opt.OnBadUtf8Option = None,
    workers: WorkersOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Learn subwords, count tokens and encode the data; writes runs/<recipe>/vocab/ and data/."""
    from s2s_cli.console import warn
    from s2s_cli.storage.lock import locked

    data = opt.DataOptions(
        src_lang,
        tgt_lang,
        data_dir,
        (train_src, train_tgt),
        (valid_src, valid_tgt),
        on_bad_utf8=on_bad_utf8,
    )
    sizes = opt.given(vocab__max_size=max_size, vocab__min_freq=min_freq)
    job = make_job_of_run(run, data, sizes, sets or ()) if config is None else None
    if job is None:
        job = opt.make_job(config, run, [*data.overrides(sets or ()), *sizes], sets)
    recipe, folder = job.recipe, job.run
    if (model := recipe.config.training.init_from) is not None:
        raise ConfigError(
            f"training.init_from {model}: fine-tuning keeps the vocabularies of that model, so "
            "there are none to build; `s2s train` encodes the text"
        )
    opt.warn_of_unused(recipe.config, ("data", "text", "vocab"))
    check_scripts(recipe.config.data, job.explicit)
    with locked(folder.path, warn), preparing(workers) as pool:
        _build(recipe, folder, pool)


def _build(recipe: "Recipe", folder: "RunFolder", workers: "Workers") -> None:
    """Build the vocabularies and encode all splits, even if they exist already."""
    from s2s_cli.commands.data_warnings import warn_of_amounts, warn_of_leaked_splits
    from s2s_cli.console import say, warn
    from s2s_cli.prepare import prepare

    def inspect(vocabularies: "Vocabularies", counts: "Mapping[str, TokenCounts]") -> None:
        show_vocabularies(vocabularies, folder, counts)

    folder.repair()
    prepared = prepare(recipe.config, folder.data_path, workers, inspect=inspect)
    folder.save_vocabularies(prepared.vocabularies)
    for note in prepared.notes:
        say(note)
    for warning in prepared.warnings:
        warn(warning)
    for name, dataset in prepared.datasets.items():
        counts = dataset.manifest.counts
        for number, reason in (
            (counts.blank, "with a blank side"),
            (counts.not_utf8, "that are not UTF-8"),
        ):
            if number:
                say(f"{name}: {number:,} pairs {reason} left out")
    warn_of_leaked_splits(prepared.datasets)
    warn_of_amounts(recipe.config, prepared.datasets)


@app.command("show", cls=Command)
def show(
    sentence: Annotated[
        str | None, typer.Argument(help="Sentence whose tokens, ids and unknown tokens to show.")
    ] = None,
    side: Annotated[
        Literal["src", "tgt"], typer.Option("--side", help="Side of the vocabulary.")
    ] = "src",
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="CODE",
            help="Language of the sentence, for vocabularies of several languages.",
            callback=opt.check_language,
        ),
    ] = None,
    head: Annotated[int, typer.Option("--head", min=0, help="Number of entries to print.")] = 20,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
) -> None:
    """Print the start of a vocabulary, or the tokens of a sentence."""
    from s2s_cli.console import write_result
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe
    from s2s_cli.run import RUNS, RunFolder

    folder = RunFolder(run or RUNS / load_recipe(config or DEFAULT_RECIPE).name)
    vocabularies = folder.load_vocabularies()
    if sentence is not None:
        _show_sentence(sentence, vocabularies, side, lang)
        return
    vocabulary = vocabularies.src if side == "src" else vocabularies.tgt
    for token_id in range(min(head, len(vocabulary))):
        row = (token_id, vocabulary.tokens[token_id], vocabulary.counts[token_id])
        write_result("\t".join(map(str, row)))


def _show_sentence(
    sentence: str, vocabularies: "Vocabularies", side: Literal["src", "tgt"], lang: str | None
) -> None:
    """Print the tokens, ids and unknown tokens of a sentence.

    Raises:
        ConfigError: the tokeniser depends on the language, which is not given.
    """
    from s2s_cli.console import write_result
    from s2s_cli.text.tokenizer import make_tokenizer
    from s2s_cli.text.word_boundaries import depends_on_language

    card = vocabularies.card
    vocabulary = vocabularies.src if side == "src" else vocabularies.tgt
    name, own_lang, subwords = (
        (card.src_tokenizer, card.src_lang, vocabularies.subwords[0])
        if side == "src"
        else (card.tgt_tokenizer, card.tgt_lang, vocabularies.subwords[1])
    )
    if lang is None and card.directions and depends_on_language(name):
        raise ConfigError(
            f"--lang: missing; the vocabulary is for {', '.join(card.directions)}, and the "
            "tokeniser depends on the language; name the language of the sentence"
        )
    tokenizer = make_tokenizer(
        name, lang or own_lang, card.lowercase, subwords, card.normalize, card.chinese
    )
    tokens = tokenizer.tokenize(sentence)
    write_result(f"tokens\t{' '.join(tokens)}")
    write_result(f"ids\t{' '.join(map(str, vocabulary.encode(tokens)))}")
    write_result(f"unknown\t{' '.join(token for token in tokens if token not in vocabulary)}")


def show_vocabularies(
    vocabularies: "Vocabularies", run: "RunFolder", splits: "Mapping[str, TokenCounts]"
) -> None:
    """Print the tokenisers of the vocabularies, and their coverage of each split."""
    from s2s_cli.console import say

    card = vocabularies.card
    src, tgt = card.describe_tokens()
    say(
        f"tokenisers: {card.src_lang} {src}, {card.tgt_lang} {tgt}"
        f"{'; lower-cased' if card.lowercase else ''}{'; one vocabulary' if card.shared else ''}"
    )
    sides = (card.src_lang, vocabularies.src), (card.tgt_lang, vocabularies.tgt)
    for (lang, vocabulary), subwords in zip(sides, vocabularies.subwords, strict=True):
        if subwords is not None and len(vocabulary) < card.max_size:
            say(
                f"{lang}: the text gives only {len(vocabulary):,} of "
                f"{card.max_size:,} entries (vocab.max_size)"
            )
    show_coverage(f"vocabularies in {run.vocab_path}", vocabularies, splits)


def show_coverage(
    title: str, vocabularies: "Vocabularies", splits: "Mapping[str, TokenCounts]"
) -> None:
    """Print a table of how much of each split the vocabularies cover."""
    from s2s_cli.console import show_table
    from s2s_cli.vocabularies import measure_coverage

    has_subwords = vocabularies.subwords != (None, None)
    rows = []
    for name, counts in splits.items():
        for label, *numbers, share, per_word in measure_coverage(name, counts, vocabularies):
            row = (label, *(f"{number:,}" for number in numbers), f"{100 * share:.2f} %")
            rows.append((*row, f"{per_word:.2f}" if per_word else "") if has_subwords else row)
    columns = ("", "lines", "tokens", "types", "kept", "coverage")
    show_table(
        title,
        (*columns, "tokens/word") if has_subwords else columns,
        rows,
    )
