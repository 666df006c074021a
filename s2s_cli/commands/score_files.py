"""`s2s eval --hyp --ref` scores existing translations; `--score-pairs` prints log-probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.commands.data_warnings import SAMPLED_LINES, describe_script
from s2s_cli.commands.languages import language_of_files
from s2s_cli.commands.scores import (
    ScoringOptions,
    measure,
    show_scores,
    warn_of_blank_lines,
    warn_of_normalized,
)
from s2s_cli.commands.usage import refuse_clashes
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.data.pairs import ParallelText


def choose_language(tgt_lang: str | None, config: str | None, files: list[Path]) -> str:
    """Choose the target language: that of the option, of the recipe or of the file names.

    Reports the choice on stderr if no option gives the language.

    Args:
        tgt_lang: the value of the option.
        config: the name or file of the recipe, if given.
        files: references, then translations.

    Raises:
        ConfigError: the recipe has several target languages, and the file names give none.
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
        say(f"no --tgt-lang: the target language is {found}, according to the file names")
        return found
    if has_several:
        raise ConfigError("--tgt-lang: missing; the recipe has several directions; name a language")
    lang = data.languages.tgt
    if found is not None and base_language(found) != base_language(lang):
        warn(f"the file names say {found}, but the target language of {config} is {lang}")
    say(f"no --tgt-lang: the target language is assumed to be {lang}")
    return lang


def score_files(
    hyp: Path | None,
    refs: list[Path],
    options: ScoringOptions,
    tgt_lang: str | None,
    config: str | None,
) -> None:
    """Score existing translations.

    Args:
        hyp: the file of translations.
        refs: the files of references.
        options: the options about scoring.
        tgt_lang: the target language, if given.
        config: the name or file of the recipe, if given.

    Raises:
        ConfigError: a file or the target language is missing, or stdin is read twice.
        DataError: the files cannot be read, or their lines do not match.
    """
    from s2s_cli.config import Text
    from s2s_cli.console import warn
    from s2s_cli.data.lines import read_lines
    from s2s_cli.recipe import load_recipe
    from s2s_cli.scoring.metrics import choose_scored_lines

    text = Text() if config is None else load_recipe(config).config.text
    if hyp is None or not refs:
        missing = "--hyp FILE" if hyp is None else "--ref FILE"
        raise ConfigError(f"{missing}: missing; scoring needs translations and references")
    scoring = options.for_language(choose_language(tgt_lang, config, [*refs, hyp]), text)
    refuse_clashes([("--hyp", hyp), *(("--ref", path) for path in refs)], [])
    raw = [read_lines(path) for path in (hyp, *refs)]
    hypotheses, *references = map(scoring.settings.normalize, raw)
    warn_of_normalized(str(hyp), raw, [hypotheses, *references])
    for path, lines in zip((hyp, *refs), raw, strict=True):
        if script := describe_script(lines[:SAMPLED_LINES], scoring.settings.tgt_lang):
            warn(f"{path}: {script}; name its language with --tgt-lang")
    scored = choose_scored_lines(hypotheses, references)
    warn_of_blank_lines(str(refs[0]), len(hypotheses) - len(scored.numbers))
    title = f"{hyp} against {', '.join(map(str, refs))}"
    show_scores(title, {str(hyp): measure(scoring, scored)})


HEADER = "log_prob\tlog_prob_per_token\ttokens"


def show_pair_scores(loaded: "Loaded", tests: "Sequence[ParallelText]") -> None:
    """Print the log-probability of each pair as TSV on stdout, and the totals on stderr.

    Args:
        loaded: the model.
        tests: the test sets with the pairs; each has one direction.

    Raises:
        DataError: a pair has a blank side, so lines would not match those of the files.
    """
    from s2s_cli.console import show_table, write_result
    from s2s_cli.decoding.score_pairs import perplexity, score_pairs
    from s2s_cli.scoring.metrics import format_perplexity

    name = "+".join(test.name for test in tests)
    num_blank = sum(len(test.rows) - len(test.pairs) for test in tests)
    if num_blank:
        raise DataError(
            f"{name}: {num_blank} pairs have a blank side and cannot be scored, so the lines of "
            "the output would not match those of the files; remove these pairs from both files"
        )
    size = loaded.decoding.num_sentences
    scores = [
        score
        for test in tests
        for score in score_pairs(
            loaded.between(*test.direction).translator,
            [row[0] for row in test.rows],
            [row[1] for row in test.rows],
            size,
        )
    ]
    rows = [
        f"{log_prob:.6f}\t{log_prob / num_tokens:.6f}\t{num_tokens}"
        for log_prob, num_tokens in scores
    ]
    write_result("\n".join([HEADER, *rows]))
    totals = (
        f"{len(scores):,}",
        f"{sum(num_tokens for _, num_tokens in scores):,}",
        f"{sum(log_prob for log_prob, _ in scores):.4f}",
        format_perplexity(perplexity(scores), digits=4),
    )
    show_table(f"pairs of {name}", ("pairs", "tokens", "log_prob", "perplexity"), [totals])
