"""Score systems on one test set, and test whether they differ by more than chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.scores import warn_of_blank_lines
from s2s_cli.errors import DataError

if TYPE_CHECKING:
    from s2s_cli.commands.systems import System
    from s2s_cli.scoring.breakdowns import Changes
    from s2s_cli.scoring.metrics import MetricName, ScoredLines, ScoringSettings
    from s2s_cli.scoring.significance import Ranking

NUM_CHANGES = 10
"""Sentences listed that improved, and that got worse."""


class LengthScores(NamedTuple):
    """The scores of all systems for source sentences of similar length."""

    words: str
    """The range of lengths."""
    num_sentences: int
    scores: list[float]
    """One per system, by the first metric."""


class Comparison(NamedTuple):
    """Everything that is reported about systems and one test set."""

    test_set: str
    names: list[str]
    scored: "list[ScoredLines]"
    """One per system; all have the same lines and references."""
    sources: list[str] | None
    """Of the scored lines, if they are known."""
    rankings: "list[Ranking]"
    by_length: list[LengthScores]
    """Empty if the sources are unknown."""
    changes: "list[Changes]"
    """One per system after the first."""


def compare_systems(
    systems: "Sequence[System]",
    references: list[list[str]],
    sources: tuple[list[str], str | None] | None,
    settings: "ScoringSettings",
    metrics: "list[MetricName]",
) -> Comparison:
    """Score and test systems.

    Args:
        systems: the first is what the others are compared with.
        references: one or more lists of raw references.
        sources: raw sources and their language, where they are known.
        settings: of the scores.
        metrics: those that options name.

    Raises:
        DataError: there is nothing to score, or lists differ in length.
        ConfigError: the tokeniser is unknown or not installed.
    """
    from s2s_cli.console import say
    from s2s_cli.results import name_runs
    from s2s_cli.scoring.breakdowns import find_changes
    from s2s_cli.scoring.labels import look_like_labels
    from s2s_cli.scoring.metrics import (
        DEFAULT_METRICS,
        MAX_RESAMPLED,
        choose_scored_lines,
        score_sentences,
    )
    from s2s_cli.scoring.significance import compare_accuracies, compare_scores

    sides = [settings.normalize(side) for side in references]
    if len(sides[0]) > MAX_RESAMPLED:
        raise DataError(
            f"{len(sides[0]):,} lines are too many to resample in memory; compare at most "
            f"{MAX_RESAMPLED:,}"
        )
    scored = [choose_scored_lines(settings.normalize(one.hypotheses), sides) for one in systems]
    report = next((system.report for system in systems if system.report is not None), None)
    test_set = report.test_set if report is not None else "references"
    warn_of_blank_lines(test_set, len(sides[0]) - len(scored[0].numbers))
    by_path = {path: name for name, path in name_runs([one.path for one in systems]).items()}
    names = [by_path.get(one.path, str(one.path)) for one in systems]
    named = [(name, lines.hypotheses) for name, lines in zip(names, scored, strict=True)]
    texts = scored[0].references
    rankings = []
    has_labels = look_like_labels(texts, settings.tgt_lang)
    if has_labels:
        say("the references look like labels, so accuracies are compared")
        rankings.append(compare_accuracies(named, texts, settings))
    if metrics or not has_labels:
        rankings += compare_scores(metrics or DEFAULT_METRICS, named, texts, settings)
    chrf = [score_sentences(lines, texts, settings) for _, lines in named]
    known = None if sources is None else [sources[0][number] for number in scored[0].numbers]
    by_length = []
    if sources is not None and known is not None and rankings[0].metric != "accuracy":
        by_length = _score_by_length(rankings[0].metric, known, sources[1], scored, settings)
    return Comparison(
        test_set,
        names,
        scored,
        known,
        rankings,
        by_length,
        [find_changes(chrf[0], other, NUM_CHANGES) for other in chrf[1:]],
    )


def _score_by_length(
    metric: str,
    sources: list[str],
    src_lang: str | None,
    scored: "Sequence[ScoredLines]",
    settings: "ScoringSettings",
) -> list[LengthScores]:
    """Score the sentences of each range of source lengths apart."""
    from s2s_cli.console import say
    from s2s_cli.scoring.breakdowns import group_by_length
    from s2s_cli.scoring.metrics import METRIC_NAMES, score_corpus
    from s2s_cli.text.word_boundaries import make_metric_splitter

    if src_lang is None:
        say("the name of --src gives no language, so words of the source are split at spaces")
    split = str.split if src_lang is None else make_metric_splitter(src_lang)
    name = next(each for each in METRIC_NAMES if each == metric)
    groups = group_by_length([len(split(text)) for text in sources])
    found = []
    for words, places in groups:
        scores = []
        for lines in scored:
            references = [[side[place] for place in places] for side in lines.references]
            hypotheses = [lines.hypotheses[place] for place in places]
            scores.append(score_corpus([name], hypotheses, references, settings)[0].value)
        found.append(LengthScores(words, len(places), scores))
    return found
