"""Scores of an evaluation: measured and shown."""

import json
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s2s_cli.config import Text
    from s2s_cli.scoring.labels import Confusion
    from s2s_cli.scoring.metrics import MetricName, Score, ScoredLines, ScoringSettings


WIDE_LABELS = 6
"""Of more labels than these the confusion table is in the report only."""


class Scoring(NamedTuple):
    """What is measured, and how."""

    names: "list[MetricName]"
    settings: "ScoringSettings"
    is_tokenized: bool
    """Whether BLEU of words is measured too."""
    is_of_labels: bool | None
    """Whether accuracy is measured too; None if the references are to say."""
    case_note: str = ""
    """What has to be known about scores in which case counts."""

    def note_on(self, score: "Score", caveat: str | None) -> "Score":
        """The score with what has to be known about it.

        Args:
            score: of any measure.
            caveat: why BLEU says little here, if it does.
        """
        is_bleu = score.name in ("bleu", "bleu-tokens")
        is_cased = "case:mixed" in score.signature
        notes = [score.note, is_bleu and caveat, is_cased and self.case_note]
        return score._replace(note="; ".join(note for note in notes if note))


LOWER_CASED = "the model writes lower case only, so case counts against it; not comparable"
"""Note on scores in which case counts."""


class ScoringOptions(NamedTuple):
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

    def for_language(self, tgt_lang: str) -> Scoring:
        """The same, set up for a language; checked before anything is translated."""
        from s2s_cli.scoring.metrics import ScoringSettings, make_bleu

        text = self.text
        settings = ScoringSettings(
            tgt_lang, self.lowercase, self.tokenize, text.normalize, text.chinese
        )
        if "bleu" in self.names:
            make_bleu(settings)
        note = LOWER_CASED if self.is_lower_cased and not self.lowercase else ""
        return Scoring(self.names, settings, self.tokenized, self.accuracy, note)


class Scores(NamedTuple):
    """The scores of one test set."""

    scores: "list[Score]"
    confusion: "Confusion | None"
    """If the test set asks for labels."""

    def as_dict(self) -> dict[str, dict[str, object]]:
        """For JSON: each measure's score and signature, and a note if there is one."""
        return {
            score.name: {
                "score": score.value,
                "signature": score.signature,
                **({"note": score.note} if score.note else {}),
            }
            for score in self.scores
        }


def warn_of_blank_lines(name: str, num_left_out: int, num_blank_sources: int = 0) -> None:
    """Report which lines are not scored, and which are scored though they could not be translated.

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
    """Report how many lines normalisation changes before they are scored, white space aside."""
    from s2s_cli.console import warn

    num_changed = sum(
        before.split() != after.split()
        for sides in zip(raw, normalized, strict=True)
        for before, after in zip(*sides, strict=True)
    )
    if num_changed:
        warn(
            f"{name}: scores compare normalised text (text.normalize, text.chinese); lines "
            f"changed by it: {num_changed:,}"
        )


def measure(scoring: Scoring, scored: "ScoredLines") -> Scores:
    """Score translations; says on stderr if the references are taken to be labels."""
    from s2s_cli.console import counting, say
    from s2s_cli.scoring.caveats import find_caveat
    from s2s_cli.scoring.labels import count_confusion, look_like_labels, score_accuracy
    from s2s_cli.scoring.metrics import score_corpus, score_tokens

    settings, (_, hypotheses, references) = scoring.settings, scored

    with counting("sentences") as advance:
        scores = score_corpus(
            scoring.names, hypotheses, references, settings, partial(advance, "scoring TER")
        )
    if scoring.is_tokenized:
        scores.append(score_tokens(hypotheses, references, settings))
    is_of_labels = scoring.is_of_labels
    if is_of_labels is None and (is_of_labels := look_like_labels(references, settings.tgt_lang)):
        labels = ", ".join(sorted(set(references[0])))
        say(
            f"the references look like labels ({labels}), so accuracy is scored; "
            "--no-accuracy leaves it out"
        )
    confusion = None
    if is_of_labels:
        confusion = count_confusion(hypotheses, references, settings)
        scores.append(score_accuracy(confusion, settings))
    has_bleu = "bleu" in scoring.names  # whose tokeniser may not be installed
    caveat = find_caveat(references, settings) if has_bleu else None
    return Scores([scoring.note_on(score, caveat) for score in scores], confusion)


def show_scores(title: str, found: dict[str, Scores], has_mean: bool = False) -> None:
    """The scores as JSON on stdout, and as a table on stderr; several test sets by their names.

    Args:
        title: of the table.
        found: by test set.
        has_mean: add the mean of the test sets' BLEU, for test sets of several directions.
    """
    from s2s_cli.console import show_table, write_result

    if has_mean:
        found = {**found, **average_bleu(found)}
    is_one = len(found) == 1
    rows = [
        (*([] if is_one else [name]), score.name, f"{score.value:.2f}", score.signature, score.note)
        for name, one in found.items()
        for score in one.scores
    ]
    columns = ["measure", "score", "signature", "note"]
    if not any(note for *_, note in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    show_table(title, columns if is_one else ["test set", *columns], rows)
    for name, one in found.items():
        if one.confusion is not None:
            _show_labels("labels" if is_one else f"labels of {name}", one.confusion)
    tree = {name: one.as_dict() for name, one in found.items()}
    write_result(json.dumps(next(iter(tree.values())) if is_one else tree))


def average_bleu(found: dict[str, Scores]) -> dict[str, Scores]:
    """The mean of the test sets' BLEU, as a row of its own; nothing if BLEU was not asked for."""
    scores = [score for one in found.values() for score in one.scores if score.name == "bleu"]
    if not scores:
        return {}
    value = fmean(score.value for score in scores)
    signature = f"mean of {len(scores)} test sets"
    notes = dict.fromkeys(score.note for score in scores if score.note)
    mean = scores[0]._replace(value=value, signature=signature, note="; ".join(notes))
    return {"mean": Scores([mean], None)}


def _show_labels(title: str, confusion: "Confusion") -> None:
    """How well each label is found; if they are few, also what it was translated as."""
    from s2s_cli.console import show_table
    from s2s_cli.scoring.labels import MAX_LABELS, OTHER
    from s2s_cli.scoring.report import format_share

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
