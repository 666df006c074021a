import csv
import io
import json
from pathlib import Path

import pytest
from toys import error_of, output_of, s2s, save_toy

SOURCES = ["s t u", "v w", "s s s s", "t u v w x", "z y", "w v u t s z"]
REFERENCES = ["A B c d", "E f a b", "b b a c", "c d e f", "d f", "f e d c b"]
OTHERS = ["a b c d", "e f a b", "b b", "c e e f", "d", "f e d c b a"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, lines in (("t.de", SOURCES), ("t.en", REFERENCES), ("other.en", OTHERS)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def evaluate(folder: Path, name: str, *options: object, seed: int = 1) -> Path:
    """Evaluate a toy model on the test set; its report is in its own folder."""
    model, report = save_toy(folder / name, seed=seed), folder / f"{name}-report"
    test = ("--test-src", folder / "t.de", "--test-tgt", folder / "t.en")
    output_of("eval", "-m", model, *test, "--report", report, *options)
    return report


def test_files_are_compared_with_the_first_one(files: Path) -> None:
    other = files / "other.en"
    ask = ("compare", files / "t.en", other, "--ref", files / "t.en", "--src", files / "t.de")
    done = s2s(*ask, "--chrf", "--lowercase")
    found = json.loads(done.stdout)
    assert found["systems"] == ["t.en", "other.en"]
    perfect, worse = found["scores"]["chrf"]["systems"]
    assert perfect == {"system": "t.en", "score": 100.0, "interval": 0.0}
    assert worse["difference"] == worse["score"] - 100
    assert 0 < worse["p_randomization"] <= 1
    assert "case:lc" in found["scores"]["chrf"]["signature"]
    assert [row["words"] for row in found["by_source_length"]] == ["1-5", "6-10"]
    assert [row["num_sentences"] for row in found["by_source_length"]] == [5, 1]
    (changes,) = found["changes"]
    assert (changes["num_improved"], changes["num_worse"], changes["num_same"]) == (0, 4, 2)
    assert changes["worse"][0]["source"] == "t u v w x"
    assert "other.en: chrF is higher than with t.en in 0 sentences, lower in 4" in done.stderr
    assert "worse, line 4, chrF 100 -> " in done.stderr


def test_reports_know_their_references_and_sources(files: Path) -> None:
    first, second = evaluate(files, "one"), evaluate(files, "two", seed=2)
    found = json.loads(output_of("compare", first, second, files / "other.en", "--bleu"))
    assert [one["system"] for one in found["scores"]["bleu"]["systems"]] == [
        *("one-report", "two-report", "other.en"),
    ]
    of_eval = json.loads((first / "scores.json").read_text())["scores"]["bleu"]["score"]
    assert found["scores"]["bleu"]["systems"][0]["score"] == of_eval
    assert found["by_source_length"][0]["words"] == "1-5"
    listed = [*found["changes"][1]["improved"], *found["changes"][1]["worse"]]
    assert all(SOURCES[one["line"] - 1] == one["source"] for one in listed)
    assert all(OTHERS[one["line"] - 1] == one["second"] for one in listed)
    assert len(listed) > 2


def test_a_report_that_ignores_case_decides_for_all(files: Path) -> None:
    first, second = evaluate(files, "one", "--lowercase"), evaluate(files, "two")
    done = s2s("compare", first, second, "--chrf")
    assert "case:lc" in json.loads(done.stdout)["scores"]["chrf"]["signature"]
    assert "scores ignore case, as those of" in done.stderr
    done = s2s("compare", first, second, "--chrf", "--no-lowercase")
    assert "case:mixed" in json.loads(done.stdout)["scores"]["chrf"]["signature"]


def test_labels_are_compared_by_accuracy(tmp_path: Path) -> None:
    labels = ["pos", "neg"] * 10
    flipped = ["neg", *labels[1:]]
    for name, lines in (("ref.en", labels), ("one.en", labels), ("two.en", flipped)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    ask = ("compare", tmp_path / "one.en", tmp_path / "two.en", "--ref", tmp_path / "ref.en")
    found = json.loads(output_of(*ask))["scores"]
    assert [*found] == ["accuracy"]
    assert found["accuracy"]["systems"][1] == {
        **{"system": "two.en", "score": 95.0, "difference": -5.0, "p_mcnemar": 1.0},
    }
    assert [*json.loads(output_of(*ask, "--chrf"))["scores"]] == ["accuracy", "chrf"]


def test_tables_can_be_written_in_other_formats(files: Path) -> None:
    odd = (files / "other.en").rename(files / "a_b|c&d.en")
    ask = ("compare", files / "t.en", odd, "--ref", files / "t.en", "--chrf", "--format")
    rows = list(csv.DictReader(io.StringIO(output_of(*ask, "csv"))))
    assert [row["system"] for row in rows] == ["t.en", "a_b|c&d.en"]
    exact = json.loads(output_of(*ask, "json"))["scores"]["chrf"]["systems"][1]["score"]
    assert float(rows[1]["score"]) == exact
    markdown = output_of(*ask, "markdown").split("\n")
    assert markdown[0] == "| system | chrF | interval | difference | p bootstrap | p random. |"
    assert markdown[1] == "|---|--:|--:|--:|--:|--:|"
    assert markdown[3].startswith(rf"| a\_b\|c&d.en | {exact:.2f} | ±")
    latex = output_of(*ask, "latex").split("\n")
    assert latex[1] == r"\begin{tabular}{lrrrrr}"
    assert latex[6].startswith(rf"a\_b|c\&d.en & {exact:.2f} & $\pm$")
    assert " & $-$" in latex[6]
    assert latex[6].endswith(r" \\")


def test_what_cannot_be_compared_is_refused(files: Path) -> None:
    first, other = evaluate(files, "one"), files / "other.en"
    short = files / "short.en"
    short.write_text("a\n")
    (files / "t.de").write_text("".join(f"{line}\n" for line in [*SOURCES[:-1], "z"]))
    moved = evaluate(files, "two")
    ref = ("--ref", files / "t.en")
    for arguments, message in (
        ([first], "SYSTEM: only one is given"),
        ([first, short], "short.en: has 1 translations, but "),
        ([first, moved], "its sources differ from those of"),
        ([other, other], "--ref FILE: missing"),
        ([first, other, *ref], "--ref: has no effect with evaluated models"),
        ([first, other, "--src", other], "--src: has no effect with evaluated models"),
        ([first, other, "--tgt-lang", "de"], "--tgt-lang: has no effect"),
        ([first, moved, "--test", "x"], "--test x: "),
        ([other, other, *ref, "--test", "x"], "--test: has no effect with files"),
        ([first, files / "one"], "its model is not evaluated; run `s2s eval --model "),
        ([first, files / "none"], "no such file"),
        ([other, other, *ref, "--format", "xml"], "--format xml: unknown"),
        ([other, short, "--ref", short], "has 1 translations, but"),
        ([other, other, *ref, "--src", short], "short.en: has 1 lines, but"),
    ):
        assert message in error_of("compare", *arguments), arguments


def test_a_damaged_or_old_report_is_refused(files: Path) -> None:
    first, second = evaluate(files, "one"), evaluate(files, "two")
    scores = second / "scores.json"
    facts = json.loads(scores.read_text())
    del facts["scoring"]
    scores.write_text(json.dumps(facts))
    assert "was written by an older s2s; evaluate the model again" in error_of(
        "compare", first, second
    )
    scores.write_text("{}")
    assert "is not the report of an evaluation" in error_of("compare", first, second)
    scores.write_text("{")
    assert "scores.json: cannot be read" in error_of("compare", first, second)


def test_models_outside_of_runs_are_compared_by_their_reports(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    test = ("--test-src", files / "t.de", "--test-tgt", files / "t.en")
    for name, seed in (("one", 1), ("two", 2)):
        output_of("eval", "-m", save_toy(files / name, seed=seed), *test)
    (files / "reports/broken").mkdir()
    (files / "reports/broken/scores.json").write_text("{")
    found = json.loads(output_of("compare", "one", "two", "--chrf"))
    assert found["systems"] == ["one", "two"]


def test_lines_with_a_carriage_return_stay_lines(files: Path) -> None:
    (files / "t.de").write_bytes(b"s t u\nv\rw\ns s s s\nt u v w x\nz y\nw v u t s z\n")
    first, second = evaluate(files, "one"), evaluate(files, "two", seed=2)
    found = json.loads(output_of("compare", first, second, "--chrf"))
    assert found["sentences"] == 6
