"""`s2s eval`: translate a test set and score it, score existing translations, or tune a search."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.data_warnings import SourceCheck
from s2s_cli.commands.loading import (
    Loaded,
    load_translator,
    locate_model,
    report_mbr,
    report_search_of_recipe,
)
from s2s_cli.commands.reports import PAGE, Evaluation, choose_folders, write_report
from s2s_cli.commands.score_files import score_files, show_pair_scores
from s2s_cli.commands.scores import (
    ScoringOptions,
    ignores_case,
    measure,
    show_scores,
    warn_of_blank_lines,
    warn_of_normalized,
)
from s2s_cli.commands.streaming import warn_of_unread
from s2s_cli.commands.test_sets import TestSetOptions, load_test_sets
from s2s_cli.commands.tune import tune_search
from s2s_cli.commands.usage import name_given

if TYPE_CHECKING:
    from s2s_cli.commands.loading import ModelLocation
    from s2s_cli.data.pairs import ParallelText
    from s2s_cli.scoring.metrics import MetricName, ScoringSettings


def evaluate(
    bleu: opt.BleuOption = False,
    chrf: opt.ChrfOption = False,
    ter: opt.TerOption = False,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    src_lang: opt.FromOption = None,
    to_lang: opt.ToOption = None,
    hyp: Annotated[
        Path | None,
        typer.Option("--hyp", metavar="FILE", help="Score existing translations, without a model."),
    ] = None,
    ref: Annotated[
        list[Path] | None,
        typer.Option("--ref", metavar="FILE", help="Raw references for --hyp; repeat for several."),
    ] = None,
    tgt_lang: opt.TgtLangOption = None,
    test_src: opt.TestSrcOption = None,
    test_tgt: opt.TestTgtOption = None,
    data_dir: opt.DataDirOption = None,
    tokenize: opt.TokenizeOption = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase/--no-lowercase",
            help="Ignore case in all scores (default: if the model's text is lower-cased).",
        ),
    ] = None,
    tokenized: Annotated[
        bool,
        typer.Option(
            "--tokenized", help="Also BLEU on word tokens (jieba for zh, Moses otherwise)."
        ),
    ] = False,
    accuracy: Annotated[
        bool | None,
        typer.Option(
            "--accuracy/--no-accuracy",
            help="Exact-match accuracy (default: if references are labels).",
        ),
    ] = None,
    beam_size: opt.BeamSizeOption = None,
    length_penalty: opt.LengthPenaltyOption = None,
    batch_size: opt.BatchSizeOption = None,
    precision: opt.SearchPrecisionOption = None,
    keep_unk: opt.KeepUnkOption = None,
    dictionary: opt.DictionaryOption = None,
    pairs: Annotated[
        bool,
        typer.Option("--score-pairs", help="Print log-probabilities of the pairs as TSV instead."),
    ] = False,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Try beam sizes and length penalties on the validation set instead, and print "
            "the best as --set options; changes no file.",
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Folder for the report.")
    ] = None,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Score translations with sacrebleu; JSON on stdout, a table on stderr, a report on disk."""
    from s2s_cli.scoring.metrics import DEFAULT_METRICS
    from s2s_cli.unused_settings import refuse_unused

    metrics = {"bleu": bleu, "chrf": chrf, "ter": ter}
    decoding = opt.given(
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__batch_size=batch_size,
        decoding__precision=precision,
        decoding__keep_unk=keep_unk,
        decoding__dictionary=None if dictionary is None else str(dictionary),
    )
    options = {
        **{f"--{name}": is_given or None for name, is_given in metrics.items()},
        **{"--run": run, "--model": model, "--from": src_lang, "--to": to_lang},
        **{"--hyp": hyp, "--ref": ref, "--test-src": test_src, "--test-tgt": test_tgt},
        **{"--data-dir": data_dir, "--tokenize": tokenize, "--lowercase": lowercase},
        **{"--tokenized": tokenized or None, "--accuracy": accuracy},
        **{"--score-pairs": pairs or None, "--tune": tune or None},
        **{"--report": report, "--device": device},
    }
    given = name_given(options, decoding, sets or ())
    refuse_unused(given)
    names = _list_metrics(metrics)
    used = names or list(DEFAULT_METRICS)
    scoring = ScoringOptions(used, lowercase, tokenize, tokenized, accuracy)
    if hyp is not None or ref:
        score_files(hyp, ref or [], scoring, tgt_lang, config)
        return
    data = opt.DataOptions(tgt_lang=tgt_lang, folder=data_dir, test=(test_src, test_tgt))
    data_sets, other_sets = _split_sets(sets or [])
    wanted = TestSetOptions(config, data, data_sets, src_lang, to_lang)
    location = locate_model(config, run, model)
    if pairs:
        decoding += [("decoding.precision", "float32"), ("decoding.kernels", "plain")]
    loaded = load_translator(location, device, decoding, other_sets)
    refuse_unused(given, loaded.config)
    if tune:
        tune_search(wanted, location, loaded, scoring, names)
        return
    tests = load_test_sets(wanted, location, loaded)
    if pairs:
        show_pair_scores(loaded, tests)
        return
    if config is not None:
        report_search_of_recipe(config, loaded)
    report_mbr(loaded.decoding)
    folders = choose_folders(location, tests, report)
    _evaluate(location, loaded, list(zip(tests, folders, strict=True)), scoring)


def _list_metrics(asked: "dict[str, bool]") -> "list[MetricName]":
    """The metrics that options name, in the order of the table."""
    from s2s_cli.scoring.metrics import METRIC_NAMES

    return [name for name in METRIC_NAMES if asked[name]]


def _split_sets(sets: list[str]) -> tuple[list[str], list[str]]:
    """Separate `--set data.*`, which describes test sets, from all other `--set`."""
    data = [text for text in sets if text.startswith("data.")]
    return data, [text for text in sets if text not in data]


def _evaluate(
    location: "ModelLocation",
    loaded: "Loaded",
    tests: "list[tuple[ParallelText, Path]]",
    options: ScoringOptions,
) -> None:
    """Translate each test set, score it, print the scores and write a report to its folder."""
    from s2s_cli.console import say
    from s2s_cli.scoring.labels import check_one_reference

    text = loaded.card.text
    options = options._replace(lowercase=ignores_case(options.lowercase, loaded.card))
    # Before anything is translated: a scorer may not be installed.
    scorings = {
        lang: options.for_language(lang, text, is_lower_cased=text.lowercase)
        for lang in dict.fromkeys(test.direction.tgt for test, _ in tests)
    }
    if options.has_accuracy:
        for test, _ in tests:
            check_one_reference(test.references)
    scores, names = {}, []
    for test, folder in tests:
        say(f"test set {test.name}: {len(test.rows):,} lines")
        scoring = scorings[test.direction.tgt]
        directed = loaded.between(*test.direction)
        evaluation = _translate_test_set(location.folders, directed, test, scoring.settings)
        scores[test.name] = measure(scoring, evaluation.scored)
        write_report(folder, evaluation, scoring.settings, scores[test.name])
        names.append(f"{test.name} ({len(evaluation.scored.numbers):,} sentences)")
    has_mean = len({test.direction for test, _ in tests}) > 1
    show_scores(f"{' + '.join(map(str, location.folders))} on {', '.join(names)}", scores, has_mean)
    for _, folder in tests:
        say(f"report: {folder / PAGE}")


def _translate_test_set(
    models: tuple[Path, ...], loaded: Loaded, test: "ParallelText", settings: "ScoringSettings"
) -> Evaluation:
    """Translate all rows of a test set; warn of blank, truncated and normalised ones."""
    from s2s_cli.scoring.metrics import choose_scored_lines

    rows = test.rows
    started = time.perf_counter()
    translations = loaded.translator.translate([row[0] for row in rows], loaded.decoding)
    seconds = time.perf_counter() - started
    num_unread = sum(translation.num_unread > 0 for translation in translations)
    warn_of_unread(num_unread, len(rows), loaded.decoding)
    check = SourceCheck(loaded, f"test set {test.name}")
    check.add(translations)
    check.warn()
    raw = [list(side) for side in zip(*(row[1:] for row in rows), strict=True)]
    references = [settings.normalize(side) for side in raw]
    warn_of_normalized(test.name, raw, references)
    texts = settings.normalize([translation.text for translation in translations])
    scored = choose_scored_lines(texts, references)
    evaluation = Evaluation(models, loaded, test, translations, scored, seconds)
    warn_of_blank_lines(test.name, evaluation.num_left_out, evaluation.num_blank_sources)
    return evaluation
