import json
from pathlib import Path

import pytest
from toys import s2s, save_toy

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
    done = s2s(*ask, "--no-lowercase")
    assert "case:mixed" in json.loads(done.stdout)["bleu"]["signature"]
    assert "ignore case" not in done.stderr
