"""`s2s tokenize`: convert text to tokens, and tokens to text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from s2s_cli.commands.options import check_language
from s2s_cli.commands.usage import name_given
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.text.tokenizer import Tokenizer

LINES_AT_A_TIME = 1_000


def tokenize(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Text with one sentence per line (default: stdin)."),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="CODE",
            help="Language of the text, such as zh.",
            callback=check_language,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="NAME", help="auto, jieba, moses, char, space or none."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", metavar="DIR", help="Use the tokeniser and subwords of this model."
        ),
    ] = None,
    side: Annotated[
        Literal["src", "tgt"] | None,
        typer.Option("--side", help="Side of the model (default: src)."),
    ] = None,
    detokenize: Annotated[
        bool, typer.Option("--detokenize", "-d", help="Convert tokens back to text.")
    ] = False,
) -> None:
    """Split text into tokens separated by spaces, or convert tokens back to text."""
    from s2s_cli.console import warn, write_stdout
    from s2s_cli.data.file_kinds import STDIN
    from s2s_cli.data.stream import open_input, read_blocks
    from s2s_cli.unused_settings import refuse_unused

    refuse_unused(name_given({"--tokenizer": name, "--model": model}, ()))
    if model is None and side is not None:
        raise ConfigError("--side: has no effect without --model; remove it")
    if model is None:
        tokenizer = _make_tokenizer(name or "auto", lang)
    else:
        tokenizer = _load_tokenizer(model, side or "src", lang)

    def convert(line: str) -> str:
        if detokenize:
            return tokenizer.detokenize([token for token in line.split(" ") if token])
        return " ".join(tokenizer.tokenize(line))

    path = file or STDIN
    for lines in read_blocks(open_input(path), warn, LINES_AT_A_TIME, path):
        write_stdout("".join(f"{convert(line)}\n" for line in lines))


def _make_tokenizer(name: str, lang: str | None) -> "Tokenizer":
    """Make a tokeniser without subwords."""
    from s2s_cli.config import TokenizerName
    from s2s_cli.console import say
    from s2s_cli.recipe import check_config
    from s2s_cli.text.tokenizer import make_tokenizer
    from s2s_cli.text.word_boundaries import depends_on_language

    names = get_args(TokenizerName)
    if lang is not None:
        check_config({"data": {"src_lang": lang}}, where=f"--lang {lang}")
    if name not in names:
        raise ConfigError(f"--tokenizer {name}: unknown; choose one of {', '.join(names)}")
    if lang is None and depends_on_language(name):
        say("no --lang: the text is assumed to be English (en)")
    return make_tokenizer(name, lang or "en", lowercase=False)


def _load_tokenizer(model: Path, side: Literal["src", "tgt"], lang: str | None) -> "Tokenizer":
    """Load the tokeniser of one side of a model.

    Raises:
        ConfigError: the model has several languages on that side, and none or a wrong one is named.
    """
    from s2s_cli.checkpoint import load_text
    from s2s_cli.commands.loading import find_model
    from s2s_cli.sources import plain_code
    from s2s_cli.text.tokenizer import make_tokenizers
    from s2s_cli.text.word_boundaries import depends_on_language

    card, subwords = load_text(find_model(model))
    number = ("src", "tgt").index(side)
    of_lang = {plain_code(one[number]): one for one in card.all_directions}
    wanted = next(iter(of_lang)) if lang is None else plain_code(lang)
    name = card.text.src_tokenizer if side == "src" else card.text.tgt_tokenizer
    is_ambiguous = lang is None and len(of_lang) > 1 and depends_on_language(name)
    if is_ambiguous or wanted not in of_lang:
        known = ", ".join(of_lang)
        problem = "missing" if lang is None else f"{lang} is not a language of this side"
        raise ConfigError(f"--lang: {problem}; choose one of {known}")
    return make_tokenizers(card.text, of_lang[wanted], subwords)[number]
