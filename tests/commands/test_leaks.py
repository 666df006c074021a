"""Every command reports validation and test pairs that also occur in train."""

from pathlib import Path

import pytest
from shell import TINY, s2s

NOUNS = ["Hund", "Katze", "Vogel", "Fisch", "Baum", "Haus", "Kind", "Mann", "Frau", "Ball"]
VERBS = ["läuft", "schläft", "fällt", "singt", "steht", "wächst", "spielt", "geht", "lacht", "ist"]
PAIRS = [(f"der {noun} {verb}", f"x {noun} {verb}") for noun in NOUNS for verb in VERBS]


def write(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    for side, lang in enumerate(("de", "en")):
        text = "".join(f"{pair[side]}\n" for pair in pairs)
        (folder / f"{name}.{lang}").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """5 of 20 validation pairs are in train, 2 of them in another case; 4 of 10 test sources."""
    write(tmp_path, "train", PAIRS[:70])
    loud = [(src.upper(), tgt) for src, tgt in PAIRS[3:5]]
    write(tmp_path, "valid", [*PAIRS[:3], *loud, *PAIRS[70:85]])
    write(tmp_path, "test", [*PAIRS[10:11], *((src, "y") for src, _ in PAIRS[11:14]), *PAIRS[94:]])
    return tmp_path


FILES = [
    *("--train-src", "train.de", "--train-tgt", "train.en"),
    *("--valid-src", "valid.de", "--valid-tgt", "valid.en"),
]
TEST = ["--test-src", "test.de", "--test-tgt", "test.en"]
VALID_LEAK = "warning: valid: 5 of 20 source sentences also occur in train, 5 of them with the same"
TEST_LEAK = "4 of 10 source sentences also occur in train, 1 of them with the same translation"


def test_vocab_build_train_and_eval_count_leaked_pairs(folder: Path) -> None:
    train = ["train", *FILES, *TEST, *TINY, "--epochs", 1, "--run", "r"]
    build = [
        "vocab",
        "build",
        *FILES,
        "--run",
        "v",
        "--set",
        "data.test={src: test.de, tgt: test.en}",
    ]
    for command in (build, train, train):  # the third time, the encoded pairs are up to date
        stderr = s2s(*command, cwd=folder).stderr
        assert stderr.count(VALID_LEAK) == 1
        assert stderr.count(f"warning: test: {TEST_LEAK}") == 1
    assert f"-test: {TEST_LEAK}" in s2s("eval", "--run", "r", cwd=folder).stderr
    write(folder, "test", PAIRS[94:])
    stderr = s2s("eval", "--run", "r", cwd=folder).stderr
    assert "occur in train" not in stderr
    stderr = s2s(*train, cwd=folder).stderr
    assert "r/data/train: " not in stderr
    assert "warning: test: " not in stderr
    assert VALID_LEAK in stderr


def test_changed_validation_text_is_compared_without_reading_train_again(folder: Path) -> None:
    build = ["vocab", "build", *FILES, *TINY, "--run", "r"]
    s2s(*build, cwd=folder)
    write(folder, "valid", PAIRS[80:])
    stderr = s2s("train", *FILES, *TINY, "--epochs", 1, "--run", "r", cwd=folder).stderr
    assert "occur in train" not in stderr
    assert "r/data/valid: " in stderr
    assert "r/data/train: " not in stderr


def test_held_out_splits_have_no_leaks(folder: Path) -> None:
    write(folder, "train", PAIRS * 2)  # each occurs twice, and both in the same split
    shares = ["--set", "data.valid=0.2", "--set", "data.test=0.2"]
    train = ["train", *FILES[:4], *shares, *TINY, "--epochs", 1, "--run", "r"]
    assert "occur in train" not in s2s(*train, cwd=folder).stderr
    assert "occur in train" not in s2s("eval", "--run", "r", cwd=folder).stderr


def test_an_unreadable_test_set_is_reported_without_an_error(folder: Path) -> None:
    missing = ["--set", "data.test={src: no.de, tgt: no.en}"]
    stderr = s2s("vocab", "build", *FILES, *missing, "--run", "r", cwd=folder).stderr
    assert (
        "the test set is not compared with train, and `s2s eval` will refuse it: data.test.src"
        in stderr
    )
