"""Warnings of too little text, and of vocabularies with low coverage."""

from pathlib import Path

import pytest
from shell import TINY, s2s

from s2s_cli.checks.coverage import find_few_pairs, find_low_coverage


def test_too_few_pairs_are_found() -> None:
    assert find_few_pairs({"train": 1000, "valid": 50}) == []
    assert find_few_pairs({"train": 999, "valid": 49}) == ["train", "valid"]


def test_low_coverage_is_found() -> None:
    sides = [("valid de", 10, 0.79), ("valid en", 10, 0.8), ("empty", 0, 0.0)]
    assert find_low_coverage(sides) == [("valid de", 0.79)]


def amounts_in(stderr: str) -> list[str]:
    lines = [line for line in stderr.splitlines() if line.startswith("warning: ")]
    return [line for line in lines if "fewer than" in line or "covers" in line]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Each line of valid has a known word and a unique number; all words of train are known."""
    for lang in ("de", "en"):
        (tmp_path / f"t.{lang}").write_text("Hund Katze Hund\n" * 700)
        (tmp_path / f"few.{lang}").write_text("Hund Katze Hund\n" * 30)
        valid = "".join(f"Hund {number}\n" for number in range(60))
        (tmp_path / f"v.{lang}").write_text(valid)
    return tmp_path


def test_warnings_of_vocab_build_and_train_have_numbers_and_remedies(folder: Path) -> None:
    files = ["--train-src", "t.de", "--train-tgt", "t.en"]
    files += ["--valid-src", "v.de", "--valid-tgt", "v.en", *TINY[:-2], "--run", "r"]
    build, train = ["vocab", "build", *files], ["train", *files, "--epochs", 1]
    for command in (build, train, train):
        few, src, tgt = amounts_in(s2s(*command, cwd=folder).stderr)
        assert few.startswith("warning: train: 700 pairs, fewer than 1,000: ")
        assert src.startswith("warning: valid de: the vocabulary covers 50.0% of the tokens")
        assert tgt.startswith("warning: valid en: the vocabulary covers 50.0% of the tokens")
        assert "vocab.min_freq" in src


def test_few_validation_pairs_cause_a_warning(folder: Path) -> None:
    files = ["--train-src", "t.de", "--train-tgt", "t.en"]
    files += ["--valid-src", "few.de", "--valid-tgt", "few.en", "--run", "r"]
    (folder / "t.de").write_text("Hund Katze Hund\n" * 1000)
    (folder / "t.en").write_text("Hund Katze Hund\n" * 1000)
    (few,) = amounts_in(s2s("vocab", "build", *files, cwd=folder).stderr)
    assert few.startswith("warning: valid: 30 pairs, fewer than 50: ")
    assert "data.valid" in few


def test_the_phrasebook_causes_no_warning(tmp_path: Path) -> None:
    stderr = s2s("vocab", "build", "--run", "r", cwd=tmp_path).stderr
    assert "warning" not in stderr
    stderr = s2s("train", *TINY[:6], "--epochs", 1, "--run", "r", cwd=tmp_path).stderr
    assert amounts_in(stderr) == []
    assert "occur in train" not in stderr


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        ("zh-en", "tatoeba-zh-en"),
        ("seed-attention", "ai-challenger-10k"),
        ("de-en", "multi30k"),
        ("classical-modern", "classical-modern-zh"),
        ("classify", "sentiment"),
        ("simplify", "simplification"),
        ("dialogue", "dialogue"),
        ("keras-lstm-csv", "en-fr-csv"),
    ],
)
@pytest.mark.slow
def test_real_corpora_cause_no_warnings_except_of_leaks(
    recipe: str, folder: str, real_data: Path, tmp_path: Path
) -> None:
    command = ["vocab", "build", "-c", recipe, "--data-dir", real_data / folder, "--run", "r"]
    warnings = [
        line for line in s2s(*command, cwd=tmp_path).stderr.splitlines() if "warning" in line
    ]
    assert [line for line in warnings if "also occur in train" not in line] == []
