from pathlib import Path

import pytest
import yaml
from toys import error_of, output_of

from s2s_cli.config import Config
from s2s_cli.recipe import load_recipe, shipped_recipes


def test_every_recipe_is_listed_with_a_summary_within_80_columns() -> None:
    lines = output_of("config", "list").rstrip("\n").split("\n")
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == shipped_recipes()
    assert max(map(len, lines)) <= 80
    assert "s2s train" not in "\n".join(lines)
    assert any(line.startswith("gnmt              A small version of Google's") for line in lines)


def test_what_is_shown_can_be_read_and_says_where_values_come_from(tmp_path: Path) -> None:
    shown = output_of("config", "show", "-c", "zh-en", "--set", "model.cell=lstm")
    path = tmp_path / "all.yaml"
    path.write_text(shown)
    expected = load_recipe("zh-en", [("model.cell", "lstm")]).config
    assert load_recipe(str(path)).config == expected
    lines = [line.strip() for line in shown.split("\n")]
    assert "cell: lstm  # --set" in lines
    assert "max_size: 4000  # zh-en" in lines
    assert "min_freq: 2" in lines


def test_the_settings_of_a_run_are_shown(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {hidden_size: 8}\n")
    assert "hidden_size: 8  # run" in output_of("config", "show", "--run", tmp_path)
    assert "--config: has no effect" in error_of("config", "show", "-c", "x", "--run", tmp_path)
    (tmp_path / "config.yaml").unlink()
    assert "has no config.yaml" in error_of("config", "show", "--run", tmp_path)


def test_every_key_is_explained() -> None:
    text = output_of("config", "keys")
    tree = yaml.safe_load(output_of("config", "show"))
    keys = [f"{section}.{key}" for section, entries in tree.items() for key in entries]
    blocks = text.rstrip("\n").split("\n\n")
    assert [block.split()[0] for block in blocks] == keys
    for block in blocks:
        head, *values, documentation = block.split("\n")
        assert "(default: " in head
        assert len(values) <= 1
        assert len(documentation.strip()) > 10, head


@pytest.mark.parametrize(
    ("key", "default", "values"),
    [
        ("model.cell", '"gru"', "rnn | gru | lstm"),
        ("model.dropout", "0.3", "number at least 0 and below 1"),
        ("model.bidirectional", "true", "true | false"),
        ("model.src_word_dropout", "null", "number at least 0 and below 1 | null"),
        ("training.epochs", "10", "integer at least 1"),
    ],
)
def test_a_key_has_its_default_and_its_values(key: str, default: str, values: str) -> None:
    head, shown, _ = output_of("config", "keys", key).rstrip("\n").split("\n")
    assert head == f"{key}  (default: {default})"
    assert shown.strip() == values


def test_a_section_has_its_keys_and_a_wrong_name_a_suggestion() -> None:
    found = output_of("config", "keys", "vocab")
    assert {line.split()[0] for line in found.split("\n") if line.startswith("vocab.")} == {
        f"vocab.{key}" for key in type(Config().vocab).model_fields
    }
    assert "no such section or key; did you mean 'model.cell'?" in error_of(
        "config", "keys", "model.cel"
    )


def test_a_new_recipe_is_a_copy_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert output_of("config", "new", path, "-c", "de-en") == f"{path}\n"
    assert "# German to English" in path.read_text()
    assert load_recipe(str(path)).config == load_recipe("de-en").config
    assert "exists already" in error_of("config", "new", path)
    assert "name it" in error_of("config", "new", tmp_path / "mine")
    assert "no such recipe" in error_of("config", "new", tmp_path / "other.yaml", "-c", "nix")
