"""Scores of an evaluation: measured, shown, and written as a report."""

import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.scoring.labels import Confusion
    from s2s_cli.scoring.metrics import MetricName, Score, ScoringSettings


WIDE_LABELS = 6
"""Of more labels than these the confusion table is in the report only."""


class Measures(NamedTuple):
    """What is measured, and how."""

    names: "list[MetricName]"
    settings: "ScoringSettings"
    is_tokenized: bool
    """Whether BLEU of words is measured too."""
    is_of_labels: bool | None
    """Whether accuracy is measured too; None if the references are to say."""


class Found(NamedTuple):
    """The scores of one test set."""

    scores: "list[Score]"
    confusion: "Confusion | None"
    """If the test set asks for labels."""

    def as_dict(self) -> dict[str, dict[str, object]]:
        """For JSON: each measure's score and signature."""
        return {
            score.name: {"score": score.value, "signature": score.signature}
            for score in self.scores
        }


class Evaluated(NamedTuple):
    """A test set and what a model made of it."""

    models: tuple[Path, ...]
    """One, or the members of an ensemble."""
    loaded: "Loaded"
    test: "Corpus"
    hypotheses: list[str]
    seconds: float
    """That the translation took."""


def measure(measures: Measures, hypotheses: list[str], references: list[list[str]]) -> Found:
    """Score translations; says on stderr if the references are taken to be labels."""
    from s2s_cli.console import say
    from s2s_cli.scoring.labels import count_confusion, look_like_labels, score_accuracy
    from s2s_cli.scoring.metrics import score_corpus, score_tokens
    from s2s_cli.text.tokenizer import make_tokenizer

    settings = measures.settings

    def tokenize(line: str) -> list[str]:
        return make_tokenizer("auto", settings.tgt_lang, settings.lowercase).tokenize(line)

    scores = score_corpus(measures.names, hypotheses, references, settings)
    if measures.is_tokenized:
        tokenizer = make_tokenizer("auto", settings.tgt_lang, settings.lowercase)
        scores.append(score_tokens(hypotheses, references, settings, tokenizer))
    is_of_labels = measures.is_of_labels
    if is_of_labels is None and (is_of_labels := look_like_labels(references, tokenize)):
        labels = ", ".join(sorted(set(references[0])))
        say(
            f"the references look like labels ({labels}), so accuracy is scored; "
            "--no-accuracy leaves it out"
        )
    if not is_of_labels:
        return Found(scores, None)
    confusion = count_confusion(hypotheses, references, settings)
    return Found([*scores, score_accuracy(confusion, settings)], confusion)


def show_scores(title: str, found: dict[str, Found], has_mean: bool = False) -> None:
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
        (*([] if is_one else [name]), score.name, f"{score.value:.2f}", score.signature)
        for name, one in found.items()
        for score in one.scores
    ]
    columns = ("measure", "score", "signature")
    show_table(title, columns if is_one else ("test set", *columns), rows)
    for name, one in found.items():
        if one.confusion is not None:
            _show_labels("labels" if is_one else f"labels of {name}", one.confusion)
    tree = {name: one.as_dict() for name, one in found.items()}
    write_result(json.dumps(next(iter(tree.values())) if is_one else tree))


def average_bleu(found: dict[str, Found]) -> dict[str, Found]:
    """The mean of the test sets' BLEU, as a row of its own; nothing if BLEU was not asked for."""
    scores = [score for one in found.values() for score in one.scores if score.name == "bleu"]
    if not scores:
        return {}
    value = fmean(score.value for score in scores)
    signature = f"mean of {len(scores)} test sets"
    mean = scores[0]._replace(value=value, signature=signature, text=f"{value:.2f} {signature}")
    return {"mean": Found([mean], None)}


def _show_labels(title: str, confusion: "Confusion") -> None:
    """How well each label is found; if they are few, also what it was translated as."""
    from s2s_cli.console import show_table
    from s2s_cli.scoring.labels import MAX_LABELS, OTHER
    from s2s_cli.scoring.report import format_share

    if len(confusion.labels) > MAX_LABELS:
        return
    is_wide = len(confusion.labels) <= WIDE_LABELS
    rows = []
    for counts, quality in zip(confusion.counts, confusion.qualities(), strict=True):
        shares = map(format_share, (quality.precision, quality.recall, quality.f1))
        numbers = [f"{count:,}" for count in counts] if is_wide else []
        rows.append((quality.label, f"{quality.num_lines:,}", *numbers, *shares))
    translated = [f"as {name}" for name in (*confusion.labels, OTHER)] if is_wide else []
    columns = ("reference", "lines", *translated, "precision", "recall", "F1")
    show_table(title, columns, rows)


def write_report(
    folder: Path, evaluated: Evaluated, settings: "ScoringSettings", found: Found
) -> None:
    """Write translations, references, scores and a page to read."""
    from s2s_cli.files import write_file
    from s2s_cli.scoring.metrics import score_sentences
    from s2s_cli.scoring.report import Example, format_report
    from s2s_cli.sealed import to_json

    test, hypotheses = evaluated.test, evaluated.hypotheses
    facts = _gather_facts(evaluated)
    numbers: dict[str, object] = {"scores": found.as_dict()}
    if found.confusion is not None:
        numbers["confusion"] = found.confusion._asdict()
    write_file(folder / "hypotheses.txt", _lines(hypotheses))
    for number, reference in enumerate(test.references, start=1):
        name = "references.txt" if number == 1 else f"references-{number}.txt"
        write_file(folder / name, _lines(reference))
    write_file(folder / "scores.json", to_json({**numbers, **facts}))
    chrf = score_sentences(hypotheses, test.references, settings)
    rows = zip(test.src, zip(*test.references, strict=True), hypotheses, chrf, strict=True)
    title = f"{test.src_lang} to {test.tgt_lang} on {test.name}"
    shown = [(key.replace("_", " "), _in_words(value)) for key, value in facts.items()]
    examples = [Example(*row) for row in rows]
    page = format_report(title, shown, found.scores, examples, found.confusion)
    write_file(folder / "report.md", page)


def _gather_facts(evaluated: Evaluated) -> dict[str, object]:
    """Which model translated what, how, where and how fast."""
    from s2s_cli.checkpoint import WEIGHTS, s2s_version
    from s2s_cli.scoring.metrics import sacrebleu_version
    from s2s_cli.sealed import sealed_hash

    test, loaded = evaluated.test, evaluated.loaded
    cards = (loaded.card, *loaded.others)
    return {
        "test_set": test.name,
        "sentences": len(test),
        "references_per_sentence": len(test.references),
        "blank_pairs_left_out": test.num_blank,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "model": _join(evaluated.models),
        "weights_sha256": _join(sealed_hash(folder, WEIGHTS) for folder in evaluated.models),
        "epoch": _join(card.epoch for card in cards) if loaded.others else loaded.card.epoch,
        "step": _join(card.step for card in cards) if loaded.others else loaded.card.step,
        "languages": f"{test.src_lang}-{test.tgt_lang}",
        "decoding": loaded.decoding.model_dump(),
        "device": str(loaded.translator.device),
        "seconds": round(evaluated.seconds, 3),
        "sentences_per_second": round(len(test) / evaluated.seconds, 1),
        "data_sha256": test.origin,
        "s2s_version": s2s_version(),
        "sacrebleu_version": sacrebleu_version(),
    }


def _join(parts: Iterable[object]) -> str:
    return " + ".join(map(str, parts))


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _lines(sentences: list[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)
