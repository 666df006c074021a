"""Collect the results of finished runs from their folders.

A page of results has a file of facts next to it (`results.json`). Runs whose folders are gone stay
on the page; the facts of runs whose folders exist are replaced.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder
from s2s_cli.storage.checksummed import read_checksummed, read_sha256

Facts = dict[str, Any]
"""Everything that a page shows of one run, as JSON."""

CARD, WEIGHTS = "config.json", "model.safetensors"


def name_runs(paths: Iterable[Path]) -> dict[str, Path]:
    """Name each run folder by the shortest end of its path that is unique."""
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
    """Collect the facts of a run; reports of an earlier model are ignored.

    Args:
        run: a trained and evaluated run.
        name: name on the page; the folder's name by default.

    Raises:
        CheckpointError: there is no model, or the present one was not evaluated.
        DataError: a file is missing or damaged.
    """
    card = json.loads(read_checksummed(run.model_path, (CARD,))[CARD])
    try:
        tests = _read_tests(run)
        made = json.loads(run.facts_path.read_bytes())
        log = [json.loads(line) for line in run.log_path.read_text("utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{run.path}: its results cannot be read ({reason}); restore the folder from a copy"
        ) from error
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
    """Read the reports on the present model, by test set."""
    reports = sorted(run.reports_path.glob("*/scores.json"))
    if not reports:
        raise CheckpointError(f"{run.reports_path}: not evaluated; run `s2s eval --run {run.path}`")
    tests = {path.parent.name: json.loads(path.read_bytes()) for path in reports}
    weights = read_sha256(run.model_path, WEIGHTS)
    tests = {name: test for name, test in tests.items() if test["weights_sha256"] == weights}
    if not tests:
        raise CheckpointError(
            f"{run.reports_path}: no report is about the present model; "
            f"run `s2s eval --run {run.path}` again"
        )
    return tests


class Page(NamedTuple):
    """A page of results, and the file of facts next to it."""

    path: Path

    @property
    def facts_path(self) -> Path:
        """The file of facts."""
        return self.path.with_suffix(".json")

    def read(self) -> dict[str, Facts]:
        """Read the facts of the runs on the page, by name.

        Raises:
            DataError: the file of facts is damaged.
        """
        if not self.facts_path.is_file():
            return {}
        try:
            known = json.loads(self.facts_path.read_bytes())
            return {str(name): dict(facts) for name, facts in known.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise DataError(
                f"{self.facts_path}: not the facts of a page ({error}); restore it from a copy"
            ) from error
