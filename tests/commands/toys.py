"""Toy model folders for fast tests of commands inside this process."""

from pathlib import Path

import torch
from typer.testing import CliRunner, Result

from s2s_cli.checkpoint import LoadedModel, ModelCard, build_model, make_codecs, save_model
from s2s_cli.cli import app
from s2s_cli.config import Decoding, Model, Text
from s2s_cli.data import opening
from s2s_cli.text.vocabulary import Vocabulary

SOURCES = ["s t u", "", "x unheard w", "v", "s s s s"]


WORDS = Text(src_tokenizer="space", tgt_tokenizer="space")


def save_toy(
    folder: Path,
    seed: int = 1,
    src: str = "stuvwxyz",
    tgt: str = "abcdef",
    text: Text = WORDS,
    tgt_lang: str = "en",
    trained_on: dict[str, dict[str, str]] | None = None,
    **model: object,
) -> Path:
    """Save a model with given vocabularies and large random weights."""
    torch.manual_seed(seed)
    card = ModelCard(
        s2s_version="0",
        src_lang="de",
        tgt_lang=tgt_lang,
        text=text,
        model=Model.model_validate(
            {"embed_size": 5, "hidden_size": 6, "attention_size": 4, **model}
        ),
        decoding=Decoding(beam_size=3),
        trained_on=trained_on or {},
        epoch=seed,
        step=10 * seed,
        valid_scores={},
    )
    vocabularies = [Vocabulary(list(tokens), [1] * len(tokens)) for tokens in (src, tgt)]
    codecs = make_codecs(card.text, card.src_lang, card.tgt_lang, *vocabularies)
    network = build_model(card.model, *vocabularies)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(8)
    save_model(folder, LoadedModel(network, *codecs, card))
    return folder


def s2s(*arguments: object, stdin: str = "") -> Result:
    """Run a command in this process; the result has its exception, if any."""
    try:
        return CliRunner().invoke(app, [*map(str, arguments)], input=stdin)
    finally:
        # A process reads its stdin once, and keeps it; this one stands for many.
        opening._COPIES.clear()


def output_of(*arguments: object, stdin: str = "") -> str:
    """Run a command that succeeds, and return its stdout."""
    result = s2s(*arguments, stdin=stdin)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def error_of(*arguments: object, stdin: str = "") -> str:
    """Run a command that fails, and return the type and message of the error."""
    result = s2s(*arguments, stdin=stdin)
    return f"{type(result.exception).__name__}: {result.exception}"
