import json
from pathlib import Path

import pytest
from toys import error_of, s2s, save_toy

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


def test_a_search_that_only_the_recipe_has_is_told(tmp_path: Path, files: list[object]) -> None:
    recipe = tmp_path / "my.yaml"
    languages = "data: {src_lang: de, tgt_lang: en}\n"
    recipe.write_text(f"{languages}decoding: {{beam_size: 8, keep_unk: true}}\n")
    toy = save_toy(tmp_path / "toy")
    ask = ("eval", "-m", toy, "-c", recipe, *files, "--report", tmp_path / "report")
    there = f"as {recipe} has it: --set decoding.beam_size=8 --set decoding.keep_unk=true"
    told = s2s(*ask).stderr
    assert "the model's own, with decoding.beam_size=3, decoding.keep_unk=false" in told
    assert there in " ".join(told.split())
    told = s2s(*ask, "--beam-size", 2, "--set", "decoding.keep_unk=true").stderr
    assert "the model's own" not in told
    recipe.write_text(f"{languages}decoding: {{beam_size: 3}}\n")
    assert "the model's own" not in s2s(*ask).stderr


def test_options_of_the_other_search_are_refused(tmp_path: Path, files: list[object]) -> None:
    ask = ("eval", "-m", save_toy(tmp_path / "toy"), *files)
    ask = (*ask, "--set", "decoding.search=sample")
    for option in ("--beam-size", "--length-penalty"):
        assert f"{option}: of no use to sampling" in error_of(*ask, option, 2)
    assert "--run: of no use beside --model" in error_of(*ask, "--run", tmp_path)
