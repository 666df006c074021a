"""Commands with `--run DIR` use the settings of an existing run."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from shell import TINY
from toys import error_of, output_of, s2s

from s2s_cli.checkpoint import load_model
from s2s_cli.run import RunFolder

FILES = ["--train-src", "my.zh", "--train-tgt", "my.en"]
VALID = ["--valid-src", "my.zh", "--valid-tgt", "my.en"]
RECIPE = {
    "data": {"train": {"src": "my.zh", "tgt": "my.en"}, "valid": 0.1, "test": 0.1},
    "text": {"src_tokenizer": "char"},
    "vocab": {"min_freq": 1},
    "model": {"embed_size": 8, "hidden_size": 16, "attention_size": 8},
    "training": {"epochs": 1, "batch_size": 16, "patience": 9},
}


def begin(folder: Path, kind: str) -> None:
    """A run of one epoch in `run`, started in one of several ways."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    commands = {
        "files": [*FILES, *VALID, *TINY],
        "held-out": [*FILES, *TINY],
        "recipe": ["-c", "mine.yaml", "--data-dir", "."],
        "fine-tuned": ["--from", "general", *FILES],
    }
    if kind == "fine-tuned":
        output_of("train", *FILES, *TINY, "--run", "general", "--epochs", 1)
    output_of("train", *commands[kind], "--run", "run", "--epochs", 1)
    shutil.rmtree(folder / "general", ignore_errors=True)  # no longer needed by the run


@pytest.mark.parametrize("kind", ["files", "held-out", "recipe", "fine-tuned"])
def test_a_run_resumes_with_its_own_settings_from_any_directory(
    texts: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(texts)
    begin(texts, kind)
    run = RunFolder(texts / "run")
    before = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    done = s2s("train", "--run", run.path, "--epochs", 2)
    assert done.exit_code == 0, f"{done.exception} {done.output}"
    assert f"settings: those of {run.config_path}" in done.stderr
    assert load_model(run.checkpoints()[0]).card.epoch == 2
    after = yaml.safe_load(run.config_path.read_text(encoding="utf-8"))
    assert (before["training"].pop("epochs"), after["training"].pop("epochs")) == (1, 2)
    assert after == before
    name = {"recipe": "mine"}.get(kind, "quickstart")
    assert json.loads(run.facts_path.read_bytes())["recipe"] == name
    # Again, with nothing left to do.
    assert "already trained" in s2s("train", "--run", run.path).stderr


def test_options_override_the_settings_of_a_run(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    begin(texts, "recipe")
    message = error_of("train", "--run", "run", "--set", "model.cell=lstm")
    assert "was trained with other settings (model.cell gru -> lstm)" in message
    # Files that were moved are found in their new folder.
    (texts / "moved").mkdir()
    for name in ("my.zh", "my.en"):
        (texts / name).rename(texts / "moved" / name)
    assert "no such file" in error_of("train", "--run", "run", "--epochs", 2)
    output_of("train", "--run", "run", "--epochs", 2, "--data-dir", "moved")
    # Other text belongs to another training.
    files = ["--train-src", "moved/my.zh", "--train-tgt", "moved/my.en"]
    assert "recipe quickstart" in s2s("train", "--run", "run", *files).stderr


def test_a_run_is_trained_from_scratch_with_its_own_settings(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    begin(texts, "recipe")
    first = (texts / "run/model/model.safetensors").read_bytes()
    output_of("train", "--run", "run", "--fresh")
    assert (texts / "run.bak-1").is_dir()
    assert (texts / "run/model/model.safetensors").read_bytes() == first


def test_vocabularies_of_a_run_are_built_with_its_own_settings(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    begin(texts, "recipe")
    before = (texts / "run/vocab/src.tsv").read_bytes()
    done = s2s("vocab", "build", "--run", "run")
    assert done.exit_code == 0, done.exception
    assert "settings: those of run/config.yaml" in done.stderr
    assert (texts / "run/vocab/src.tsv").read_bytes() == before
    assert "already trained" in s2s("train", "--run", "run").stderr


def test_a_fine_tuned_run_has_no_vocabularies_to_build(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    begin(texts, "fine-tuned")
    before = (texts / "run/vocab/src.tsv").read_bytes()
    assert "fine-tuning keeps the vocabularies" in error_of("vocab", "build", "--run", "run")
    assert (texts / "run/vocab/src.tsv").read_bytes() == before


def test_a_training_that_always_diverges_ends_with_one_line(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(texts)
    rate = ["--set", "training.learning_rate=100"]
    for _ in range(2):  # the second time, with nothing left to do
        done = s2s("train", *FILES, *VALID, *TINY, *rate, "--run", "run", "--epochs", 1)
        assert "training diverged in every epoch" in str(done.exception)
        assert "training.learning_rate (100)" in str(done.exception)
        assert done.stdout == ""
        stderr = done.stderr.replace("not kept as best", "").replace("the best epoch is chosen", "")
        assert "best" not in stderr
    assert "ppl   >1e6" in s2s("train", "--run", "run", "--epochs", 2).stderr
