"""`s2s eval`: translate a test set and score it, or score translations that exist."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.loading import Loaded, Place, load_translator, locate_model
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.scoring.metrics import MetricName, Score, ScoringSettings


def evaluate(
    bleu: Annotated[bool, typer.Option("--bleu", help="BLEU (none named: all three).")] = False,
    chrf: Annotated[bool, typer.Option("--chrf", help="chrF.")] = False,
    ter: Annotated[bool, typer.Option("--ter", help="TER.")] = False,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    hyp: Annotated[
        Path | None,
        typer.Option("--hyp", metavar="FILE", help="Score these translations; no model is used."),
    ] = None,
    ref: Annotated[
        list[Path] | None,
        typer.Option("--ref", metavar="FILE", help="Raw references for --hyp; may be repeated."),
    ] = None,
    tgt_lang: opt.TgtLangOption = None,
    test_src: opt.TestSrcOption = None,
    test_tgt: opt.TestTgtOption = None,
    data_dir: opt.DataDirOption = None,
    tokenize: Annotated[
        str | None,
        typer.Option("--tokenize", metavar="NAME", help="sacrebleu's tokeniser for BLEU."),
    ] = None,
    lowercase: Annotated[
        bool | None, typer.Option("--lowercase", help="Ignore case in every score.")
    ] = None,
    beam_size: opt.BeamSizeOption = None,
    length_penalty: opt.LengthPenaltyOption = None,
    batch_size: opt.BatchSizeOption = None,
    keep_unk: opt.KeepUnkOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Folder of the report.")
    ] = None,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Score translations with sacrebleu; JSON on stdout, a table on stderr, a report on disk."""
    from s2s_cli.scoring.metrics import METRIC_NAMES

    asked = {"bleu": bleu, "chrf": chrf, "ter": ter}
    names = [name for name in METRIC_NAMES if asked[name] or not any(asked.values())]
    decoding = opt.given(
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__batch_size=batch_size,
        decoding__keep_unk=keep_unk,
    )
    if hyp is not None or ref:
        needless = {
            **{"--run": run, "--model": model, "--report": report, "--device": device},
            **{"--test-src": test_src, "--test-tgt": test_tgt, "--data-dir": data_dir},
            **{f"--{key.partition('.')[2].replace('_', '-')}": value for key, value in decoding},
            "--set": sets,
        }
        _refuse([name for name, value in needless.items() if value is not None])
        lang = _choose_language(tgt_lang, config)
        _score_files(names, hyp, ref or [], lang, bool(lowercase), tokenize)
        return
    place = locate_model(config, run, model)
    data_sets = [text for text in sets or [] if text.startswith("data.")]
    other_sets = [text for text in sets or [] if text not in data_sets]
    loaded = load_translator(place, device, decoding, other_sets)
    data = opt.DataOptions(tgt_lang=tgt_lang, folder=data_dir, test=(test_src, test_tgt))
    test = _load_test(config, place, data.overrides(), data_sets, loaded.card)
    settings = _choose_scoring(loaded.card, lowercase, tokenize, names)
    reports = place.run.reports_path if place.run else Path("reports")
    evaluation = Evaluation(names, place.folder, test, settings, report or reports / test.name)
    _evaluate_model(evaluation, loaded)


def _refuse(needless: list[str]) -> None:
    if needless:
        raise ConfigError(
            f"{', '.join(needless)}: of no use with --hyp and --ref, which score translations "
            "that exist; leave it out"
        )


def _choose_language(tgt_lang: str | None, config: str | None) -> str:
    """The target language given, else the recipe's; says so if it was assumed."""
    from s2s_cli.console import say
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe

    given = [] if tgt_lang is None else [("data.tgt_lang", tgt_lang)]
    lang = load_recipe(config or DEFAULT_RECIPE, given).config.data.tgt_lang
    if tgt_lang is None:
        say(f"no --tgt-lang: the target language is taken to be {lang}")
    return lang


def _choose_scoring(
    card: "ModelCard", lowercase: bool | None, tokenize: str | None, names: "list[MetricName]"
) -> "ScoringSettings":
    """Scores as the model's language and case ask for; checked before anything is translated."""
    from s2s_cli.console import say
    from s2s_cli.scoring.metrics import ScoringSettings, make_metric

    if lowercase is None and card.text.lowercase:
        say("scores ignore case, as the model's text is lower-cased")
    is_lowercase = card.text.lowercase if lowercase is None else lowercase
    settings = ScoringSettings(card.tgt_lang, is_lowercase, tokenize)
    for name in names:
        make_metric(name, settings)
    return settings


class Evaluation(NamedTuple):
    """What is evaluated, how, and where the report goes."""

    names: "list[MetricName]"
    model: Path
    test: "Corpus"
    settings: "ScoringSettings"
    report: Path


def _score_files(
    names: "list[MetricName]",
    hyp: Path | None,
    refs: list[Path],
    lang: str,
    is_lowercase: bool,
    tokenize: str | None,
) -> None:
    """Score existing translations; no model is needed."""
    from s2s_cli.data.corpus import read_lines
    from s2s_cli.scoring.metrics import ScoringSettings, score_corpus

    if hyp is None or not refs:
        missing = "--hyp FILE" if hyp is None else "--ref FILE"
        raise ConfigError(f"{missing}: missing; scoring needs translations and references")
    settings = ScoringSettings(lang, is_lowercase, tokenize)
    scores = score_corpus(names, read_lines(hyp), [read_lines(ref) for ref in refs], settings)
    _show(f"{hyp} against {', '.join(map(str, refs))}", scores)


def _load_test(
    config: str | None,
    place: "Place",
    options: list[tuple[str, object]],
    sets: list[str],
    card: "ModelCard",
) -> "Corpus":
    """The test set: of the recipe named, else of the run's own, else what the options give."""
    from s2s_cli.data.corpus import join_corpora
    from s2s_cli.data.splits import load_test
    from s2s_cli.recipe import check_config, load_recipe, parse_override

    overrides = [*options, *(parse_override(text) for text in sets)]
    recipe = config
    if recipe is None and place.run is not None and place.run.config_path.is_file():
        recipe = str(place.run.config_path)
    if recipe is not None:
        data = load_recipe(recipe, overrides).config.data
        if (data.src_lang, data.tgt_lang) != (card.src_lang, card.tgt_lang):
            raise ConfigError(
                f"{recipe}: is {data.src_lang} to {data.tgt_lang}, but {place.folder} translates "
                f"{card.src_lang} to {card.tgt_lang}; name a recipe of the same languages"
            )
        return join_corpora(load_test(data))
    if not overrides:
        raise ConfigError(
            f"{place.folder}: stands in no run folder, so no test set is known; "
            "give --test-src and --test-tgt, or a recipe with --config"
        )
    tree: dict[str, object] = {"test": None}
    tree.update((key.removeprefix("data."), value) for key, value in overrides)
    return join_corpora(load_test(check_config({"data": tree}, where="options").data))


def _evaluate_model(evaluation: Evaluation, loaded: "Loaded") -> None:
    """Translate the test set, score it, print the scores and write the report."""
    from s2s_cli.console import say
    from s2s_cli.scoring.metrics import score_corpus

    test = evaluation.test
    say(f"test set {test.name}: {len(test):,} sentences")
    started = time.perf_counter()
    translations = loaded.translator.translate(test.src, loaded.decoding)
    seconds = time.perf_counter() - started
    hypotheses = [translation.text for translation in translations]
    scores = score_corpus(evaluation.names, hypotheses, [test.tgt], evaluation.settings)
    _write_report(evaluation, loaded, hypotheses, scores, seconds)
    _show(f"{evaluation.model} on {test.name} ({len(test):,} sentences)", scores)
    say(f"report: {evaluation.report}/report.md")


def _write_report(
    evaluation: Evaluation,
    loaded: "Loaded",
    hypotheses: list[str],
    scores: "list[Score]",
    seconds: float,
) -> None:
    from s2s_cli.checkpoint import WEIGHTS, s2s_version
    from s2s_cli.files import write_file
    from s2s_cli.scoring.metrics import sacrebleu_version, score_sentences
    from s2s_cli.scoring.report import Example, format_report
    from s2s_cli.sealed import sealed_hash, to_json

    test, card = evaluation.test, loaded.card
    speed = len(test) / seconds
    facts = {
        "test_set": test.name,
        "sentences": len(test),
        "blank_pairs_left_out": test.num_blank,
        "model": str(evaluation.model),
        "weights_sha256": sealed_hash(evaluation.model, WEIGHTS),
        "epoch": card.epoch,
        "step": card.step,
        "languages": f"{card.src_lang}-{card.tgt_lang}",
        "decoding": loaded.decoding.model_dump(),
        "device": str(loaded.translator.device),
        "seconds": round(seconds, 3),
        "sentences_per_second": round(speed, 1),
        "data_sha256": test.origin,
        "s2s_version": s2s_version(),
        "sacrebleu_version": sacrebleu_version(),
    }
    found = {"scores": _as_dict(scores), **facts}
    folder = evaluation.report
    write_file(folder / "hypotheses.txt", _lines(hypotheses))
    write_file(folder / "references.txt", _lines(test.tgt))
    write_file(folder / "scores.json", to_json(found))
    chrf = score_sentences(hypotheses, [test.tgt], evaluation.settings)
    rows = zip(test.src, test.tgt, hypotheses, chrf, strict=True)
    title = f"{card.src_lang} to {card.tgt_lang} on {test.name}"
    shown = [(key.replace("_", " "), _in_words(value)) for key, value in facts.items()]
    examples = [Example(*row) for row in rows]
    write_file(folder / "report.md", format_report(title, shown, scores, examples))


def _show(title: str, scores: "list[Score]") -> None:
    """The scores as JSON on stdout, and as a table on stderr."""
    from s2s_cli.console import show_table

    rows = [(score.name, f"{score.value:.2f}", score.signature) for score in scores]
    show_table(title, ("measure", "score", "signature"), rows)
    typer.echo(json.dumps(_as_dict(scores)))


def _as_dict(scores: "list[Score]") -> dict[str, dict[str, object]]:
    return {score.name: {"score": score.value, "signature": score.signature} for score in scores}


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _lines(sentences: list[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)
