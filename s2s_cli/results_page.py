"""Format the page of results: a table of finished runs, then the details of each."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from s2s_cli.config import Decoding

Facts = dict[str, Any]
"""Everything that the page shows of one run, from `results.gather_facts`."""

MEASURES = {"bleu": "BLEU", "bleu-tokens": "BLEU, tokens", "chrf": "chrF", "accuracy": "accuracy"}
"""Scores that have a column in the table."""

_MAIN_SETTINGS = {
    "beam": ("beam_size", "length_penalty", "length_penalty_kind"),
    "sample": ("temperature", "seed"),
    "mbr": ("num_samples", "utility", "temperature", "seed"),
}
"""Settings of a search that are always shown."""

SHOWN_DIGITS = 12
"""Digits shown of a SHA-256."""


def format_page(runs: Iterable[Facts]) -> str:
    """Format the page as Markdown.

    Runs that differ only in their seed share a row: mean (minimum to maximum).
    """
    runs = sorted(runs, key=lambda run: str(run["name"]))
    lines = [
        "# Results",
        "",
        "Written by `s2s results` from run folders; [results.json](results.json) has every number. "
        "The model is the epoch (or mean of epochs) that was best on the validation pairs. The "
        "search settings of each test set are given with its scores.",
        "",
        "| run | languages | weights | updates | minutes | valid | test set | case | "
        + " | ".join(MEASURES.values())
        + " |",
        "|---" * (8 + len(MEASURES)) + "|",
    ]
    for group in group_seeds(runs):
        lines += _rows(group)
    lines += [
        "",
        "Several seeds in a row: mean (minimum to maximum). Scores that ignore case cannot be "
        "compared with case-sensitive scores. Models that write lower case only have no "
        "case-sensitive scores in the table; they are given below. † BLEU is not informative: "
        "labels, references shorter than four tokens, or few sentences.",
    ]
    for run in runs:
        lines += _describe(run)
    return "\n".join(lines) + "\n"


def group_seeds(runs: Iterable[Facts]) -> list[list[Facts]]:
    """Group the runs that differ only in their seed, in order.

    If both translated the same test set, its text, search settings and signatures are the same too.
    """
    groups: list[list[Facts]] = []
    for run in runs:
        for group in groups:
            if all(_differ_only_in_seed(run, other) for other in group):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _differ_only_in_seed(run: Facts, other: Facts) -> bool:
    def train(run: Facts) -> Facts:
        training = {key: v for key, v in run["config"]["training"].items() if key != "seed"}
        return {**run["config"], "training": training, "data": run["trained_on"]}

    if run["seed"] == other["seed"] or train(run) != train(other):
        return False
    return all(
        _is_same_test(run["tests"][name], other["tests"][name])
        for name in run["tests"].keys() & other["tests"].keys()
    )


def _is_same_test(test: Facts, other: Facts) -> bool:
    scores, others = test["scores"], other["scores"]
    return (
        sorted(test["data_sha256"].values()) == sorted(other["data_sha256"].values())
        and _search_of(test) == _search_of(other)
        and all(
            scores[key]["signature"] == others[key]["signature"]
            for key in scores.keys() & others.keys()
        )
    )


def _search_of(test: Facts) -> Facts:
    """Return the search settings that affect translations: all but the batch size.

    Reports of earlier versions lack newer settings, which had their defaults.
    """
    settings = Decoding().model_dump() | test["decoding"]
    return {key: value for key, value in settings.items() if key != "batch_size"}


def _rows(group: Sequence[Facts]) -> list[str]:
    first = group[0]
    best_by = first.get("ranked_by", first["config"]["training"]["best_by"])
    valid = [run["valid"].get(best_by) for run in group]
    start = [
        ", ".join(f"[{run['name']}](#{_anchor(run['name'])})" for run in group),
        first["languages"],
        f"{first['num_parameters'] / 1e6:.1f} M",
        _spread([run["updates"] for run in group], 0),
        _spread([run["minutes"] for run in group], 0),
        f"{_spread(valid, 3 if best_by in ('accuracy', 'loss') else 1)} {best_by}",
    ]
    rows = []
    for name in dict.fromkeys(name for run in group for name in run["tests"]):
        scores = [_comparable(run, name) for run in group if name in run["tests"]]
        if not any(scores):
            continue
        case = "ignored" if _ignores_case(scores[0]) else "counts"
        cells = [
            _spread([score[key]["score"] if key in score else None for score in scores], 1)
            + ("†" if any(_is_uninformative(score, key) for score in scores) else "")
            for key in MEASURES
        ]
        tail = "" if len(scores) == len(group) else f" ({len(scores)} of {len(group)} runs)"
        rows.append(" | ".join(["", *start, f"{name}{tail}", case, *cells, ""]).strip())
        start = [""] * len(start)
    return rows


def _comparable(run: Facts, test: str) -> Facts:
    """Return the scores of a test set that belong in the table.

    A model that writes lower case only has no case-sensitive scores there.
    """
    scores: Facts = run["tests"][test]["scores"]
    is_lower_cased = run["config"]["text"]["lowercase"]
    return {key: one for key, one in scores.items() if not (is_lower_cased and _is_cased(one))}


def _is_uninformative(scores: Facts, key: str) -> bool:
    """Whether a score is BLEU of a test set for which BLEU is not informative."""
    if key not in ("bleu", "bleu-tokens") or key not in scores:
        return False
    return "BLEU says little" in scores[key].get("note", "") or "accuracy" in scores


def _is_cased(score: Facts) -> bool:
    return "case:mixed" in score["signature"]


def _ignores_case(scores: Facts) -> bool:
    """Whether the scores in the table ignore case (TER always does, but has no column)."""
    return not any(_is_cased(score) for key, score in scores.items() if key in MEASURES)


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    if min(known) == max(known):
        return f"{known[0]:,.{digits}f}"
    mean = sum(known) / len(known)
    return f"{mean:,.{digits}f} ({min(known):,.{digits}f} to {max(known):,.{digits}f})"


def _describe(run: Facts) -> list[str]:
    lines = ["", f"## {run['name']}", "", "```", run["command"]]
    for test in run["tests"].values():
        command = test.get("command", f"s2s eval --run {run['name']}")
        if command not in lines:
            lines.append(command)
    lines += ["```", ""]
    facts = {
        "seed": run["seed"],
        "epochs": f"{run['epochs_trained']}, chosen: {_chosen(run)}",
        "machine": run["machine"],
        "versions": f"s2s {run['s2s_version']}, torch {run['torch_version']}",
        "valid": ", ".join(f"{name} {value:.4g}" for name, value in run["valid"].items()),
    }
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    for split, files in run["trained_on"].items():
        lines.append(f"- {split}: {_hashes(files)}")
    for name, test in run["tests"].items():
        scores = "; ".join(
            f"{key} {score['score']:.2f} (`{score['signature']}`{_note(run, score)})"
            for key, score in test["scores"].items()
        )
        lines.append(f"- test {name}, {test['sentences']:,} sentences: {scores}")
        lines.append(f"  - of {_hashes(test['data_sha256'])}")
        lines.append(f"  - search: {describe_search(test['decoding'])}")
    return lines


def _note(run: Facts, score: Facts) -> str:
    """Return the caveat about a score; reports of earlier versions have none."""
    note = score.get("note", "")
    if not note and run["config"]["text"]["lowercase"] and _is_cased(score):
        note = "the model writes lower case only; not comparable"
    return f"; {note}" if note else ""


def describe_search(decoding: Facts) -> str:
    """Describe a search: its main settings, and all that are not the default."""
    search = decoding["search"]
    shown = {key: decoding[key] for key in _MAIN_SETTINGS[search]}
    usual = Decoding().model_dump() | {"search": search, "batch_size": decoding["batch_size"]}
    shown |= {key: value for key, value in decoding.items() if value != usual.get(key)}
    return ", ".join([search, *(f"{key} {value}" for key, value in shown.items())])


def _chosen(run: Facts) -> str:
    if run.get("averaged_epochs"):
        return f"the mean of {', '.join(map(str, run['averaged_epochs']))}"
    return str(run["epoch"])


def _hashes(files: dict[str, str]) -> str:
    return ", ".join(
        f"{'/'.join(Path(name).parts[-2:])} `{digest[:SHOWN_DIGITS]}`"
        for name, digest in files.items()
    )


def _anchor(name: str) -> str:
    """Return the anchor that Markdown gives to a heading."""
    return re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))
