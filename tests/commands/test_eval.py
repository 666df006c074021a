import json
import re
import unicodedata
from pathlib import Path

import pytest
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.config import Text


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """Options for a test set of two pairs."""
    (tmp_path / "p.de").write_text("s t u\nv w\n")
    (tmp_path / "p.en").write_text("A B c d\nE f a b\n")
    return ["--test-src", tmp_path / "p.de", "--test-tgt", tmp_path / "p.en"]


def test_a_lower_cased_model_may_be_scored_with_case(tmp_path: Path, files: list[object]) -> None:
    text = Text(src_tokenizer="space", tgt_tokenizer="space", lowercase=True)
    ask = ("eval", "--bleu", "-m", save_toy(tmp_path / "toy", text=text), *files)
    ask = (*ask, "--report", tmp_path / "report")
    done = s2s(*ask)
    assert "case:lc" in json.loads(done.stdout)["bleu"]["signature"]
    assert "--no-lowercase counts it" in done.stderr
    assert "lower case only" not in done.stdout
    done = s2s(*ask, "--no-lowercase")
    assert "case:mixed" in json.loads(done.stdout)["bleu"]["signature"]
    assert "not comparable" in json.loads(done.stdout)["bleu"]["note"]
    assert "ignore case" not in done.stderr


def test_search_settings_that_only_the_recipe_has_are_reported(
    tmp_path: Path, files: list[object]
) -> None:
    recipe = tmp_path / "my.yaml"
    languages = "data: {src_lang: de, tgt_lang: en}\n"
    recipe.write_text(f"{languages}decoding: {{beam_size: 8, keep_unk: true}}\n")
    toy = save_toy(tmp_path / "toy")
    ask = ("eval", "-m", toy, "-c", recipe, *files, "--report", tmp_path / "report")
    there = (
        f"for the search of {recipe}, add --set decoding.beam_size=8 --set decoding.keep_unk=true"
    )
    output = s2s(*ask).stderr
    assert "the model's own decoding.beam_size=3, decoding.keep_unk=false" in output
    assert there in " ".join(output.split())
    output = s2s(*ask, "--beam-size", 2, "--set", "decoding.keep_unk=true").stderr
    assert "the model's own" not in output
    recipe.write_text(f"{languages}decoding: {{beam_size: 3}}\n")
    assert "the model's own" not in s2s(*ask).stderr


def test_options_that_the_search_does_not_use_are_refused(
    tmp_path: Path, files: list[object]
) -> None:
    ask = ("eval", "-m", save_toy(tmp_path / "toy"), *files)
    ask = (*ask, "--set", "decoding.search=sample")
    for option in ("--beam-size", "--length-penalty"):
        assert f"{option}: has no effect with decoding.search sample" in error_of(*ask, option, 2)
    assert "--run: has no effect with --model" in error_of(*ask, "--run", tmp_path)


def test_a_report_of_minimum_bayes_risk_decoding_names_samples_and_utility(
    tmp_path: Path, files: list[object]
) -> None:
    ask = ("eval", "-m", save_toy(tmp_path / "toy"), *files, "--set", "decoding.search=mbr")
    ask = (*ask, "--set", "decoding.num_samples=8", "--report", tmp_path / "report")
    assert s2s(*ask).stderr.count("minimum Bayes risk decoding: of 8 samples") == 1
    decoding = json.loads((tmp_path / "report" / "scores.json").read_text())["decoding"]
    assert (decoding["search"], decoding["num_samples"], decoding["utility"]) == ("mbr", 8, "chrf")
    assert "search mbr" in (tmp_path / "report" / "report.html").read_text()
    pairs = s2s("eval", "-m", tmp_path / "toy", *files, "--score-pairs").stderr
    assert "Bayes" not in pairs


BLANK = (
    ["", "s t u", " ", "v w", "", "x", "", "y z"],
    ["", "A B", "", "", "c d", "e", "", "f a"],
)
"""Sources and references: lines 1, 3 and 7 are blank on both sides, 4 and 5 on one side."""


@pytest.fixture
def blank(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "b.de", tmp_path / "b.en"]
    for path, lines in zip(paths, BLANK, strict=True):
        path.write_text("".join(f"{line}\n" for line in lines))
    return paths


@pytest.mark.fault("F3")
def test_a_report_has_the_lines_of_the_test_set(tmp_path: Path, blank: list[Path]) -> None:
    toy, report = save_toy(tmp_path / "toy"), tmp_path / "report"
    test = ("--test-src", blank[0], "--test-tgt", blank[1], "--report", report)
    done = s2s("eval", "-m", toy, *test)
    hypotheses = (report / "hypotheses.txt").read_text()
    assert (report / "references.txt").read_text() == blank[1].read_text()
    assert hypotheses == output_of("translate", "-m", toy, blank[0])
    found = json.loads((report / "scores.json").read_text())
    assert (found["lines"], found["sentences"]) == (8, 4)
    assert (found["blank_pairs_left_out"], found["blank_sources_scored"]) == (4, 1)
    assert done.stderr.count("lines without a reference are not scored (4)") == 1
    assert done.stderr.count("count as empty translations (1)") == 1
    page = (report / "report.html").read_text()
    assert sorted(re.findall(r'data-line="(\d+)"', page)) == ["2", "5", "6", "8"]
    assert 'data-line="8"' in page.split("<dd>y z</dd>")[0].rsplit("<article", 1)[1]


@pytest.mark.fault("F3")
def test_scores_agree_with_those_of_the_translations_in_a_file(
    tmp_path: Path, blank: list[Path]
) -> None:
    toy, hyp = save_toy(tmp_path / "toy"), tmp_path / "out.en"
    test = ("--test-src", blank[0], "--test-tgt", blank[1], "--report", tmp_path / "report")
    asked = ("eval", "--bleu", "--chrf", "--ter")
    by_model = json.loads(s2s(*asked, "-m", toy, *test).stdout)
    output_of("translate", "-m", toy, blank[0], "-o", hyp)
    done = s2s(*asked, "--hyp", hyp, "--ref", blank[1], "--tgt-lang", "en")
    assert json.loads(done.stdout) == by_model
    assert "b.en: lines without a reference are not scored (4)" in done.stderr


def test_a_test_set_without_blank_lines_gives_no_warning(
    tmp_path: Path, files: list[object]
) -> None:
    done = s2s("eval", "-m", save_toy(tmp_path / "toy"), *files, "--report", tmp_path / "report")
    assert "with a blank" not in done.stderr


@pytest.mark.fault("F3")
def test_bleu_of_single_words_has_a_note(tmp_path: Path) -> None:
    words = tmp_path / "e"
    words.write_text("apple\nbanana\n")
    done = s2s("eval", "--hyp", words, "--ref", words, "--tgt-lang", "en")
    found = json.loads(done.stdout)
    note = "BLEU says little: no reference has four tokens, fewer than 100 sentences"
    assert found["bleu"]["note"] == note
    assert "note" not in found["chrf"]
    assert note in done.stderr


def save_test_set(folder: Path, text: str) -> list[object]:
    folder.mkdir(parents=True)
    for name in ("test.de", "test.en"):
        (folder / name).write_text(text)
    return ["--test-src", folder / "test.de", "--test-tgt", folder / "test.en"]


@pytest.mark.fault("F3")
def test_test_sets_with_the_same_name_have_separate_reports(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_toy(run / "model")
    tests = [save_test_set(tmp_path / name / "de-en", f"{name} a\n") for name in "xyz"]

    def reports() -> dict[str, str]:
        found = sorted((run / "reports").glob("*/references.txt"))
        return {path.parent.name: path.read_text() for path in found}

    for test in tests:
        done = s2s("eval", "--run", run, *test)
        assert done.exit_code == 0
        has_other = "has the report of another test set" in done.stderr
        assert has_other == (test is not tests[0])
    names = list(reports())
    assert names[0] == "de-en-test"
    assert all(name.startswith("de-en-test-") for name in names[1:])
    assert sorted(reports().values()) == ["x a\n", "y a\n", "z a\n"]
    before = reports()
    for test in reversed(tests):
        s2s("eval", "--run", run, *test)
    assert reports() == before


@pytest.mark.fault("F3")
def test_models_that_share_a_report_folder_have_separate_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = save_test_set(tmp_path / "de-en", "a b\n")
    toys = [save_toy(tmp_path / name) for name in ("one", "two")]
    for toy in [*toys, *toys]:
        s2s("eval", "-m", toy, *test)
    found = [json.loads(path.read_text()) for path in Path("reports").glob("*/scores.json")]
    assert sorted(facts["model"] for facts in found) == sorted(map(str, toys))


def test_composed_and_decomposed_letters_score_the_same_with_a_warning(
    tmp_path: Path,
) -> None:
    line = "Fünf schöne Bäume stehen dort drüben.\n"
    (tmp_path / "h").write_text(unicodedata.normalize("NFD", line), encoding="utf-8")
    (tmp_path / "r").write_text(line, encoding="utf-8")
    done = s2s("eval", "--hyp", tmp_path / "h", "--ref", tmp_path / "r", "--tgt-lang", "de")
    scores = json.loads(done.stdout)
    assert scores["bleu"]["score"] == pytest.approx(100)
    assert scores["chrf"]["score"] == pytest.approx(100)
    assert "lines changed: 1\n" in done.stderr


@pytest.mark.fault("F3")
def test_swapping_the_sides_gives_another_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    toy, files = save_toy(tmp_path / "toy"), [tmp_path / "set.x", tmp_path / "set.y"]
    for path, text in zip(files, ("a b\n", "c d\n"), strict=True):
        path.write_text(text)
    for src, tgt in (files, files[::-1], files):
        s2s("eval", "-m", toy, "--test-src", src, "--test-tgt", tgt)
    assert len([*Path("reports").glob("*/scores.json")]) == 2


def test_a_file_in_another_script_than_the_target_language_is_reported(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("ខ្ញុំស្រឡាញ់ឆ្មា\n" * 5, encoding="utf-8")
    done = s2s("eval", "--hyp", tmp_path / "h", "--ref", tmp_path / "h", "--tgt-lang", "en")
    assert "h: the text is in Khmer script, not in that of en" in done.stderr
    quiet = s2s("eval", "--hyp", tmp_path / "h", "--ref", tmp_path / "h", "--tgt-lang", "km")
    assert "the text is in" not in quiet.stderr


def test_chrf_does_not_need_the_tokeniser_of_bleu(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("猫が好きです。\n", encoding="utf-8")
    ask = ("eval", "--hyp", tmp_path / "h", "--ref", tmp_path / "h", "--tgt-lang", "ja", "--chrf")
    assert json.loads(output_of(*ask))["chrf"]["score"] == pytest.approx(100)
