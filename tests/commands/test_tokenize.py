from pathlib import Path

import pytest
from shell import s2s

ENGLISH = "It’s 10:30.\n\nR&B, http://a.com/b?c=1 and ￭ ▁ too.\n"
CHINESE = "2小时 - 3小时\n我用Björk的5.5GB。\n"


@pytest.mark.parametrize(("lang", "text"), [("en", ENGLISH), ("zh", CHINESE), ("th", CHINESE)])
def test_detokenising_restores_the_text(tmp_path: Path, lang: str, text: str) -> None:
    (tmp_path / "f").write_text(text, encoding="utf-8")
    tokens = s2s("tokenize", "--lang", lang, "f", cwd=tmp_path)
    assert tokens.stderr == ""
    back = s2s("tokenize", "--lang", lang, "--detokenize", cwd=tmp_path, stdin=tokens.stdout)
    assert back.stdout == text


def test_tokens_are_separated_by_spaces(tmp_path: Path) -> None:
    done = s2s("tokenize", "--lang", "en", cwd=tmp_path, stdin="It’s on.\n")
    assert done.stdout == "It ￭’￭ s on ￭.\n"
    done = s2s("tokenize", "--tokenizer", "char", cwd=tmp_path, stdin="ab c\n")
    assert (done.stdout, done.stderr) == ("a b ␣c\n", "")


def test_an_assumed_language_is_reported(tmp_path: Path) -> None:
    done = s2s("tokenize", cwd=tmp_path, stdin="a.\n")
    assert done.stdout == "a ￭.\n"
    assert done.stderr == "no --lang: the text is assumed to be English (en)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--tokenizer", "mose"],
            "--tokenizer mose: unknown; choose one of auto, jieba",
        ),
        (["--tokenizer", "char", "-m", "x"], "--tokenizer: has no effect with --model"),
        (["-m", "nowhere"], "nowhere"),
    ],
)
def test_wrong_options_give_an_error_of_one_line(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = s2s("tokenize", *arguments, cwd=tmp_path, stdin="a\n", status=1)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_language_must_be_a_code_and_a_side_needs_a_model(tmp_path: Path) -> None:
    done = s2s("tokenize", "--lang", "Chinese", cwd=tmp_path, stdin="a\n", status=1)
    assert "did you mean zh?" in done.stderr
    assert "--lang 9" in s2s("tokenize", "--lang", "9", cwd=tmp_path, stdin="", status=1).stderr
    done = s2s("tokenize", "--lang", "en", "--side", "tgt", cwd=tmp_path, stdin="", status=1)
    assert "--side: has no effect without --model" in done.stderr
