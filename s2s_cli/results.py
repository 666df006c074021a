"""What finished runs came to: gathered from their folders, written as one page.

A page has a file of facts beside it (`results.json`), so that runs whose folders are gone stay on
it, and those that are there again replace what was known of them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.config import Decoding
from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder
from s2s_cli.sealed import read_sealed, sealed_hash

Facts = dict[str, Any]
"""All that a page says about one run, as JSON."""

CARD, WEIGHTS = "config.json", "model.safetensors"
MEASURES = {"bleu": "BLEU", "bleu-tokens": "BLEU, tokens", "chrf": "chrF", "accuracy": "accuracy"}
"""Scores of a test set that have a column."""

_MAIN_SETTINGS = {
    "beam": ("beam_size", "length_penalty", "length_penalty_kind"),
    "sample": ("temperature", "seed"),
}
"""Of a search, what is always shown."""

SHOWN_DIGITS = 12
"""Of a SHA-256."""


def name_runs(paths: Iterable[Path]) -> dict[str, Path]:
    """Run folders by name, each once: the shortest end of its path that no other run shares."""
    folders = {path.resolve(): path for path in paths}
    names = {}
    for whole, path in folders.items():
        others = [other for other in folders if other != whole]
        for length in range(1, len(whole.parts) + 1):
            end = whole.parts[-length:]
            if end not in (other.parts[-length:] for other in others):
                break
        names["/".join(end)] = path
    return names


def gather_facts(run: RunFolder, name: str | None = None) -> Facts:
    """What one run folder says about itself; reports of an earlier model of it do not count.

    Args:
        run: a trained and evaluated run.
        name: on the page; the folder's name if None.

    Raises:
        CheckpointError: it has no model, or this one was not evaluated.
        DataError: a file of it is missing or damaged.
    """
    card = json.loads(read_sealed(run.model_path, (CARD,))[CARD])
    try:
        tests = _read_tests(run)
        made = json.loads(run.facts_path.read_bytes())
        log = [json.loads(line) for line in run.log_path.read_text("utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{run.path}: cannot be told about ({reason})") from error
    config = load_recipe(str(run.config_path)).config.model_dump(mode="json")
    epochs = [entry for entry in log if "valid_seconds" in entry]
    ranked_by = [entry["ranked_by"] for entry in log if "ranked_by" in entry]
    return {
        **made,
        "name": name or run.path.name,
        "seed": config["training"]["seed"],
        "config": {section: config[section] for section in ("text", "vocab", "model", "training")},
        "languages": f"{card['src_lang']}-{card['tgt_lang']}",
        "epoch": card["epoch"],
        "averaged_epochs": card.get("averaged_epochs", []),
        "epochs_trained": len(epochs),
        "updates": card["step"],
        "minutes": round(sum(e["seconds"] + e["valid_seconds"] for e in epochs) / 60, 1),
        "trained_on": card["trained_on"],
        "valid": card["valid_scores"],
        "ranked_by": ranked_by[-1] if ranked_by else config["training"]["best_by"],
        "tests": tests,
    }


def _read_tests(run: RunFolder) -> dict[str, Facts]:
    """The reports on the run's model, by test set."""
    reports = sorted(run.reports_path.glob("*/scores.json"))
    if not reports:
        raise CheckpointError(f"{run.reports_path}: not evaluated; `s2s eval --run {run.path}`")
    tests = {path.parent.name: json.loads(path.read_bytes()) for path in reports}
    weights = sealed_hash(run.model_path, WEIGHTS)
    tests = {name: test for name, test in tests.items() if test["weights_sha256"] == weights}
    if not tests:
        raise CheckpointError(
            f"{run.reports_path}: no report is of the model as it is now; "
            f"`s2s eval --run {run.path}` again"
        )
    return tests


class Page(NamedTuple):
    """A page of results, and the facts that it is written from."""

    path: Path

    @property
    def facts_path(self) -> Path:
        """Beside the page."""
        return self.path.with_suffix(".json")

    def read(self) -> dict[str, Facts]:
        """The facts of the runs that are on it, by name.

        Raises:
            DataError: the file of facts is damaged.
        """
        if not self.facts_path.is_file():
            return {}
        try:
            known = json.loads(self.facts_path.read_bytes())
            return {str(name): dict(facts) for name, facts in known.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(f"{self.facts_path}: not the facts of a page ({error})") from error


def format_page(runs: Iterable[Facts]) -> str:
    """The page as Markdown: a table of all runs, then what each was.

    Runs that differ in nothing but their seed share a row: mean, and least to greatest.
    """
    runs = sorted(runs, key=lambda run: str(run["name"]))
    lines = [
        "# Results",
        "",
        "Written by `s2s results` from run folders; [results.json](results.json) has every number. "
        "The model is the epoch (or mean of epochs) that was best on the validation pairs; how it "
        "searched for the translations of a test set stands with its scores.",
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
        "Several seeds in a row: the mean, and from the least to the greatest. Scores that ignore "
        "case do not compare with scores in which it counts. Scores in which case counts are not "
        "in the table for models that write lower case only; they stand below. † BLEU that says "
        "little: of labels, of references shorter than four tokens, or of few sentences.",
    ]
    for run in runs:
        lines += _describe(run)
    return "\n".join(lines) + "\n"


def group_seeds(runs: Iterable[Facts]) -> list[list[Facts]]:
    """Runs that differ in nothing but their seed together, in order.

    Where both translated a test set they did it alike: the same text, search and signatures.
    """
    groups: list[list[Facts]] = []
    for run in runs:
        for group in groups:
            if all(_differ_in_seed_alone(run, other) for other in group):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _differ_in_seed_alone(run: Facts, other: Facts) -> bool:
    def train(run: Facts) -> Facts:
        training = {key: v for key, v in run["config"]["training"].items() if key != "seed"}
        return {**run["config"], "training": training, "data": run["trained_on"]}

    if run["seed"] == other["seed"] or train(run) != train(other):
        return False
    return all(
        _is_tested_alike(run["tests"][name], other["tests"][name])
        for name in run["tests"].keys() & other["tests"].keys()
    )


def _is_tested_alike(test: Facts, other: Facts) -> bool:
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
    """What decides on translations; how many are made at a time does not."""
    return {key: value for key, value in test["decoding"].items() if key != "batch_size"}


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
            + ("†" if any(_says_little(score, key) for score in scores) else "")
            for key in MEASURES
        ]
        tail = "" if len(scores) == len(group) else f" ({len(scores)} of {len(group)} runs)"
        rows.append(" | ".join(["", *start, f"{name}{tail}", case, *cells, ""]).strip())
        start = [""] * len(start)
    return rows


def _comparable(run: Facts, test: str) -> Facts:
    """The scores of a test set that are in the table.

    A model that writes lower case only gets none in which case counts.
    """
    scores: Facts = run["tests"][test]["scores"]
    is_lower_cased = run["config"]["text"]["lowercase"]
    return {key: one for key, one in scores.items() if not (is_lower_cased and _is_cased(one))}


def _says_little(scores: Facts, key: str) -> bool:
    """Whether a score is BLEU of a test set on which BLEU says little, as of labels."""
    if key not in ("bleu", "bleu-tokens") or key not in scores:
        return False
    return "BLEU says little" in scores[key].get("note", "") or "accuracy" in scores


def _is_cased(score: Facts) -> bool:
    return "case:mixed" in score["signature"]


def _ignores_case(scores: Facts) -> bool:
    """Whether the scores that have a column ignore case; TER, which has none, always does."""
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
    """What has to be known about a score; reports of earlier versions have no notes."""
    note = score.get("note", "")
    if not note and run["config"]["text"]["lowercase"] and _is_cased(score):
        note = "the model writes lower case only; not comparable"
    return f"; {note}" if note else ""


def describe_search(decoding: Facts) -> str:
    """Which search, and every setting that is not the default one, as in a recipe."""
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
    """The link that Markdown gives a heading."""
    return re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))
