"""Compute and print the scores of an evaluation."""

import json
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.config import Text
    from s2s_cli.scoring.labels import Confusion
    from s2s_cli.scoring.metrics import MetricName, Score, ScoredLines, ScoringSettings


WIDE_LABELS = 6
"""With more labels, only the report has the confusion table."""


class Scoring(NamedTuple):
    """The metrics to compute for test sets of one language."""

    metrics: "list[MetricName]"
    settings: "ScoringSettings"
    has_word_bleu: bool
    """Whether to compute BLEU on word tokens as well."""
    has_accuracy: bool | None
    """Whether to compute accuracy as well; None if it depends on the references."""
    case_note: str = ""
    """A note for case-sensitive scores."""

    def add_notes(self, score: "Score", caveat: str | None) -> "Score":
        """Add the notes that a reader of a score should know.

        Args:
            score: of any metric.
            caveat: the reason why BLEU is not meaningful for this test set, if there is one.
        """
        is_bleu = score.name in ("bleu", "bleu-tokens")
        is_cased = "case:mixed" in score.signature
        notes = [score.note, is_bleu and caveat, is_cased and self.case_note]
        return score._replace(note="; ".join(note for note in notes if note))


LOWER_CASED = "the model writes lower case only, so case counts against it; not comparable"
"""Note for case-sensitive scores of a lower-cased model."""


class ScoringOptions(NamedTuple):
    """The options about scoring."""

    metrics: "list[MetricName]"
    lowercase: bool | None
    tokenize: str | None
    has_word_bleu: bool
    has_accuracy: bool | None

    def for_language(self, tgt_lang: str, text: "Text", *, is_lower_cased: bool = False) -> Scoring:
        """Set up scoring for a target language.

        Args:
            tgt_lang: the language of the references.
            text: the section of the recipe or model, for normalising references and hypotheses.
            is_lower_cased: whether the model writes lower case only.

        Raises:
            ConfigError: BLEU needs a tokeniser that is not installed.
        """
        from s2s_cli.scoring.metrics import ScoringSettings, make_bleu

        settings = ScoringSettings(
            tgt_lang, bool(self.lowercase), self.tokenize, text.normalize, text.chinese
        )
        if "bleu" in self.metrics:
            make_bleu(settings)
        note = LOWER_CASED if is_lower_cased and not self.lowercase else ""
        return Scoring(self.metrics, settings, self.has_word_bleu, self.has_accuracy, note)


def ignores_case(lowercase: bool | None, card: "ModelCard") -> bool:
    """Whether scores ignore case; by default, they do if the model's text is lower-cased."""
    from s2s_cli.console import say

    if lowercase is None and card.text.lowercase:
        say("scores ignore case, as the model's text is lower-cased; --no-lowercase counts it")
    return card.text.lowercase if lowercase is None else lowercase


class Scores(NamedTuple):
    """The scores of one test set."""

    scores: "list[Score]"
    confusion: "Confusion | None"
    """Only if the references are labels."""

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Return the score, 95 % interval, signature and note of each metric, for JSON."""
        return {
            score.name: {
                "score": score.value,
                **({} if score.interval is None else {"interval": score.interval}),
                "signature": score.signature,
                **({"note": score.note} if score.note else {}),
            }
            for score in self.scores
        }


def warn_of_blank_lines(name: str, num_left_out: int, num_blank_sources: int = 0) -> None:
    """Warn of lines that are not scored, and of blank sources that are scored.

    Args:
        name: of the test set.
        num_left_out: lines without a reference.
        num_blank_sources: lines with a reference but without a source.
    """
    from s2s_cli.console import warn

    if num_left_out:
        warn(f"{name}: lines without a reference are not scored ({num_left_out:,})")
    if num_blank_sources:
        warn(
            f"{name}: lines with a blank source but a reference count as empty translations "
            f"({num_blank_sources:,})"
        )


def warn_of_normalized(name: str, raw: list[list[str]], normalized: list[list[str]]) -> None:
    """Warn how many lines change by normalisation before scoring, apart from white space."""
    from s2s_cli.console import warn

    num_changed = sum(
        before.split() != after.split()
        for sides in zip(raw, normalized, strict=True)
        for before, after in zip(*sides, strict=True)
    )
    if num_changed:
        warn(
            f"{name}: scores compare normalised text (text.normalize, text.chinese); lines "
            f"changed: {num_changed:,}"
        )


def measure(scoring: Scoring, scored: "ScoredLines") -> Scores:
    """Score translations; reports on stderr if the references are treated as labels."""
    from s2s_cli.console import counting, say
    from s2s_cli.scoring.caveats import find_caveat
    from s2s_cli.scoring.labels import count_confusion, look_like_labels, score_accuracy
    from s2s_cli.scoring.metrics import MAX_RESAMPLED, score_corpus, score_tokens

    settings, (_, hypotheses, references) = scoring.settings, scored
    if not (has_intervals := len(hypotheses) <= MAX_RESAMPLED):
        say(f"no 95 % intervals: more than {MAX_RESAMPLED:,} sentences need too much memory")

    with counting("sentences") as advance:
        scores = score_corpus(
            scoring.metrics,
            hypotheses,
            references,
            settings,
            partial(advance, "scoring TER"),
            has_intervals=has_intervals,
        )
    if scoring.has_word_bleu:
        scores.append(score_tokens(hypotheses, references, settings, has_intervals=has_intervals))
    has_accuracy = scoring.has_accuracy
    if has_accuracy is None and (has_accuracy := look_like_labels(references, settings.tgt_lang)):
        labels = ", ".join(sorted(set(references[0])))
        say(
            f"the references look like labels ({labels}), so accuracy is scored; "
            "--no-accuracy omits it"
        )
    confusion = None
    if has_accuracy:
        confusion = count_confusion(hypotheses, references, settings)
        scores.append(score_accuracy(confusion, settings))
    # Only for BLEU, because it needs the tokeniser of BLEU, which may not be installed.
    caveat = find_caveat(references, settings) if "bleu" in scoring.metrics else None
    return Scores([scoring.add_notes(score, caveat) for score in scores], confusion)


def show_scores(title: str, found: dict[str, Scores], has_mean: bool = False) -> None:
    """Print scores as JSON on stdout and as a table on stderr; several test sets have names.

    Args:
        title: of the table.
        found: the scores of each test set, by its name.
        has_mean: whether to add the mean BLEU, for test sets of several directions.
    """
    from s2s_cli.console import say, show_table, write_result
    from s2s_cli.scoring.metrics import format_interval

    if has_mean:
        found = {**found, **average_bleu(found)}
    is_one = len(found) == 1
    rows = [
        (*([] if is_one else [name]), score.name, f"{score.value:.2f}", format_interval(score))
        for name, one in found.items()
        for score in one.scores
    ]
    columns = ("measure", "score", "95 % interval")
    show_table(title, columns if is_one else ("test set", *columns), rows)
    all_scores = [score for one in found.values() for score in one.scores]
    for name, signature in dict.fromkeys((score.name, score.signature) for score in all_scores):
        say(f"  {name}: {signature}")
    for name, note in dict.fromkeys((score.name, score.note) for score in all_scores):
        if note:
            say(f"  {name}: {note}")
    for name, one in found.items():
        if one.confusion is not None:
            _show_labels("labels" if is_one else f"labels of {name}", one.confusion)
    tree = {name: one.as_dict() for name, one in found.items()}
    write_result(json.dumps(next(iter(tree.values())) if is_one else tree))


def average_bleu(found: dict[str, Scores]) -> dict[str, Scores]:
    """Return the mean BLEU of the test sets as a further entry; empty without BLEU."""
    from s2s_cli.scoring.metrics import Score

    scores = [score for one in found.values() for score in one.scores if score.name == "bleu"]
    if not scores:
        return {}
    value = fmean(score.value for score in scores)
    signature = f"mean of {len(scores)} test sets"
    notes = dict.fromkeys(score.note for score in scores if score.note)
    mean = Score("bleu", value, signature, "; ".join(notes))
    return {"mean": Scores([mean], None)}


def _show_labels(title: str, confusion: "Confusion") -> None:
    """Print precision, recall and F1 of each label; of few labels, also the confusion table."""
    from s2s_cli.console import show_table
    from s2s_cli.scoring.labels import MAX_LABELS, OTHER
    from s2s_cli.scoring.metrics import format_share

    if len(confusion.labels) > MAX_LABELS:
        return
    is_wide = len(confusion.labels) <= WIDE_LABELS
    rows = []
    for label, counts, shares in zip(
        confusion.labels, confusion.counts, confusion.qualities(), strict=True
    ):
        numbers = [f"{count:,}" for count in counts] if is_wide else []
        rows.append((label, f"{sum(counts):,}", *numbers, *map(format_share, shares)))
    translated = [f"as {name}" for name in (*confusion.labels, OTHER)] if is_wide else []
    columns = ("reference", "lines", *translated, "precision", "recall", "F1")
    show_table(title, columns, rows)
