"""A readable report of an evaluation."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from s2s_cli.scoring.labels import MAX_LABELS, OTHER, Confusion
from s2s_cli.scoring.metrics import Score

NUM_EXAMPLES = 20


class Example(NamedTuple):
    """One sentence of a test set, translated and scored."""

    line: int
    """In the test set, from 1."""
    source: str
    references: Sequence[str]
    hypothesis: str
    chrf: float


def format_report(
    title: str,
    facts: Sequence[tuple[str, str]],
    scores: Sequence[Score],
    examples: Sequence[Example],
    confusion: Confusion | None = None,
) -> str:
    """Markdown: the facts, the scores with their signatures, the best and the worst sentences.

    Text from the data is escaped: it can neither format the page nor run in it.

    Args:
        title: of the page.
        facts: name and value pairs: model, data, settings.
        scores: of the corpus.
        examples: all sentences that are scored.
        confusion: of the labels, if the test set asks for labels.
    """
    lines = [f"# {_escape(title)}", "", "| | |", "|---|---|"]
    lines += [f"| {_escape(name)} | {_escape(value)} |" for name, value in facts]
    has_notes = any(score.note for score in scores)
    lines += ["", "## Scores", "", f"| measure | score | signature |{' note |' * has_notes}"]
    lines += ["|---" * (3 + has_notes) + "|"]
    for score in scores:
        signature = score.signature.replace("|", "\\|")  # else it would end the table's cell
        note = f" {_escape(score.note)} |" if has_notes else ""
        lines.append(f"| {score.name} | {score.value:.2f} | `{signature}` |{note}")
    if confusion is not None and len(confusion.labels) <= MAX_LABELS:
        lines += _format_confusion(confusion)
    ranked = sorted(range(len(examples)), key=lambda i: (-examples[i].chrf, i))
    # Of few sentences none is shown twice.
    num_best = min(NUM_EXAMPLES, (len(ranked) + 1) // 2)
    num_worst = min(NUM_EXAMPLES, len(ranked) - num_best)
    best, worst = ranked[:num_best], ranked[::-1][:num_worst]
    for heading, chosen in (("Best", best), ("Worst", worst)):
        lines += ["", f"## {heading} sentences, by chrF", ""]
        for index in chosen:
            example = examples[index]
            lines += [
                f"- line {example.line}, chrF {example.chrf:.1f}",
                f"  - source: {_escape(example.source)}",
                *(f"  - reference: {_escape(reference)}" for reference in example.references),
                f"  - translation: {_escape(example.hypothesis)}",
            ]
    return "\n".join(lines) + "\n"


def _format_confusion(confusion: Confusion) -> list[str]:
    """What was translated as what, and how well each label is found."""
    names = [f"*{_escape(label)}*" for label in confusion.labels]
    lines = ["", "## Labels: references in rows, translations in columns", ""]
    lines.append(f"| | {' | '.join([*names, OTHER])} | precision | recall | F1 |")
    lines.append("|---" * (len(names) + 5) + "|")
    for name, row, quality in zip(names, confusion.counts, confusion.qualities(), strict=True):
        shares = (quality.precision, quality.recall, quality.f1)
        cells = [*map(str, row), *(format_share(share) for share in shares)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def format_share(share: float | None) -> str:
    """A share in per cent, or a dash where there is none."""
    return "-" if share is None else f"{100 * share:.1f}"


def _escape(text: str) -> str:
    """Show text as it is: no markup, no HTML, no control characters."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)
