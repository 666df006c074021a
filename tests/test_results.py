import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from s2s_cli.cli import app
from s2s_cli.config import Decoding
from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.recipe import dump_yaml, load_recipe
from s2s_cli.results import Page, gather_facts, name_runs
from s2s_cli.results_page import format_page
from s2s_cli.run import RunFolder
from s2s_cli.storage.checksummed import sha256, to_json, write_checksummed

DECODING = Decoding(beam_size=8).model_dump()
SIGNATURE = "nrefs:1|case:mixed"


def make_run(folder: Path, bleu: float = 30.0, seed: int = 1) -> RunFolder:
    """An evaluated run, as its folder tells it."""
    run = RunFolder(folder)
    config = load_recipe("quickstart", [("training.seed", seed)]).config
    card = {
        **{"src_lang": "zh", "tgt_lang": "en", "epoch": 2, "step": 300},
        "valid_scores": {"bleu": bleu + 1, "loss": 2.0},
        "trained_on": {"train": {"data/train.zh": "ab" * 32}},
    }
    weights = b"weights"
    files = {"config.json": to_json(card), "model.safetensors": weights}
    write_checksummed(run.model_path, files, {})
    run.config_path.write_text(dump_yaml(config), encoding="utf-8")
    made = {
        "command": f"s2s train --seed {seed}",
        "machine": "a laptop",
        "num_parameters": 1_500_000,
        "s2s_version": "1",
        "torch_version": "2",
    }
    run.facts_path.write_bytes(to_json(made))
    epochs = [{"seconds": 60.0, "valid_seconds": 30.0, "epoch": n} for n in (1, 2, 3)]
    log = "".join(f"{json.dumps(entry)}\n" for entry in [*epochs, {"averaged_epochs": [1, 2]}])
    run.log_path.write_text(log, encoding="utf-8")
    scores = {
        "scores": {"bleu": {"score": bleu, "signature": SIGNATURE}},
        "command": "s2s eval",
        "sentences": 500,
        "decoding": DECODING,
        "weights_sha256": sha256(weights),
        "data_sha256": {"data/test.zh": "cd" * 32},
    }
    report = run.reports_path / "data-test"
    report.mkdir(parents=True)
    (report / "scores.json").write_bytes(to_json(scores))
    return run


def test_a_page_has_size_time_scores_data_and_commands(tmp_path: Path) -> None:
    page = format_page([gather_facts(make_run(tmp_path / "one"))])
    row = next(line for line in page.split("\n") if line.startswith("| [one]"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # Minutes: three epochs of 90 seconds, the line of an average not counted.
    expected = ["[one](#one)", "zh-en", "1.5 M", "300", "4", "31.0 bleu", "data-test", "counts"]
    assert cells[:9] == [*expected, "30.0"]
    for text in ("s2s train --seed 1", "s2s eval", "a laptop", "abababababab", SIGNATURE):
        assert text in page
    assert "epochs: 3, chosen: 2" in page


def test_runs_that_differ_in_their_seed_share_a_row(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"s{seed}", bleu, seed) for seed, bleu in ((1, 30.0), (2, 32.0))]
    page = format_page([gather_facts(run) for run in runs])
    rows = [line for line in page.split("\n") if line.startswith("| [s")]
    assert len(rows) == 1
    assert "[s1](#s1), [s2](#s2)" in rows[0]
    assert "31.0 (30.0 to 32.0)" in rows[0]


def table_of(*runs: dict[str, Any]) -> list[str]:
    """The rows of the page's table."""
    return [line for line in format_page(runs).split("\n") if line.startswith("|")][2:]


@pytest.fixture
def two(tmp_path: Path) -> list[dict[str, Any]]:
    """Two runs of two seeds."""
    return [gather_facts(make_run(tmp_path / f"s{seed}", 29.0 + seed, seed)) for seed in (1, 2)]


def test_what_was_tested_otherwise_is_no_other_seed(two: list[dict[str, Any]]) -> None:
    test = two[1]["tests"]["data-test"]
    assert len(table_of(*two)) == 1
    for other in (
        {"decoding": {**DECODING, "beam_size": 1}},
        {"data_sha256": {"data/test.zh": "ef" * 32}},
        {"scores": {"bleu": {"score": 31.0, "signature": "nrefs:1|case:lc"}}},
    ):
        two[1]["tests"] = {"data-test": {**test, **other}}
        assert len(table_of(*two)) == 2
    two[1]["tests"] = {"data-test": {**test, "decoding": {**DECODING, "batch_size": 7}}}
    assert len(table_of(*two)) == 1


def test_the_same_seed_twice_is_no_range(two: list[dict[str, Any]]) -> None:
    assert len(table_of(two[0], {**two[0], "name": "again"}, two[1])) == 2


def test_a_test_set_that_only_some_runs_have_is_shown_with_their_number(
    two: list[dict[str, Any]],
) -> None:
    two[1]["tests"]["more"] = two[1]["tests"]["data-test"]
    first, second = table_of(*two)
    assert "| data-test | counts | 30.5 (30.0 to 31.0) |" in first
    assert "| more (1 of 2 runs) | counts | 31.0 |" in second


def test_each_test_set_shows_its_search(two: list[dict[str, Any]]) -> None:
    two[0]["tests"]["data-test"]["decoding"] = {**DECODING, "no_repeat_ngram": 3}
    two[1]["tests"]["data-test"]["decoding"] = Decoding(search="sample", top_k=5).model_dump()
    page = format_page(two)
    beam = "search: beam, beam_size 8, length_penalty 1.0, length_penalty_kind gnmt"
    assert f"  - {beam}, no_repeat_ngram 3\n" in page
    assert "  - search: sample, temperature 1.0, seed 1, top_k 5\n" in page
    two[1]["tests"]["data-test"]["decoding"] = Decoding(search="mbr").model_dump()
    mbr = "search: mbr, num_samples 64, utility chrf, temperature 1.0, seed 1"
    assert f"  - {mbr}\n" in format_page(two)


def test_settings_that_an_older_report_lacks_had_their_defaults(two: list[dict[str, Any]]) -> None:
    tests = [run["tests"]["data-test"] for run in two]
    tests[0]["decoding"] = Decoding().model_dump(exclude={"utility"})
    tests[1]["decoding"] = Decoding().model_dump()
    assert len(table_of(*two)) == 1
    tests[1]["decoding"]["utility"] = "bleu"
    assert len(table_of(*two)) == 2


def test_scores_with_case_of_a_lower_casing_model_are_not_in_the_table(tmp_path: Path) -> None:
    facts = gather_facts(make_run(tmp_path / "one"))
    facts["config"]["text"]["lowercase"] = True
    cased = facts["tests"]["data-test"]
    scores = {"bleu": {"score": 45.0, "signature": "nrefs:1|case:lc"}}
    facts["tests"] = {"data-test": {**cased, "scores": scores}, "data-test-cased": cased}
    (row,) = table_of(facts)
    assert "| data-test | ignored | 45.0 |" in row
    page = format_page([facts])
    assert f"bleu 30.00 (`{SIGNATURE}`; the model writes lower case only; not comparable)" in page
    facts["config"]["text"]["lowercase"] = False
    assert len(table_of(facts)) == 2


def test_bleu_that_says_little_is_marked(two: list[dict[str, Any]]) -> None:
    scores = two[0]["tests"]["data-test"]["scores"]
    assert "†" not in table_of(two[0])[0]
    scores["bleu"]["note"] = "BLEU says little: fewer than 100 sentences"
    assert "| 30.0† |" in table_of(two[0])[0]
    del scores["bleu"]["note"]
    scores["accuracy"] = {"score": 70.0, "signature": "x"}
    assert "| 30.0† |  |  | 70.0 |" in table_of(two[0])[0]


def test_what_is_not_evaluated_or_damaged_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    run.facts_path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="its results cannot be read"):
        gather_facts(run)
    with pytest.raises(CheckpointError, match="no such model folder"):
        gather_facts(RunFolder(tmp_path / "none"))
    (run.reports_path / "data-test" / "scores.json").unlink()
    with pytest.raises(CheckpointError, match="not evaluated; run `s2s eval"):
        gather_facts(run)


def test_reports_of_an_earlier_model_do_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    report = run.reports_path / "data-test" / "scores.json"
    scores = json.loads(report.read_text("utf-8"))
    (run.reports_path / "old").mkdir()
    stale = to_json({**scores, "weights_sha256": "0" * 64})
    (run.reports_path / "old" / "scores.json").write_bytes(stale)
    assert list(gather_facts(run)["tests"]) == ["data-test"]
    report.write_bytes(stale)
    with pytest.raises(
        CheckpointError, match="no report is about the present model; run `s2s eval"
    ):
        gather_facts(run)


def test_a_page_remembers_runs_whose_folders_are_gone(tmp_path: Path) -> None:
    page = Page(tmp_path / "results.md")
    assert page.read() == {}
    facts = gather_facts(make_run(tmp_path / "one"))
    page.facts_path.write_bytes(to_json({"one": facts}))
    assert page.read() == {"one": facts}
    page.facts_path.write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="not the facts of a page"):
        page.read()


def test_runs_with_the_same_name_are_named_after_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / who / "runs" / "quickstart" for who in ("anna", "ben")]
    assert name_runs([*paths, paths[0], tmp_path / "other"]) == {
        "anna/runs/quickstart": paths[0],
        "ben/runs/quickstart": paths[1],
        "other": tmp_path / "other",
    }
    assert name_runs(paths[:1]) == {"quickstart": paths[0]}
    for path, bleu in zip(paths, (10.0, 20.0), strict=True):
        path.mkdir(parents=True)
        make_run(path, bleu)
    page = CliRunner().invoke(app, ["results", *map(str, paths)]).stdout
    assert "| [anna/runs/quickstart](#annarunsquickstart) |" in page
    assert "| data-test | counts | 20.0 |" in page


def test_a_run_that_replaces_another_on_a_page_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for who, bleu in (("anna", 10.0), ("anna", 10.0), ("ben", 20.0)):
        path = tmp_path / who / "quickstart"
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "model").exists():
            make_run(path, bleu)
        said = CliRunner().invoke(app, ["results", str(path), "-o", str(page)]).stderr
        assert ("replaces the entry quickstart" in said) == (who == "ben")
