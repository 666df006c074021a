"""The report of an evaluation: what it says, and the folder it goes to."""

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
    from s2s_cli.scoring.metrics import ScoredLines, ScoringSettings


SCORES = "scores.json"

SHOWN_DIGITS = 8
"""Of the hash in the name of a folder."""


class Evaluated(NamedTuple):
    """A test set and a model's translations of it."""

    models: tuple[Path, ...]
    """One, or the members of an ensemble."""
    loaded: "Loaded"
    test: "ParallelText"
    hypotheses: list[str]
    """One for each row of the test set, blank ones included; as the model wrote them."""
    scored: "ScoredLines"
    seconds: float
    """That the translation took."""

    @property
    def num_left_out(self) -> int:
        """Lines without a reference."""
        return len(self.hypotheses) - len(self.scored.numbers)

    @property
    def num_blank_sources(self) -> int:
        """Lines without a source that have a reference: their translations are empty."""
        rows = self.test.rows
        return sum(not rows[number][0].strip() for number in self.scored.numbers)


def choose_folders(
    place: "ModelLocation", tests: "list[ParallelText]", report: Path | None
) -> list[Path]:
    """Where the report of each test set goes; none replaces the report of another test set.

    Test sets of the same name are told apart by the hashes of their text. In a folder that several
    models share, so are the models.
    """
    from s2s_cli.console import say

    if report is not None and len(tests) == 1:
        return [report]
    # An ensemble is not the first member's run, whose own report stays.
    own = place.run.reports_path if place.run and not place.others else None
    models = None if own is not None and report is None else (place.folder, *place.others)
    folders = []
    for test in tests:
        usual = (report or own or Path("reports")) / test.name
        identity = _identify(test.origin, None if models is None else _join(models))
        folder = usual
        if _read_identity(usual, has_model=models is not None) not in (None, identity):
            digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:SHOWN_DIGITS]
            folder = usual.with_name(f"{usual.name}-{digest}")
            say(f"{usual}: holds the report of another test set or model; this one: {folder}")
        folders.append(folder)
    return folders


def _identify(data_sha256: dict[str, str], model: str | None) -> list[str | None]:
    """What a report is of."""
    return [*data_sha256.values(), model]


def _read_identity(folder: Path, *, has_model: bool) -> list[str | None] | None:
    """What the report in a folder is of; None if there is none that can be read."""
    try:
        facts = json.loads((folder / SCORES).read_bytes())
        return _identify(dict(facts["data_sha256"]), str(facts["model"]) if has_model else None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_report(
    folder: Path, evaluated: Evaluated, settings: "ScoringSettings", found: "Scores"
) -> None:
    """Write translations, references, scores and a page to read."""
    from s2s_cli.scoring.metrics import score_sentences
    from s2s_cli.scoring.report import format_examples, format_report
    from s2s_cli.storage.atomic import write_file
    from s2s_cli.storage.checksummed import to_json

    test, scored = evaluated.test, evaluated.scored
    facts = _gather_facts(evaluated)
    numbers: dict[str, object] = {"scores": found.as_dict()}
    if found.confusion is not None:
        numbers["confusion"] = found.confusion._asdict()
    rows = test.rows
    write_file(folder / "hypotheses.txt", _lines(evaluated.hypotheses))
    for number, reference in enumerate(zip(*(row[1:] for row in rows), strict=True), start=1):
        name = "references.txt" if number == 1 else f"references-{number}.txt"
        write_file(folder / name, _lines(reference))
    write_file(folder / SCORES, to_json({**numbers, **facts}))
    chrf = score_sentences(scored.hypotheses, scored.references, settings)
    title = f"{test.direction.src} to {test.direction.tgt} on {test.name}"
    shown_facts = [(key.replace("_", " "), _in_words(value)) for key, value in facts.items()]
    page = format_report(title, shown_facts, found.scores, found.confusion)
    examples = format_examples([row[0] for row in rows], scored, chrf)
    write_file(folder / "report.md", page + examples)


def _gather_facts(evaluated: Evaluated) -> dict[str, object]:
    """Which model translated what, how, where and how fast."""
    from s2s_cli.checkpoint import WEIGHTS, s2s_version
    from s2s_cli.scoring.metrics import sacrebleu_version
    from s2s_cli.storage.checksummed import read_sha256

    test, loaded = evaluated.test, evaluated.loaded
    cards = (loaded.card, *loaded.others)
    return {
        "test_set": test.name,
        "lines": len(evaluated.hypotheses),
        "sentences": len(evaluated.scored.numbers),
        "references_per_sentence": len(test.references),
        "blank_pairs_left_out": evaluated.num_left_out,
        "blank_sources_scored": evaluated.num_blank_sources,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "model": _join(evaluated.models),
        "weights_sha256": _join(read_sha256(folder, WEIGHTS) for folder in evaluated.models),
        "epoch": _join(card.epoch for card in cards) if loaded.others else loaded.card.epoch,
        "step": _join(card.step for card in cards) if loaded.others else loaded.card.step,
        "languages": f"{test.direction.src}-{test.direction.tgt}",
        "decoding": loaded.decoding.model_dump(),
        "device": str(loaded.translator.device),
        "seconds": round(evaluated.seconds, 3),
        "sentences_per_second": round(len(evaluated.hypotheses) / evaluated.seconds, 1),
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
    """One line each; a table's cell may hold line breaks."""
    return "".join(sentence.replace("\n", " ") + "\n" for sentence in sentences)
