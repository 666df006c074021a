"""A comparison of systems as a table in the terminal, as JSON, CSV, LaTeX or Markdown."""

import csv
import io
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.commands.comparison import Comparison
    from s2s_cli.scoring.breakdowns import SentenceChange
    from s2s_cli.scoring.significance import Ranking, Standing

TITLES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "accuracy": "accuracy"}
NUM_SHOWN = 3
"""Sentences shown in the terminal that improved, and that got worse."""


def show_comparison(comparison: "Comparison") -> None:
    """Print the comparison on stderr."""
    from s2s_cli.console import say, show_table

    num_sentences = len(comparison.scored[0].numbers)
    for ranking in comparison.rankings:
        title = f"{TITLES[ranking.metric]} on {comparison.test_set} ({num_sentences:,} sentences)"
        header, *rows = _tabulate(ranking)
        show_table(title, header, rows)
        say(f"  {ranking.signature}")
    if any(one.interval is not None for one in comparison.rankings[-1].standings):
        say("  interval: 95 % of bootstrap samples are in it")
    say("  p: how often equally good systems would differ this much by chance")
    if comparison.by_length:
        metric = TITLES[comparison.rankings[0].metric]
        show_table(
            f"{metric} by source length",
            ("words", "sentences", *comparison.names),
            [
                (row.words, f"{row.num_sentences:,}", *(f"{score:.1f}" for score in row.scores))
                for row in comparison.by_length
            ],
        )
    for place, changes in enumerate(comparison.changes, start=1):
        say(
            f"{comparison.names[place]}: chrF is higher than with {comparison.names[0]} in "
            f"{changes.num_improved:,} sentences, lower in {changes.num_worse:,}, equal in "
            f"{changes.num_same:,}"
        )
        for heading, chosen in (("improved", changes.improved), ("worse", changes.worse)):
            for change in chosen[:NUM_SHOWN]:
                _show_change(comparison, place, heading, change)


def _show_change(
    comparison: "Comparison", place: int, heading: str, change: "SentenceChange"
) -> None:
    """Print a sentence that changed, with its source and reference."""
    from s2s_cli.console import say

    line = comparison.scored[0].numbers[change.place] + 1
    say(f"{heading}, line {line}, chrF {change.chrf[0]:.0f} -> {change.chrf[1]:.0f}")
    texts = [("reference", comparison.scored[0].references[0][change.place])]
    if comparison.sources is not None:
        texts.insert(0, ("source", comparison.sources[change.place]))
    for system in (0, place):
        hypothesis = comparison.scored[system].hypotheses[change.place]
        texts.append((comparison.names[system], hypothesis))
    width = max(len(name) for name, _ in texts)
    for name, text in texts:
        say(f"  {name:<{width}}  {text}")


def _tabulate(ranking: "Ranking") -> list[tuple[str, ...]]:
    """The header and the rows of a ranking."""
    is_accuracy = ranking.metric == "accuracy"
    tests = ("p McNemar",) if is_accuracy else ("p bootstrap", "p random.")
    spread = () if is_accuracy else ("interval",)
    rows = [("system", TITLES[ranking.metric], *spread, "difference", *tests)]
    for one in ranking.standings:
        values = [one.p_mcnemar] if is_accuracy else [one.p_bootstrap, one.p_randomization]
        half = () if one.interval is None else (f"±{one.interval:.2f}",)
        difference = "" if one.difference is None else f"{one.difference:+.2f}"
        cells = ("" if p is None else f"{p:.4f}" for p in values)
        rows.append((one.system, f"{one.score:.2f}", *half, difference, *cells))
    return rows


def format_comparison(comparison: "Comparison", name: str) -> str:
    """Format for stdout, with a newline at the end.

    Args:
        comparison: what is formatted.
        name: a key of `FORMATS`.
    """
    return FORMATS[name](comparison)


def _to_json(comparison: "Comparison") -> str:
    tree = {
        "test_set": comparison.test_set,
        "sentences": len(comparison.scored[0].numbers),
        "systems": comparison.names,
        "scores": {
            ranking.metric: {
                "signature": ranking.signature,
                "systems": [_without_none(one) for one in ranking.standings],
            }
            for ranking in comparison.rankings
        },
        "by_source_length": [row._asdict() for row in comparison.by_length],
        "changes": [
            {
                "system": comparison.names[place],
                "num_improved": changes.num_improved,
                "num_worse": changes.num_worse,
                "num_same": changes.num_same,
                "improved": [_list_texts(comparison, place, one) for one in changes.improved],
                "worse": [_list_texts(comparison, place, one) for one in changes.worse],
            }
            for place, changes in enumerate(comparison.changes, start=1)
        ],
    }
    return json.dumps(tree, ensure_ascii=False) + "\n"


def _without_none(standing: "Standing") -> dict[str, object]:
    return {key: value for key, value in standing._asdict().items() if value is not None}


def _list_texts(
    comparison: "Comparison", place: int, change: "SentenceChange"
) -> dict[str, object]:
    """A sentence that changed, for JSON."""
    return {
        "line": comparison.scored[0].numbers[change.place] + 1,
        "source": None if comparison.sources is None else comparison.sources[change.place],
        "references": [side[change.place] for side in comparison.scored[0].references],
        "first": comparison.scored[0].hypotheses[change.place],
        "second": comparison.scored[place].hypotheses[change.place],
        "chrf": list(change.chrf),
    }


def _to_csv(comparison: "Comparison") -> str:
    """One row per metric and system, numbers in full."""
    columns = ("metric", *type(comparison.rankings[0].standings[0])._fields)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for ranking in comparison.rankings:
        writer.writerows((ranking.metric, *one) for one in ranking.standings)
    return text.getvalue()


def _to_markdown(comparison: "Comparison") -> str:
    lines = []
    for ranking in comparison.rankings:
        header, *rows = _tabulate(ranking)
        lines += ["", *(f"| {' | '.join(map(_escape_markdown, row))} |" for row in (header, *rows))]
        lines.insert(len(lines) - len(rows), "|---" + "|--:" * (len(header) - 1) + "|")
        lines += ["", f"`{ranking.signature}`"]
    return "\n".join(lines[1:]) + "\n"


def _escape_markdown(cell: str) -> str:
    return re.sub(r"([\\|`*_<\[\]])", r"\\\1", cell)


def _to_latex(comparison: "Comparison") -> str:
    """A table for each metric, with booktabs' rules."""
    lines = []
    for ranking in comparison.rankings:
        header, *rows = _tabulate(ranking)
        lines += [f"% {ranking.signature}", rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"]
        lines += [r"\toprule", _to_latex_row(header), r"\midrule"]
        lines += [*map(_to_latex_row, rows), r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines[:-1]) + "\n"


_LATEX = {"±": r"$\pm$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_LATEX |= {"^": r"\textasciicircum{}", **{character: f"\\{character}" for character in "&%$#_{}"}}


def _to_latex_row(cells: tuple[str, ...]) -> str:
    escaped = ("".join(_LATEX.get(character, character) for character in cell) for cell in cells)
    return " & ".join(re.sub(r"^-(?=\d)", "$-$", cell) for cell in escaped) + r" \\"


FORMATS = {"json": _to_json, "csv": _to_csv, "latex": _to_latex, "markdown": _to_markdown}
