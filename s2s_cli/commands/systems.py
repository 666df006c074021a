"""The systems that `s2s compare` compares: reports of evaluated models, and files."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from s2s_cli.commands.loading import find_model
from s2s_cli.commands.reports import HYPOTHESES, SCORES, SOURCES, name_references
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.scoring.metrics import ScoringSettings


class System(NamedTuple):
    """The translations of a test set by one system."""

    path: Path
    """As it was given."""
    hypotheses: list[str]
    """One for each line of the test set."""
    report: "Report | None" = None
    """None for a file of translations."""


class Report(NamedTuple):
    """What the report of an evaluation says about its test set."""

    folder: Path
    test_set: str
    sources: list[str]
    references: list[list[str]]
    """One list per reference."""
    src_lang: str
    settings: "ScoringSettings"


def read_systems(paths: Sequence[Path], test: str | None) -> list[System]:
    """Read the translations of each system.

    Args:
        paths: run folders, model folders, folders of reports, and files of translations.
        test: the name of the test set, for models that were evaluated on several.

    Raises:
        ConfigError: a model was not evaluated, or the test set is not determined.
        DataError: a file is missing or damaged.
    """
    folders = {path: _list_reports(path) for path in paths if path.is_dir()}
    if test is not None and not folders:
        raise ConfigError("--test: has no effect with files of translations; remove it")
    name = test if test is not None else _choose_test_set(folders)
    return [_read_system(path, folders, name) for path in paths]


def _list_reports(path: Path) -> dict[str, Path]:
    """List the reports on the present model of a folder, by the names of the test sets.

    Raises:
        ConfigError: there are none.
    """
    if (path / SCORES).is_file():
        return {str(_read_facts(path)["test_set"]): path}
    from s2s_cli.checkpoint import WEIGHTS
    from s2s_cli.storage.checksummed import read_sha256

    model = find_model(path)
    weights = read_sha256(model, WEIGHTS)
    found = {}
    for scores in sorted((*(model.parent / "reports").glob(f"*/{SCORES}"), *_own_reports(model))):
        with suppress(DataError):  # It may be about another model.
            facts = _read_facts(scores.parent)
            if facts["weights_sha256"] == weights:
                # A second report on the same test set has another folder.
                name = str(facts["test_set"])
                found[scores.parent.name if name in found else name] = scores.parent
    if not found:
        option = "--model" if model == path else "--run"
        raise ConfigError(
            f"{path}: its model is not evaluated; run `s2s eval {option} {path}` first"
        )
    return found


def _own_reports(model: Path) -> list[Path]:
    """The reports on models outside of run folders, which are in the working directory."""
    own = model.parent / "reports"
    return [] if own.is_dir() else sorted(Path("reports").glob(f"*/{SCORES}"))


def _read_facts(folder: Path) -> dict[str, Any]:
    """Read the facts of a report.

    Raises:
        DataError: they are damaged, or of an older version.
    """
    path = folder / SCORES
    try:
        facts = dict(json.loads(path.read_bytes()))
        if {"test_set", "weights_sha256", "languages"} <= {*facts}:
            return facts
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read; evaluate the model again") from error
    raise DataError(f"{path}: is not the report of an evaluation; evaluate the model again")


def _choose_test_set(folders: dict[Path, dict[str, Path]]) -> str | None:
    """The only test set that all models were evaluated on; None without models.

    Raises:
        ConfigError: there is none, or there are several.
    """
    if not folders:
        return None
    (first, names), *others = ((path, {*reports}) for path, reports in folders.items())
    for path, more in others:
        if not names & more:
            raise ConfigError(
                f"{path}: was evaluated on {_in_words(more)}, but {first} on {_in_words(names)}; "
                "evaluate both on the same test set"
            )
        names &= more
    if len(names) > 1:
        raise ConfigError(f"--test: missing; the test sets are {_in_words(names)}; name one")
    return names.pop()


def _in_words(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _read_system(path: Path, folders: dict[Path, dict[str, Path]], test: str | None) -> System:
    """Read a file of translations, or the report of a model on a test set."""
    from s2s_cli.data.lines import read_lines
    from s2s_cli.scoring.metrics import ScoringSettings

    reports = folders.get(path)
    if reports is None:
        return System(path, read_lines(path))
    if test not in reports:
        raise ConfigError(
            f"--test {test}: {path} was evaluated on {_in_words({*reports})}; name one of these"
        )
    folder = reports[test]
    facts = _read_facts(folder)
    if "scoring" not in facts or not (folder / SOURCES).is_file():
        raise DataError(f"{folder}: was written by an older s2s; evaluate the model again")
    try:
        settings = ScoringSettings(**facts["scoring"])
    except TypeError as error:
        raise DataError(f"{folder}: of another version of s2s; evaluate the model again") from error
    num_references = int(facts["references_per_sentence"])
    report = Report(
        folder,
        str(test),
        _read_report_lines(folder / SOURCES),
        [_read_report_lines(folder / name_references(number)) for number in range(num_references)],
        str(facts["languages"]).removesuffix(f"-{settings.tgt_lang}"),
        settings,
    )
    return System(path, _read_report_lines(folder / HYPOTHESES), report)


def _read_report_lines(path: Path) -> list[str]:
    """Read the lines of a report, all of which may be blank."""
    try:
        return path.read_bytes().decode("utf-8").split("\n")[:-1]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read; evaluate the model again") from error
