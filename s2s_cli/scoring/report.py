"""The report of an evaluation as a Markdown page.

Text from the data is escaped: it can neither format the page nor run in it.
"""

import re
from collections.abc import Sequence

from s2s_cli.scoring.labels import MAX_LABELS, OTHER, Confusion
from s2s_cli.scoring.metrics import Score, ScoredLines

NUM_EXAMPLES = 20
"""How many of the best and of the worst sentences are shown."""


def format_report(
    title: str,
    facts: Sequence[tuple[str, str]],
    scores: Sequence[Score],
    confusion: Confusion | None = None,
) -> str:
    """The facts, and the scores with their signatures.

    Args:
        title: of the page.
        facts: name and value pairs: model, data, settings.
        scores: of the corpus.
        confusion: of the labels, if the references are labels.
    """
    lines = [f"# {_escape(title)}", "", "| | |", "|---|---|"]
    lines += [f"| {_escape(name)} | {_escape(value)} |" for name, value in facts]
    has_notes = any(score.note for score in scores)
    header = f"| measure | score | 95 % interval | signature |{' note |' * has_notes}"
    lines += ["", "## Scores", "", header, "|---" * (4 + has_notes) + "|"]
    for score in scores:
        signature = score.signature.replace("|", "\\|")  # A plain one would end the table's cell.
        note = f" {_escape(score.note)} |" if has_notes else ""
        cells = f"{score.name} | {score.value:.2f} | {format_interval(score)} | `{signature}`"
        lines.append(f"| {cells} |{note}")
    if confusion is not None and len(confusion.labels) <= MAX_LABELS:
        lines += _format_confusion(confusion)
    return "\n".join(lines) + "\n"


def format_examples(sources: Sequence[str], scored: ScoredLines, chrf: Sequence[float]) -> str:
    """The best and the worst sentences, at most `NUM_EXAMPLES` each and none twice.

    Args:
        sources: of all lines of the test set.
        scored: the lines that are scored.
        chrf: of each scored line.
    """
    ranked = sorted(range(len(chrf)), key=lambda i: (-chrf[i], i))
    num_best = min(NUM_EXAMPLES, (len(ranked) + 1) // 2)
    num_worst = min(NUM_EXAMPLES, len(ranked) - num_best)
    lines = []
    for heading, chosen in (("Best", ranked[:num_best]), ("Worst", ranked[::-1][:num_worst])):
        lines += ["", f"## {heading} sentences, by chrF", ""]
        for index in chosen:
            number = scored.numbers[index]
            lines += [
                f"- line {number + 1}, chrF {chrf[index]:.1f}",
                f"  - source: {_escape(sources[number])}",
                *(f"  - reference: {_escape(side[index])}" for side in scored.references),
                f"  - translation: {_escape(scored.hypotheses[index])}",
            ]
    return "\n".join(lines) + "\n"


def _format_confusion(confusion: Confusion) -> list[str]:
    """A table: how often each label was translated as each label, and precision, recall and F1."""
    names = [f"*{_escape(label)}*" for label in confusion.labels]
    lines = ["", "## Labels: references in rows, translations in columns", ""]
    lines.append(f"| | {' | '.join([*names, OTHER])} | precision | recall | F1 |")
    lines.append("|---" * (len(names) + 5) + "|")
    for name, row, shares in zip(names, confusion.counts, confusion.qualities(), strict=True):
        cells = [*map(str, row), *(format_share(share) for share in shares)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def format_interval(score: Score) -> str:
    """The 95 % interval of a score, as in `28.1 to 32.4`; empty if it is unknown."""
    if score.interval is None:
        return ""
    return f"{score.value - score.interval:.1f} to {score.value + score.interval:.1f}"


def format_share(share: float | None) -> str:
    """A share in per cent; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f}"


def _escape(text: str) -> str:
    """Escape markup and HTML, and replace control characters."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)
