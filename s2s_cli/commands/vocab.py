"""`s2s vocab`: build vocabularies, and look at them."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2s_cli.commands import options as opt

if TYPE_CHECKING:
    from collections import Counter

    from s2s_cli.config import Config
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.data.tokenized import TokenizedCorpus
    from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
    from s2s_cli.text.tokenizer import Tokenizer
    from s2s_cli.text.vocabulary import Vocabulary

app = typer.Typer(no_args_is_help=True, help="Build vocabularies, and look at them.")


@app.command("build")
def build(
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    max_size: Annotated[
        int | None,
        typer.Option("--max-size", min=5, help="Most entries a side, the four markers included."),
    ] = None,
    min_freq: Annotated[
        int | None, typer.Option("--min-freq", min=1, help="Rarer tokens are unknown.")
    ] = None,
    src_lang: opt.SrcLangOption = None,
    tgt_lang: opt.TgtLangOption = None,
    data_dir: opt.DataDirOption = None,
    train_src: opt.TrainSrcOption = None,
    train_tgt: opt.TrainTgtOption = None,
    valid_src: opt.ValidSrcOption = None,
    valid_tgt: opt.ValidTgtOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Count the tokens of the training text and write runs/<recipe>/vocab/src.tsv and tgt.tsv."""
    from s2s_cli.data.corpus import load_training

    data = opt.DataOptions(
        src_lang, tgt_lang, data_dir, (train_src, train_tgt), (valid_src, valid_tgt)
    )
    sizes = opt.given(vocab__max_size=max_size, vocab__min_freq=min_freq)
    job = opt.make_job(config, run, [*data.overrides(), *sizes], sets)
    train, valid = load_training(job.recipe.config.data)
    build_vocabularies(job.recipe.config, job.run, train, valid)


@app.command("show")
def show(
    sentence: Annotated[
        str | None, typer.Argument(help="What this sentence becomes: tokens, ids, unknowns.")
    ] = None,
    side: Annotated[
        Literal["src", "tgt"], typer.Option("--side", help="Which vocabulary.")
    ] = "src",
    head: Annotated[int, typer.Option("--head", min=0, help="Entries shown.")] = 20,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
) -> None:
    """Print a vocabulary's head, or what a sentence becomes."""
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe
    from s2s_cli.run import RUNS, RunFolder
    from s2s_cli.text.codec import Codec
    from s2s_cli.text.tokenizer import make_tokenizer

    folder = RunFolder(run or RUNS / load_recipe(config or DEFAULT_RECIPE).name)
    vocabularies = folder.load_vocabularies()
    card = vocabularies.card
    vocabulary = vocabularies.src if side == "src" else vocabularies.tgt
    if sentence is None:
        for token_id in range(min(head, len(vocabulary))):
            row = (token_id, vocabulary.tokens[token_id], vocabulary.counts[token_id])
            typer.echo("\t".join(map(str, row)))
        return
    name, lang = (
        (card.src_tokenizer, card.src_lang)
        if side == "src"
        else (card.tgt_tokenizer, card.tgt_lang)
    )
    codec = Codec(make_tokenizer(name, lang, card.lowercase), vocabulary)
    tokens = codec.tokenizer.tokenize(sentence)
    typer.echo(f"tokens\t{' '.join(tokens)}")
    typer.echo(f"ids\t{' '.join(map(str, vocabulary.encode(tokens)))}")
    typer.echo(f"unknown\t{' '.join(token for token in tokens if token not in vocabulary)}")


def build_vocabularies(
    config: "Config", run: "RunFolder", train: "Corpus", valid: "Corpus"
) -> "Vocabularies":
    """Build both vocabularies, write them, and show how much of the text they know."""
    from s2s_cli.console import say, show_table
    from s2s_cli.data.tokenized import tokenize_corpus
    from s2s_cli.run import Vocabularies
    from s2s_cli.text.vocabulary import Vocabulary

    src_tokenizer, tgt_tokenizer = make_tokenizers(config)
    corpora = {
        "train": tokenize_corpus(train, src_tokenizer, tgt_tokenizer),
        "valid": tokenize_corpus(valid, src_tokenizer, tgt_tokenizer),
    }
    size, least = config.vocab.max_size, config.vocab.min_freq
    vocabularies = Vocabularies(
        Vocabulary.build(corpora["train"].count_src(), size, least),
        Vocabulary.build(corpora["train"].count_tgt(), size, least),
        describe_vocabularies(config, train),
    )
    run.save_vocabularies(vocabularies)
    say(
        f"tokenisers: {config.data.src_lang} {src_tokenizer.name}, "
        f"{config.data.tgt_lang} {tgt_tokenizer.name}"
    )
    for name, corpus in (("train", train), ("valid", valid)):
        if corpus.num_blank:
            say(f"{name}: {corpus.num_blank:,} pairs with a blank side left out")
    show_table(
        f"vocabularies in {run.vocab_path}",
        ("", "lines", "tokens", "types", "kept", "coverage"),
        _coverage_rows(corpora, vocabularies, config),
    )
    return vocabularies


def make_tokenizers(config: "Config") -> tuple["Tokenizer", "Tokenizer"]:
    """The tokenisers of a recipe, source and target."""
    from s2s_cli.text.tokenizer import make_tokenizer

    text, data = config.text, config.data
    return (
        make_tokenizer(text.src_tokenizer, data.src_lang, text.lowercase),
        make_tokenizer(text.tgt_tokenizer, data.tgt_lang, text.lowercase),
    )


def describe_vocabularies(config: "Config", train: "Corpus") -> "VocabularyCard":
    """What vocabularies built now would be built from."""
    from s2s_cli.run import VocabularyCard
    from s2s_cli.text.tokenizer import choose_tokenizer

    return VocabularyCard(
        src_lang=config.data.src_lang,
        tgt_lang=config.data.tgt_lang,
        src_tokenizer=choose_tokenizer(config.text.src_tokenizer, config.data.src_lang),
        tgt_tokenizer=choose_tokenizer(config.text.tgt_tokenizer, config.data.tgt_lang),
        lowercase=config.text.lowercase,
        max_size=config.vocab.max_size,
        min_freq=config.vocab.min_freq,
        trained_on=list(train.origin.values()),
    )


def _coverage_rows(
    corpora: "dict[str, TokenizedCorpus]", vocabularies: "Vocabularies", config: "Config"
) -> list[tuple[str, ...]]:
    def row(
        label: str, sentences: list[list[str]], counts: "Counter[str]", vocabulary: "Vocabulary"
    ) -> tuple[str, ...]:
        kept = sum(token in vocabulary for token in counts)
        numbers = (len(sentences), counts.total(), len(counts), kept)
        share = f"{100 * vocabulary.coverage(counts):.2f} %"
        return (label, *(f"{number:,}" for number in numbers), share)

    rows = []
    for name, corpus in corpora.items():
        src, tgt = config.data.src_lang, config.data.tgt_lang
        rows.append(row(f"{name} {src}", corpus.src, corpus.count_src(), vocabularies.src))
        rows.append(row(f"{name} {tgt}", corpus.tgt, corpus.count_tgt(), vocabularies.tgt))
    return rows
