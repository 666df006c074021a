"""Checks of the command line that all commands share."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from shell import BARE, S2S
from toys import error_of, output_of

from s2s_cli.cli import app
from s2s_cli.text.language import suggest_code


def find_commands(group: Any, *path: str) -> dict[str, Any]:
    """All commands, by their names on the command line."""
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= find_commands(command, *path, name)
        else:
            found[" ".join((*path, name))] = command
    return found


COMMANDS = find_commands(typer.main.get_command(app))


@pytest.mark.fault("F5")
@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_may_be_given_once_is_refused_when_given_twice(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name != "option" or parameter.is_eager:
            continue
        value = [] if parameter.is_flag else ["1"]
        again = [(*parameter.opts, *parameter.secondary_opts)[-1], *value]
        message = error_of(*name.split(), parameter.opts[0], *value, *again)
        is_key = parameter.name == "sets"  # one key may be set once, several keys may
        assert (": given 2 times; give it once" in message) == (is_key or not parameter.multiple)
        if not parameter.multiple:
            assert message.startswith(f"UsageError: {parameter.opts[0]}")


def test_a_wrong_command_line_gives_one_line_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [*S2S, "eval", "--hyp", "a", "--ref", "r", "--hyp", "b"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=BARE,
    )
    assert done.returncode == 2
    assert done.stderr == "error: --hyp: given 2 times; give it once\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["vocab", "show", "--run", "r", b"\xce\xd2"],
        ["translate", "--prefix", b"\xce\xd2"],
        ["train", "--set", b"data.folder=\xce"],
        [b"\xff"],
    ],
)
def test_arguments_that_are_not_utf8_give_one_line(
    tmp_path: Path, arguments: list[str | bytes]
) -> None:
    command = [os.fsencode(word) for word in (sys.executable, *S2S[1:], *arguments)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env=BARE)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: argument '")
    assert b"\\x" in done.stderr
    assert b"is not UTF-8; " in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("command", "option", "name", "code"),
    [
        ("train", "--src-lang", "Chinese", "zh"),
        ("vocab build", "--tgt-lang", "english", "en"),
        ("vocab show", "--lang", "German", "de"),
        ("translate", "--from", "日本語", "ja"),
        ("translate", "--to", "French", "fr"),
        ("eval", "--tgt-lang", "CN", "zh"),
        ("eval", "--to", "Korean", "ko"),
    ],
)
def test_a_language_name_suggests_its_code(command: str, option: str, name: str, code: str) -> None:
    message = error_of(*command.split(), option, name)
    assert message == (
        f"ConfigError: {option} {name}: languages are named by their codes; did you mean {code}?"
    )


def test_language_names_in_recipes_suggest_codes_too() -> None:
    for key, value, code in (
        ("src_lang", "Chinese", "zh"),
        ("directions", "[Chinese-English]", "zh-en"),
    ):
        message = error_of("train", "--set", f"data.{key}={value}")
        assert f"languages are named by their codes; did you mean {code}?" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size=1", "did you mean model.hidden_size=1?"),
        ("batch_size=1", "did you mean training.batch_size=1 or decoding.batch_size=1?"),
        ("training.hidden_size=1", "no such key here; did you mean model.hidden_size?"),
        ("model.hiden_size=1", "did you mean 'hidden_size'?"),
    ],
)
def test_a_key_without_its_section_suggests_it(text: str, message: str) -> None:
    assert message in error_of("train", "--set", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size: 64", "hidden_size: no such key here; did you mean model.hidden_size?"),
        ("model.hidden_size: 64", "no such key; write it as a mapping, model: {hidden_size: ...}"),
        ("src_lang: de", "src_lang: no such key here; did you mean data.src_lang?"),
    ],
)
def test_a_flat_recipe_suggests_the_sections(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "flat.yaml").write_text(f"{text}\n")
    assert message in error_of("train", "-c", tmp_path / "flat.yaml")


def test_advice_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "train.de").write_text("a\n")
    (tmp_path / "train.en").write_text("a\n")
    given = ["--train-tgt", tmp_path / "train.en"]
    message = error_of("train", "--train-src", tmp_path / "trian.de", *given)
    assert message == (
        f"DataError: --train-src: {tmp_path}/trian.de: no such file; "
        f"did you mean {tmp_path}/train.de?"
    )
    # A folder is prepended only to relative names.
    for name, advised in ((tmp_path / "none", False), ("none", True)):
        message = error_of("train", "--set", f"data.train={{src: {name}, tgt: {name}}}")
        assert "with --train-src and --train-tgt" in message
        assert ("--data-dir" in message) == advised


@pytest.mark.fault("F5")
def test_a_key_that_is_set_twice_is_refused() -> None:
    message = error_of("train", "--set", "training.seed=1", "--set", "training.seed=2")
    assert "UsageError: --set training.seed: given 2 times; give it once" in message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("Chinese", "zh"), ("ZH", "zh"), ("cn", "zh"), ("Chinese-English", "zh-en")),
        *(("zh", None), ("zh-CN", None), ("zh_TW", None), ("sr-Latn", None), ("Klingon", None)),
    ],
)
def test_language_names_map_to_codes(text: str, code: str | None) -> None:
    assert suggest_code(text) == code


def test_commands_are_listed_in_the_order_of_a_first_session() -> None:
    shown = re.findall(r"^│ ([a-z]+) ", output_of("--help"), flags=re.MULTILINE)
    assert shown[:5] == ["vocab", "train", "translate", "eval", "compare"]


@pytest.mark.parametrize("name", ["train", "translate", "augment", "eval", "compare"])
def test_help_has_options_in_panels_and_what_they_take_in_words(name: str) -> None:
    text = output_of(name, "--help")
    assert "╭─ Run ─" in text or name == "compare"
    assert "╭─ Data ─" in text or name == "translate"
    assert not re.search(r"<(int|float|text|path|bool)( range)?>", text.partition("─ Run ─")[2])
    panel = text.partition("╭─ Options ─")[2].partition("╰")[0]
    assert len(re.findall(r"^│ --[a-z]", panel, flags=re.MULTILINE)) <= 4
