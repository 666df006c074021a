"""Fine-tuning on the command line: its messages, and the settings that it refuses."""

import json
import sys
from pathlib import Path

import pytest
from conftest import make_config
from shell import TINY
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.commands.inherited_settings import check_languages
from s2s_cli.errors import ConfigError
from s2s_cli.recipe import check_config

NEW = {
    "de": ("Katze", "Hund", "Fisch", "Vogel"),
    "fr": ("chat", "chien", "poisson", "oiseau"),
}


@pytest.fixture
def folder(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Chinese-English model in `general`, its text, and German and French text."""
    monkeypatch.chdir(texts)
    for lang, words in NEW.items():
        rows = [f"{one} {other}\n" for one in words for other in words] * 4
        (texts / f"other.{lang}").write_text("".join(rows), encoding="utf-8")
    files = ["--train-src", "my.zh", "--train-tgt", "my.en"]
    output_of("train", *files, *TINY, "--epochs", 1, "--run", "general")
    return texts


OTHER = ["train", "--from", "general", "--train-src", "other.de", "--train-tgt", "other.fr"]
SAME = ["train", "--from", "general", "--train-src", "my.zh", "--train-tgt", "my.en"]


def test_unknown_text_is_refused_unless_its_languages_are_named(
    folder: Path,
) -> None:
    message = error_of(*OTHER, "--run", "new")
    assert "translates zh-en, but the text is de-fr" in message
    assert "--src-lang de --tgt-lang fr" in message
    rare = [chr(0x9F00 + number) for number in range(64)]
    (folder / "new.zh").write_text("".join(f"{one}\n" for one in rare), encoding="utf-8")
    (folder / "other.fr").rename(folder / "new.en")
    unknown = ["train", "--from", "general", "--train-src", "new.zh", "--train-tgt", "new.en"]
    message = error_of(*unknown, "--run", "new")
    assert "know only 0.0% of train zh, 0.0% of train en" in message
    assert "--src-lang" in message
    assert not (folder / "new").exists()
    (folder / "new.en").rename(folder / "other.fr")
    done = s2s(*OTHER, "--run", "new", "--src-lang", "de", "--tgt-lang", "fr", "--epochs", 1)
    assert done.exit_code == 0, done.output
    assert "warning: " in done.stderr
    assert "know only 0.0% of train de, 0.0% of train fr" in done.stderr
    assert "languages zh-en -> de-fr" in done.stderr


def test_coverage_is_shown_for_both_sides(folder: Path) -> None:
    # 32 of 64 lines have one new word and one known word: a quarter of the tokens is new.
    words = (folder / "my.en").read_text(encoding="utf-8").split("\n")[:64]
    changed = [f"{line.split()[0]} emu" if n % 2 else line for n, line in enumerate(words)]
    (folder / "my.en").write_text("\n".join(changed) + "\n", encoding="utf-8")
    valid = ["--valid-src", "my.zh", "--valid-tgt", "my.en"]
    done = s2s(*SAME, *valid, "--run", "new", "--epochs", 1)
    rows = [line for line in done.stderr.split("\n") if "train zh" in line or "train en" in line]
    assert ["100.00 %" in rows[0], "75.00 %" in rows[1]] == [True, True]


def test_languages_other_than_those_of_the_model_are_refused(tmp_path: Path) -> None:
    model = save_toy(tmp_path / "toy")  # from German into English
    training = {"init_from": str(model)}

    def check(src: str, tgt: str) -> None:
        data = {"src_lang": src, "tgt_lang": tgt}
        check_languages(check_config({"data": data, "training": training}, "test"))

    check("de", "en")
    for src, tgt in (("nl", "en"), ("de", "nl"), ("en", "de")):
        with pytest.raises(ConfigError, match=f"translates de-en, but the text is {src}-{tgt}"):
            check(src, tgt)


def test_vocabulary_keys_are_refused(folder: Path) -> None:
    message = error_of(*SAME, "--set", "vocab.max_size=50", "--set", "vocab.min_freq=1")
    assert "--set vocab.max_size, --set vocab.min_freq: have no effect when fine-tuning" in message
    own = {"text": {"src_tokenizer": "char"}, "vocab": {"min_freq": 3}, "model": {}}
    own["model"] = make_config(
        {"embed_size": 8, "hidden_size": 16, "attention_size": 8}
    ).model_dump()
    (folder / "scratch.yaml").write_text(json.dumps(own), encoding="utf-8")
    files = SAME[3:]
    done = s2s("train", "-c", "scratch.yaml", *SAME[1:], "--run", "new", "--epochs", 1)
    assert done.exit_code == 0, done.output
    assert "warning: vocab.min_freq: has no effect when fine-tuning" in done.stderr
    (folder / "tune.yaml").write_text(json.dumps({**own, "training": {"init_from": "general"}}))
    message = error_of("train", "-c", "tune.yaml", *files, "--run", "other")
    assert "vocab.min_freq: has no effect when fine-tuning" in message


WATCH = {"is_on": False}
OPENED: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if WATCH["is_on"] and event == "open":
        OPENED.append(str(arguments[0]))


def test_the_pretrained_model_is_read_once(folder: Path) -> None:
    sys.addaudithook(_watch)  # hooks cannot be removed, so it has a switch
    WATCH["is_on"] = True
    try:
        output_of(*SAME, "--run", "new", "--epochs", 1)
    finally:
        WATCH["is_on"] = False
    weights = str(folder / "general" / "model" / "model.safetensors")
    assert OPENED.count(weights) == 1
    OPENED.clear()
    # A resumed run has its own weights.
    WATCH["is_on"] = True
    try:
        output_of(*SAME, "--run", "new", "--epochs", 2)
    finally:
        WATCH["is_on"] = False
    assert OPENED.count(weights) == 0
