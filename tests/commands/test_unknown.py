"""Warnings about source text that the model does not know."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from shell import s2s
from toys import s2s as in_process
from toys import save_toy

from s2s_cli.checks.coverage import count_unknown, list_unknown
from s2s_cli.config import Text
from s2s_cli.text.vocabulary import Vocabulary


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Knows the words `s` to `z`."""
    return save_toy(tmp_path / "toy")


def warnings_of(toy: Path, text: str) -> list[str]:
    result = in_process("translate", "-m", toy, stdin=text)
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    return [line for line in lines if "length limit" not in line]  # toy translations do not end


def test_unknown_tokens_are_counted_and_listed() -> None:
    vocabulary = Vocabulary(["a", "▁b"], [1, 1])
    assert count_unknown([["a", "c", "c"], [], ["▁b"]], vocabulary) == (2, 4)
    assert list_unknown(["▁c", "a", "￭d", "▁c", "▁"], vocabulary) == ["c", "d"]


def test_mostly_unknown_words_give_one_warning_at_the_end(toy: Path) -> None:
    (warning,) = warnings_of(toy, "s foo bar\n\nt u v baz\n" * 300)
    assert "43% of the source tokens (900 of 2,100) are not in the model's vocabulary" in warning
    assert "from de" in warning


def test_a_fifth_of_unknown_words_gives_no_warning(toy: Path) -> None:
    assert warnings_of(toy, "s t u v foo\n" * 5) == []
    assert len(warnings_of(toy, "s t u v foo bar\n" * 5)) == 1
    assert warnings_of(toy, "") == warnings_of(toy, "\n\n") == []


def test_another_script_is_reported_even_if_its_characters_are_known(tmp_path: Path) -> None:
    text = Text(src_tokenizer="char", tgt_tokenizer="space")
    toy = save_toy(tmp_path / "c", src="我们狗在睡觉。▁", text=text)
    (warning,) = warnings_of(toy, "我们\n狗在睡觉。\n我们在。\n")
    assert "the text is in Han script, not in that of de (Latin)" in warning
    assert "vocabulary" not in warning
    (warning,) = warnings_of(toy, "собака\nкошка\nони\n")
    assert "100% of the source tokens (14 of 14)" in warning
    assert "Cyrillic script" in warning


def test_eval_warns_about_each_test_set(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "x.de").write_text("s foo\nt bar\n")
    (tmp_path / "x.en").write_text("a\nb\n")
    files = ["--test-src", tmp_path / "x.de", "--test-tgt", tmp_path / "x.en"]
    result = in_process("eval", "-m", toy, *files, "--bleu", "--report", tmp_path / "r")
    assert result.exit_code == 0, result.stderr
    assert "-x: 50% of the source tokens (2 of 4)" in result.stderr


def test_the_prompt_lists_the_unknown_words_of_each_line(toy: Path, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "s2s_cli", "translate", "-m", str(toy)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=slave, stdout=pipe, stderr=pipe, cwd=tmp_path) as process:
        os.close(slave)
        os.write(master, "s foo t foo bar\ns t\n我们\n\x04".encode())
        stdout, stderr = process.communicate()
        os.close(master)
    assert process.returncode == 0
    assert stdout.count(b"\n") == 3
    notes = [line for line in stderr.decode().splitlines() if line.startswith("  (")]
    assert notes[0] == "  (not in the model's vocabulary: foo, bar)"
    assert notes[1].startswith("  (not in the model's vocabulary: 我们; the text is in Han script")
    assert len(notes) == 2


def test_the_phrasebook_model_distinguishes_its_own_text_from_other_text(tmp_path: Path) -> None:
    small = ["--set", "model.hidden_size=8", "--set", "model.embed_size=8", "--epochs", 1]
    s2s("train", *small, "--set", "model.attention_size=8", "--run", "r", cwd=tmp_path)
    text = "我的朋友在醫院工作。\nMein Freund arbeitet im Krankenhaus.\n"
    stderr = s2s("translate", "--run", "r", cwd=tmp_path, stdin=text).stderr
    assert stderr.count("are not in the model's vocabulary") == 1
    stderr = s2s("translate", "--run", "r", cwd=tmp_path, stdin="我喜欢学习机器学习。\n").stderr
    assert "vocabulary" not in stderr
