"""`s2s eval`: translate a test set and score it, or score translations that exist."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.clashes import Named, refuse_clashes
from s2s_cli.commands.flow import warn_of_unread
from s2s_cli.commands.languages import language_of_files
from s2s_cli.commands.leakage import warn_of_tests_in_train
from s2s_cli.commands.loading import Loaded, load_translator, locate_model
from s2s_cli.commands.reports import Evaluated, choose_folders, write_report
from s2s_cli.commands.score_pairs import (
    refuse_beside_pairs,
    refuse_search_settings,
    show_pair_scores,
)
from s2s_cli.commands.scores import (
    Measures,
    measure,
    show_scores,
    warn_of_blank_lines,
    warn_of_normalized,
)
from s2s_cli.commands.search import refuse_idle_options, tell_recipe_search
from s2s_cli.commands.testsets import Wanted, load_test_sets
from s2s_cli.commands.unknown import SAMPLED_LINES, SourceCheck, describe_script
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.config import Text
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.scoring.metrics import MetricName, ScoringSettings


def evaluate(
    bleu: Annotated[bool, typer.Option("--bleu", help="BLEU (default: BLEU and chrF).")] = False,
    chrf: Annotated[bool, typer.Option("--chrf", help="chrF.")] = False,
    ter: Annotated[bool, typer.Option("--ter", help="TER; slow for long sentences.")] = False,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    src_lang: opt.FromOption = None,
    to_lang: opt.ToOption = None,
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
        bool | None,
        typer.Option(
            "--lowercase/--no-lowercase",
            help="Ignore case in every score (default: if the model's text is lower-cased).",
        ),
    ] = None,
    tokenized: Annotated[
        bool,
        typer.Option("--tokenized", help="Also BLEU of words: jieba's for zh, else Moses'."),
    ] = False,
    accuracy: Annotated[
        bool | None,
        typer.Option(
            "--accuracy/--no-accuracy", help="Exact match (default: if references are labels)."
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
        typer.Option("--score-pairs", help="Log-probabilities of the pairs, as TSV, instead."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="Folder of the report.")
    ] = None,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Score translations with sacrebleu; JSON on stdout, a table on stderr, a report on disk."""
    from s2s_cli.config import Text
    from s2s_cli.recipe import load_recipe
    from s2s_cli.scoring.metrics import DEFAULT_METRICS, METRIC_NAMES

    asked = {"bleu": bleu, "chrf": chrf, "ter": ter}
    names = [name for name in METRIC_NAMES if asked[name]] or list(DEFAULT_METRICS)
    decoding = opt.given(
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__batch_size=batch_size,
        decoding__precision=precision,
        decoding__keep_unk=keep_unk,
        decoding__dictionary=None if dictionary is None else str(dictionary),
    )
    if pairs:
        decoding += [("decoding.precision", "float32"), ("decoding.kernels", "plain")]
        refuse_beside_pairs(
            **{"--hyp": hyp, "--ref": ref, "--report": report, "--tokenize": tokenize},
            **{f"--{name}": value or None for name, value in asked.items()},
            **{"--beam-size": beam_size, "--length-penalty": length_penalty},
            **{"--precision": precision, "--tokenized": tokenized or None, "--accuracy": accuracy},
            **{"--lowercase": lowercase, "--keep-unk": keep_unk, "--dictionary": dictionary},
        )
        refuse_search_settings(sets or ())
    if hyp is not None or ref:
        needless = {
            **{"--run": run, "--model": model, "--report": report, "--device": device},
            **{"--from": src_lang, "--to": to_lang},
            **{"--test-src": test_src, "--test-tgt": test_tgt, "--data-dir": data_dir},
            **{f"--{key.partition('.')[2].replace('_', '-')}": value for key, value in decoding},
            "--set": sets,
        }
        _refuse([name for name, value in needless.items() if value is not None])
        lang = _choose_language(tgt_lang, config, [*(ref or []), *([hyp] if hyp else [])])
        text = load_recipe(config).config.text if config is not None else Text()
        how = How(names, bool(lowercase), tokenize, tokenized, accuracy, text)
        _score_files(Files(hyp, ref or []), how.measures(lang))
        return
    place = locate_model(config, run, model)
    data_sets = [text for text in sets or [] if text.startswith("data.")]
    other_sets = [text for text in sets or [] if text not in data_sets]
    loaded = load_translator(place, device, decoding, other_sets)
    refuse_idle_options(loaded.decoding, decoding)
    data = opt.DataOptions(tgt_lang=tgt_lang, folder=data_dir, test=(test_src, test_tgt))
    tests = load_test_sets(Wanted(config, data, data_sets, src_lang, to_lang), place, loaded)
    warn_of_tests_in_train(place, loaded.card, tests)
    if pairs:
        show_pair_scores(loaded, tests)
        return
    if config is not None:
        tell_recipe_search(config, loaded)
    is_lower = loaded.card.text.lowercase
    case, text = _choose_case(lowercase, loaded.card), loaded.card.text
    how = How(names, case, tokenize, tokenized, accuracy, text, is_lower)
    folders = choose_folders(place, tests, report)
    models = (place.folder, *place.others)
    _evaluate_model(models, loaded, list(zip(tests, folders, strict=True)), how)


LOWER_CASED = "the model writes lower case only, so case counts against it; not comparable"
"""Note on scores in which case counts."""


class How(NamedTuple):
    """What the options say about scoring."""

    names: "list[MetricName]"
    lowercase: bool
    tokenize: str | None
    tokenized: bool
    accuracy: bool | None
    text: "Text"
    """How the text of the model, or of the recipe, is normalised."""
    is_lower_cased: bool = False
    """Whether the model writes lower case only."""

    def measures(self, tgt_lang: str) -> Measures:
        """The same, set up for a language; checked before anything is translated."""
        from s2s_cli.scoring.metrics import ScoringSettings, make_bleu

        text = self.text
        settings = ScoringSettings(
            tgt_lang, self.lowercase, self.tokenize, text.normalize, text.chinese
        )
        if "bleu" in self.names:
            make_bleu(settings)
        note = LOWER_CASED if self.is_lower_cased and not self.lowercase else ""
        return Measures(self.names, settings, self.tokenized, self.accuracy, note)


class Files(NamedTuple):
    """Translations that exist, and their references."""

    hyp: Path | None
    refs: list[Path]


def _refuse(needless: list[str]) -> None:
    if needless:
        raise ConfigError(
            f"{', '.join(needless)}: of no use with --hyp and --ref, which score translations "
            "that exist; leave it out"
        )


def _choose_language(tgt_lang: str | None, config: str | None, files: list[Path]) -> str:
    """The target language given, else the recipe's or that of the file names; says which it took.

    Args:
        tgt_lang: what the option says.
        config: the recipe named, if one is.
        files: references, then translations.
    """
    from s2s_cli.console import say, warn
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe
    from s2s_cli.text.language import base_language

    given = [] if tgt_lang is None else [("data.tgt_lang", tgt_lang)]
    data = load_recipe(config or DEFAULT_RECIPE, given).config.data
    if tgt_lang is not None:
        return data.tgt_lang
    found, has_several = language_of_files(files), len(data.all_directions) > 1
    if found is not None and (config is None or has_several):
        say(f"no --tgt-lang: the target language is {found}, by the names of the files")
        return found
    if has_several:
        raise ConfigError("--tgt-lang: missing; the recipe has several directions, name a language")
    lang = data.languages.tgt
    if found is not None and base_language(found) != base_language(lang):
        warn(f"the file names say {found}, but the target language of {config} is {lang}")
    say(f"no --tgt-lang: the target language is taken to be {lang}")
    return lang


def _choose_case(lowercase: bool | None, card: "ModelCard") -> bool:
    """Whether scores ignore case, as those of lower-cased models do."""
    from s2s_cli.console import say

    if lowercase is None and card.text.lowercase:
        say("scores ignore case, as the model's text is lower-cased; --no-lowercase counts it")
    return card.text.lowercase if lowercase is None else lowercase


def _score_files(files: Files, measures: Measures) -> None:
    """Score existing translations; no model is needed."""
    from s2s_cli.console import warn
    from s2s_cli.data.lines import read_lines
    from s2s_cli.scoring.blank_lines import choose_scored_lines

    if files.hyp is None or not files.refs:
        missing = "--hyp FILE" if files.hyp is None else "--ref FILE"
        raise ConfigError(f"{missing}: missing; scoring needs translations and references")
    refuse_clashes([Named("--hyp", files.hyp), *(Named("--ref", path) for path in files.refs)], [])
    raw = [read_lines(path) for path in (files.hyp, *files.refs)]
    hypotheses, *references = map(measures.settings.normalize, raw)
    warn_of_normalized(str(files.hyp), raw, [hypotheses, *references])
    for path, lines in zip((files.hyp, *files.refs), raw, strict=True):
        if script := describe_script(lines[:SAMPLED_LINES], measures.settings.tgt_lang):
            warn(f"{path}: {script}; name its language with --tgt-lang")
    scored = choose_scored_lines(hypotheses, references)
    warn_of_blank_lines(str(files.refs[0]), len(hypotheses) - len(scored.numbers))
    found = measure(measures, scored)
    title = f"{files.hyp} against {', '.join(map(str, files.refs))}"
    show_scores(title, {str(files.hyp): found})


def _evaluate_model(
    models: tuple[Path, ...], loaded: "Loaded", tests: "list[tuple[Corpus, Path]]", how: How
) -> None:
    """Translate each test set, score it, print the scores and write a report to its folder."""
    from s2s_cli.console import say
    from s2s_cli.scoring.labels import check_one_reference

    measures = {test.tgt_lang: how.measures(test.tgt_lang) for test, _ in tests}
    if how.accuracy:
        for test, _ in tests:
            check_one_reference(test.references)
    found, names = {}, []
    for test, folder in tests:
        say(f"test set {test.name}: {len(test.rows()):,} lines")
        how_here = measures[test.tgt_lang]
        directed = loaded.between(*test.direction)
        evaluated = _translate_test_set(models, directed, test, how_here.settings)
        found[test.name] = measure(how_here, evaluated.scored)
        write_report(folder, evaluated, how_here.settings, found[test.name])
        names.append(f"{test.name} ({len(evaluated.scored.numbers):,} sentences)")
    has_mean = len({test.direction for test, _ in tests}) > 1
    show_scores(f"{' + '.join(map(str, models))} on {', '.join(names)}", found, has_mean)
    for _, folder in tests:
        say(f"report: {folder}/report.md")


def _translate_test_set(
    models: tuple[Path, ...], loaded: Loaded, test: "Corpus", settings: "ScoringSettings"
) -> Evaluated:
    """Translate every row of a test set, blank ones included; warns of blank and of cut rows."""
    from s2s_cli.scoring.blank_lines import choose_scored_lines

    rows = test.rows()
    started = time.perf_counter()
    translations = loaded.translator.translate([row[0] for row in rows], loaded.decoding)
    seconds = time.perf_counter() - started
    num_unread = sum(translation.num_unread > 0 for translation in translations)
    warn_of_unread(num_unread, len(rows), loaded.decoding)
    check = SourceCheck(loaded, f"test set {test.name}")
    check.add(translations)
    check.warn()
    hypotheses = [translation.text for translation in translations]
    raw = [list(side) for side in zip(*(row[1:] for row in rows), strict=True)]
    references = [settings.normalize(side) for side in raw]
    warn_of_normalized(test.name, raw, references)
    scored = choose_scored_lines(settings.normalize(hypotheses), references)
    evaluated = Evaluated(models, loaded, test, hypotheses, scored, seconds)
    warn_of_blank_lines(test.name, evaluated.num_left_out, evaluated.num_blank_sources)
    return evaluated
