"""A readable report of an evaluation."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from s2s_cli.scoring.metrics import Score

NUM_EXAMPLES = 20


class Example(NamedTuple):
    """One sentence of a test set, translated and scored."""

    source: str
    reference: str
    hypothesis: str
    chrf: float


def format_report(
    title: str,
    facts: Sequence[tuple[str, str]],
    scores: Sequence[Score],
    examples: Sequence[Example],
) -> str:
    """Markdown: the facts, the scores with their signatures, the best and the worst sentences.

    Text from the data is escaped: it can neither format the page nor run in it.

    Args:
        title: of the page.
        facts: name and value pairs: model, data, settings.
        scores: of the corpus.
        examples: all sentences of the test set.
    """
    lines = [f"# {_escape(title)}", "", "| | |", "|---|---|"]
    lines += [f"| {_escape(name)} | {_escape(value)} |" for name, value in facts]
    lines += ["", "## Scores", "", "| measure | score | signature |", "|---|---|---|"]
    for score in scores:
        signature = score.signature.replace("|", "\\|")  # else it would end the table's cell
        lines.append(f"| {score.name} | {score.value:.2f} | `{signature}` |")
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
                f"- line {index + 1}, chrF {example.chrf:.1f}",
                f"  - source: {_escape(example.source)}",
                f"  - reference: {_escape(example.reference)}",
                f"  - translation: {_escape(example.hypothesis)}",
            ]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Show text as it is: no markup, no HTML, no control characters."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", text)
