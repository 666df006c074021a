"""`s2s augment`: translate text with a model into a table of synthetic training pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.loading import (
    Loaded,
    ModelLocation,
    load_translator,
    locate_model,
    report_mbr,
)
from s2s_cli.commands.synthetic_sources import show_sources
from s2s_cli.commands.synthetic_tables import make_table
from s2s_cli.commands.usage import name_given, refuse_clashes
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.checks.pair_filters import Filters
    from s2s_cli.data.monolingual import MonolingualText
    from s2s_cli.data.synthetic import SyntheticCard


def augment(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Table to write: a name in *.tsv or *.tsv.gz."
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="Text with one sentence per line (default: the source side of the training pairs "
            "of the model's run).",
        ),
    ] = None,
    back: Annotated[
        bool,
        typer.Option(
            "--back",
            help="Back-translation: translations become the source side, the text the target side.",
        ),
    ] = False,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    src_lang: opt.FromOption = None,
    tgt_lang: opt.ToOption = None,
    max_ratio: Annotated[
        float | None,
        typer.Option(
            "--max-ratio",
            metavar="NUMBER",
            help="Leave out pairs with more tokens on one side per token of the other (default 3).",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            metavar="NUMBER",
            help="Leave out translations with a lower mean log-probability per token, such as -1.",
        ),
    ] = None,
    beam_size: opt.BeamSizeOption = None,
    length_penalty: opt.LengthPenaltyOption = None,
    sample: opt.SampleOption = False,
    seed: opt.SampleSeedOption = None,
    batch_size: opt.BatchSizeOption = None,
    precision: opt.SearchPrecisionOption = None,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Translate text into a table of synthetic training pairs; prints the path of the table."""
    from s2s_cli.console import warn, write_result
    from s2s_cli.data.opening import check_exists
    from s2s_cli.data.synthetic import ChunkFolder, check_table_name, locate_card
    from s2s_cli.storage.lock import locked
    from s2s_cli.unused_settings import refuse_unused

    given = opt.given(
        decoding__search="sample" if sample else None,
        decoding__seed=seed,
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__batch_size=batch_size,
        decoding__precision=precision,
    )
    check_table_name(output)
    outputs = [("--output", output), ("the card of --output", locate_card(output))]
    refuse_clashes([("--text", text)], outputs)
    named = name_given({"--run": run, "--model": model}, given, sets or ())
    refuse_unused(named)
    filters = _make_filters(max_ratio, min_score)
    if text is not None:
        check_exists(text)
    place = locate_model(None, run, model)
    loaded = load_translator(place, device, given, sets or []).between(src_lang, tgt_lang)
    refuse_unused(named, loaded.config)
    report_mbr(loaded.decoding)
    chunks = ChunkFolder(output)
    with locked(chunks.path, warn):
        source = _open_text(text, place, loaded)
        settings = _describe(place, loaded, source, filters, is_back=back)
        make_table(chunks, settings, loaded, source, filters)
    show_sources(output, settings, place.run)
    write_result(str(output))


def _make_filters(max_ratio: float | None, min_score: float | None) -> "Filters":
    """Check the options about filters.

    Raises:
        ConfigError: one is out of range.
    """
    from pydantic import ValidationError

    from s2s_cli.checks.pair_filters import Filters

    given = {"max_ratio": max_ratio, "min_score": min_score}
    try:
        return Filters.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"--{option} {first['input']}: {first['msg']}; correct it") from error


def _open_text(text: Path | None, place: ModelLocation, loaded: Loaded) -> "MonolingualText":
    """Open the text to translate: a file, or the training sources of the model's run.

    Raises:
        ConfigError: there is no file, and the model is not in a run folder.
        DataError: the text is missing or malformed, or the training text has changed.
    """
    from s2s_cli.console import say
    from s2s_cli.data.monolingual import open_monolingual, open_train_sources
    from s2s_cli.recipe import load_recipe
    from s2s_cli.sources import Direction

    if text is not None:
        return open_monolingual(text)
    if place.run is None or not place.run.config_path.is_file():
        raise ConfigError(
            f"{place.folder}: is not in a run folder, so its training text is unknown; name a text "
            "with --text FILE"
        )
    data = load_recipe(str(place.run.config_path)).config.data
    source = open_train_sources(data, Direction(*next(iter(loaded.translators)).split("-")))
    if not {*source.origin.values()} <= {*loaded.card.trained_on.get("train", {}).values()}:
        raise DataError(
            f"{place.run.config_path}: its training text is not what {place.folder} was trained "
            "on; restore the text, or name it with --text FILE"
        )
    say(f"text: the {source.num_lines:,} training sources of {place.run.path}")
    return source


def _describe(
    place: ModelLocation,
    loaded: Loaded,
    source: "MonolingualText",
    filters: "Filters",
    *,
    is_back: bool,
) -> "SyntheticCard":
    """Describe what the table is made of."""
    from s2s_cli.checkpoint import WEIGHTS, s2s_version
    from s2s_cli.data.lines import hash_file
    from s2s_cli.data.synthetic import ModelIdentity, SyntheticCard
    from s2s_cli.storage.checksummed import read_saved_at, read_sha256

    src, tgt = next(iter(loaded.translators)).split("-")
    texts = dict(source.origin)
    if (dictionary := loaded.decoding.dictionary) is not None:
        texts[dictionary] = hash_file(Path(dictionary))
    return SyntheticCard(
        s2s_version=s2s_version(),
        direction=f"{tgt}-{src}" if is_back else f"{src}-{tgt}",
        synthetic_side="src" if is_back else "tgt",
        models=[
            ModelIdentity(
                path=str(folder),
                saved_at=read_saved_at(folder),
                weights_sha256=read_sha256(folder, WEIGHTS),
            )
            for folder in place.folders
        ],
        texts=texts,
        decoding=loaded.decoding.model_dump(mode="json"),
        filters=filters.model_dump(mode="json"),
    )
