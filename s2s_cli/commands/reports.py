"""Write the report of an evaluation, and choose its folder."""

import hashlib
import json
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.commands.scores import Scores
    from s2s_cli.data.pairs import ParallelText
    from s2s_cli.decoding.translator import Translation
    from s2s_cli.scoring.metrics import ScoredLines, ScoringSettings


SCORES, SOURCES, HYPOTHESES = "scores.json", "sources.txt", "hypotheses.txt"
"""Files of a report."""
PAGE = "report.html"
"""The file of a report to look at."""

SHOWN_DIGITS = 8
"""Digits of the hash in the name of a folder."""


class Evaluation(NamedTuple):
    """A test set and a model's translations of it."""

    models: tuple[Path, ...]
    """The folder of the model, or those of the members of an ensemble."""
    loaded: "Loaded"
    test: "ParallelText"
    translations: "list[Translation]"
    """One for each row of the test set, blank rows included."""
    scored: "ScoredLines"
    seconds: float
    """Duration of the translation."""

    @property
    def hypotheses(self) -> list[str]:
        """The output of the model for each row of the test set."""
        return [translation.text for translation in self.translations]

    @property
    def num_left_out(self) -> int:
        """Number of lines without a reference."""
        return len(self.translations) - len(self.scored.numbers)

    @property
    def num_blank_sources(self) -> int:
        """Number of lines with a reference but without a source, so with an empty translation."""
        rows = self.test.rows
        return sum(not rows[number][0].strip() for number in self.scored.numbers)


def choose_folders(
    location: "ModelLocation", tests: "list[ParallelText]", report: Path | None
) -> list[Path]:
    """Choose a folder for the report of each test set, without replacing that of another one.

    Test sets with the same name are distinguished by the hashes of their text. In a folder that
    several models share, the models are distinguished too.

    Args:
        location: the folders of the model.
        tests: the test sets.
        report: the folder that an option names, if any.
    """
    from s2s_cli.console import say

    if report is not None and len(tests) == 1:
        return [report]
    # The run of an ensemble's first member keeps the reports of that member alone.
    own = location.run.reports_path if location.run and not location.others else None
    models = None if own is not None and report is None else location.folders
    folders = []
    for test in tests:
        usual = (report or own or Path("reports")) / test.name
        identity = _identify(test.origin, None if models is None else _join(models))
        folder = usual
        if _read_identity(usual, has_model=models is not None) not in (None, identity):
            digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:SHOWN_DIGITS]
            folder = usual.with_name(f"{usual.name}-{digest}")
            say(f"{usual}: has the report of another test set or model; this one is in {folder}")
        folders.append(folder)
    return folders


def _identify(data_sha256: dict[str, str], model: str | None) -> list[str | None]:
    """Return what identifies the subject of a report: test set and, if it matters, model."""
    return [*data_sha256.values(), model]


def _read_identity(folder: Path, *, has_model: bool) -> list[str | None] | None:
    """Read the identity of the report in a folder; None if there is no readable report."""
    try:
        facts = json.loads((folder / SCORES).read_bytes())
        return _identify(dict(facts["data_sha256"]), str(facts["model"]) if has_model else None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_report(
    folder: Path, evaluation: Evaluation, settings: "ScoringSettings", found: "Scores"
) -> None:
    """Write translations, references, scores and a readable page to a folder."""
    from s2s_cli.commands.report_page import format_page
    from s2s_cli.storage.atomic import write_file
    from s2s_cli.storage.checksummed import to_json

    test = evaluation.test
    facts = _gather_facts(evaluation)
    numbers: dict[str, object] = {"scores": found.as_dict()}
    if found.confusion is not None:
        numbers["confusion"] = found.confusion._asdict()
    rows = test.rows
    write_file(folder / SOURCES, _lines(row[0] for row in rows))
    write_file(folder / HYPOTHESES, _lines(evaluation.hypotheses))
    for number, reference in enumerate(zip(*(row[1:] for row in rows), strict=True)):
        write_file(folder / name_references(number), _lines(reference))
    numbers["scoring"] = settings._asdict()
    write_file(folder / SCORES, to_json({**numbers, **facts}))
    shown = [(key.replace("_", " "), _in_words(value)) for key, value in facts.items()]
    write_file(folder / PAGE, format_page(evaluation, settings, found, shown))


def name_references(number: int) -> str:
    """The file of a report with the references of a number, counted from 0."""
    return f"references-{number + 1}.txt" if number else "references.txt"


def _gather_facts(evaluation: Evaluation) -> dict[str, object]:
    """Describe the model, the test set, the search and its speed."""
    from s2s_cli.checkpoint import WEIGHTS, s2s_version
    from s2s_cli.scoring.metrics import sacrebleu_version
    from s2s_cli.storage.checksummed import read_sha256

    test, loaded = evaluation.test, evaluation.loaded
    cards = (loaded.card, *loaded.others)
    return {
        "test_set": test.name,
        "lines": len(evaluation.translations),
        "sentences": len(evaluation.scored.numbers),
        "references_per_sentence": len(test.references),
        "blank_pairs_left_out": evaluation.num_left_out,
        "blank_sources_scored": evaluation.num_blank_sources,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "model": _join(evaluation.models),
        "weights_sha256": _join(read_sha256(folder, WEIGHTS) for folder in evaluation.models),
        "epoch": _join(card.epoch for card in cards) if loaded.others else loaded.card.epoch,
        "step": _join(card.step for card in cards) if loaded.others else loaded.card.step,
        "languages": f"{test.direction.src}-{test.direction.tgt}",
        "decoding": loaded.decoding.model_dump(),
        "device": str(loaded.translator.device),
        "seconds": round(evaluation.seconds, 3),
        "sentences_per_second": round(len(evaluation.translations) / evaluation.seconds, 1),
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


def _lines(sentences: Iterable[str]) -> str:
    """Join sentences to lines; line breaks in them, as in cells of a table, become spaces."""
    return "".join(sentence.replace("\n", " ") + "\n" for sentence in sentences)
