"""`s2s eval --hyp --ref`: scores of translations that exist; no model is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


class Files(NamedTuple):
    """Translations that exist, and their references."""

    hyp: Path | None
    refs: list[Path]


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


def score_files(
    files: Files, options: ScoringOptions, tgt_lang: str | None, config: str | None
) -> None:
    """Score translations that exist.

    Args:
        files: what is scored against what.
        options: how.
        tgt_lang: target language, if an option says it.
        config: the recipe named, if one is.

    Raises:
        ConfigError: a file is missing, or the target language, or one file is named twice.
        DataError: the files cannot be read, or their lines do not match.
    """
    from s2s_cli.console import warn
    from s2s_cli.data.lines import read_lines
    from s2s_cli.scoring.metrics import choose_scored_lines

    if files.hyp is None or not files.refs:
        missing = "--hyp FILE" if files.hyp is None else "--ref FILE"
        raise ConfigError(f"{missing}: missing; scoring needs translations and references")
    scoring = options.for_language(_choose_language(tgt_lang, config, [*files.refs, files.hyp]))
    refuse_clashes([("--hyp", files.hyp), *(("--ref", path) for path in files.refs)], [])
    raw = [read_lines(path) for path in (files.hyp, *files.refs)]
    hypotheses, *references = map(scoring.settings.normalize, raw)
    warn_of_normalized(str(files.hyp), raw, [hypotheses, *references])
    for path, lines in zip((files.hyp, *files.refs), raw, strict=True):
        if script := describe_script(lines[:SAMPLED_LINES], scoring.settings.tgt_lang):
            warn(f"{path}: {script}; name its language with --tgt-lang")
    scored = choose_scored_lines(hypotheses, references)
    warn_of_blank_lines(str(files.refs[0]), len(hypotheses) - len(scored.numbers))
    found = measure(scoring, scored)
    title = f"{files.hyp} against {', '.join(map(str, files.refs))}"
    show_scores(title, {str(files.hyp): found})


HEADER = "log_prob\tlog_prob_per_token\ttokens"


def show_pair_scores(loaded: "Loaded", tests: "Sequence[ParallelText]") -> None:
    """One TSV line per pair on stdout, after a header; their sum on stderr.

    Args:
        loaded: the model.
        tests: the pairs; those of each are of one direction.

    Raises:
        DataError: pairs with a blank side were left out, so that lines would not match.
    """
    from s2s_cli.console import show_table, write_result
    from s2s_cli.decoding.score_pairs import perplexity, score_pairs
    from s2s_cli.scoring.metrics import format_perplexity

    name = "+".join(test.name for test in tests)
    num_blank = sum(len(test.rows) - len(test.pairs) for test in tests)
    if num_blank:
        raise DataError(
            f"{name}: {num_blank} pairs have a blank side and no score, so the lines of the scores "
            "would not match those of the pairs; remove those pairs from both sides"
        )
    size = loaded.decoding.num_sentences
    scores = [
        score
        for part in tests
        for score in score_pairs(
            loaded.between(*part.direction).translator,
            [row[0] for row in part.rows],
            [row[1] for row in part.rows],
            size,
        )
    ]
    rows = [
        f"{log_prob:.6f}\t{log_prob / num_tokens:.6f}\t{num_tokens}"
        for log_prob, num_tokens in scores
    ]
    write_result("\n".join([HEADER, *rows]))
    facts = (
        f"{len(scores):,}",
        f"{sum(num_tokens for _, num_tokens in scores):,}",
        f"{sum(log_prob for log_prob, _ in scores):.4f}",
        format_perplexity(perplexity(scores), digits=4),
    )
    show_table(f"pairs of {name}", ("pairs", "tokens", "log_prob", "perplexity"), [facts])
