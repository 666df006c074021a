"""The command line as a user sees it: one successful training, and the use of its model."""

import errno
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shell import BARE, S2S, SEED_SENTENCE, s2s


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the default recipe was trained successfully."""
    folder = tmp_path_factory.mktemp("learnt")
    table = s2s("vocab", "build", cwd=folder).stderr
    assert "train zh" in table
    assert "coverage" in table
    done = s2s("train", "--epochs", 5, cwd=folder)
    assert done.stdout == f"{Path('runs/quickstart/model')}\n"
    return folder


def test_the_vocabulary_files_are_token_tab_count_in_id_order(learnt: Path) -> None:
    for side in ("src", "tgt"):
        path = learnt / f"runs/quickstart/vocab/{side}.tsv"
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        assert [token for token, _ in rows[:4]] == ["<unk>", "<pad>", "<sos>", "<eos>"]
        counts = [int(count) for _, count in rows[4:]]
        assert counts == sorted(counts, reverse=True)
        assert 500 < len(rows) <= 10_000


def test_vocab_show_prints_the_head_and_the_tokens_of_a_sentence(learnt: Path) -> None:
    head = s2s("vocab", "show", "--side", "tgt", "--head", 6, cwd=learnt).stdout
    assert head.startswith("0\t<unk>\t0\n1\t<pad>\t0\n2\t<sos>\t0\n3\t<eos>\t0\n4\t")
    assert head.count("\n") == 6
    shown = s2s("vocab", "show", f"{SEED_SENTENCE}魑魅", cwd=learnt).stdout.splitlines()
    assert shown[0].startswith("tokens\t我 喜欢 学习 机器 学习 。")
    ids = [int(number) for number in shown[1].removeprefix("ids\t").split()]
    assert ids[2] == ids[4]
    assert shown[2] == "unknown\t魑魅"


def test_the_phrasebook_is_learned(learnt: Path) -> None:
    done = s2s("eval", "--bleu", cwd=learnt)
    scores = json.loads(done.stdout)
    assert list(scores) == ["bleu"]
    assert scores["bleu"]["score"] >= 60
    assert "tok:13a" in scores["bleu"]["signature"]
    assert "runs/quickstart/model" in done.stderr
    assert s2s("translate", cwd=learnt, stdin=SEED_SENTENCE).stdout == (
        "I like studying machine learning.\n"
    )


def test_eval_writes_a_report_that_the_sacrebleu_command_confirms(learnt: Path) -> None:
    printed = json.loads(s2s("eval", "--bleu", "--chrf", "--ter", cwd=learnt).stdout)
    report = learnt / "runs/quickstart/reports/phrasebook-test"
    found = json.loads((report / "scores.json").read_text(encoding="utf-8"))
    assert found["scores"] == printed
    assert set(printed) == {"bleu", "chrf", "ter"}
    wanted = {"weights_sha256", "sacrebleu_version", "s2s_version", "decoding", "data_sha256"}
    assert wanted <= set(found)
    assert found["sentences"] == 500
    assert found["sentences_per_second"] > 0
    command = [sys.executable, "-m", "sacrebleu", str(report / "references.txt"), "-i"]
    command += [
        str(report / "hypotheses.txt"),
        "-m",
        "bleu",
        "chrf",
        "ter",
        "-w",
        "8",
        "--confidence",
    ]
    theirs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for entry, name in zip(theirs, ("bleu", "chrf", "ter"), strict=True):
        assert round(printed[name]["score"], 8) == entry["score"]
        assert round(printed[name]["interval"], 8) == entry["confidence_var"]
        assert printed[name]["signature"] == entry["signature"]
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 500


def test_each_input_line_gives_one_output_line_from_file_stdin_and_gzip(
    learnt: Path, tmp_path: Path
) -> None:
    text = f"\ufeff{SEED_SENTENCE}\r\n\r\n他们喜欢学习历史。\r\n  \r\n你好\u2028吗".encode()
    (tmp_path / "in.zh").write_bytes(text)
    (tmp_path / "in.zh.gz").write_bytes(gzip.compress(text))
    model = learnt / "runs/quickstart"
    outputs = [
        s2s("translate", "-m", model, cwd=tmp_path, stdin=text).stdout,
        s2s("translate", "in.zh", "-m", model / "model", cwd=tmp_path).stdout,
        s2s("translate", "in.zh.gz", "--run", model, cwd=tmp_path).stdout,
    ]
    s2s("translate", "in.zh", "-m", model, "--output", "deep/out.en", cwd=tmp_path)
    outputs.append((tmp_path / "deep/out.en").read_text(encoding="utf-8"))
    assert len(set(outputs)) == 1
    lines = outputs[0].split("\n")
    assert len(lines) == 6
    assert (lines[1], lines[3], lines[5]) == ("", "", "")
    assert lines[0] == "I like studying machine learning."
    assert all(lines[i] for i in (0, 2, 4))


def test_json_and_n_best_output(learnt: Path) -> None:
    text = f"{SEED_SENTENCE}\n\n"
    done = s2s("translate", "--json", "--n-best", 3, cwd=learnt, stdin=text)
    first, blank = (json.loads(line) for line in done.stdout.splitlines())
    assert first["source"] == SEED_SENTENCE
    assert first["translation"] == "I like studying machine learning."
    assert first["score"] < 0
    assert len(first["alternatives"]) == 2
    assert len(first["attention"]) == len(first["tokens"])
    assert len(first["attention"][0]) == len(first["source_tokens"])
    assert first["source_tokens"][-1] == "<eos>"
    assert (blank["translation"], blank["tokens"]) == ("", [])
    plain = s2s("translate", "--n-best", 2, cwd=learnt, stdin=text).stdout.splitlines()
    assert len(plain) == 4
    assert re.fullmatch(r"0 \|\|\| I like studying machine learning\. \|\|\| -\d+\.\d{4}", plain[0])
    assert plain[2:] == ["1 |||  ||| 0.0000"] * 2


def test_input_with_damaged_bytes_keeps_its_lines_and_warns_once(learnt: Path) -> None:
    done = s2s("translate", cwd=learnt, stdin=b"\n" * 98 + b"\xff\xfe\n\xff\n")
    assert done.stdout.count("\n") == 100
    assert done.stderr.count("not UTF-8") == 1


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in a folder, in a bare environment."""
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False, env=BARE
    )


@pytest.mark.fault("E5")
@pytest.mark.parametrize(
    "command",
    [
        f"yes {SEED_SENTENCE} | head -n 3000 | {' '.join(S2S)} translate",
        f"true | true | {' '.join(S2S)} vocab show --head 10000",
        f"true | true | {' '.join(S2S)} train --help",
    ],
    ids=["translate", "vocab show", "help"],
)
def test_a_closed_pipe_is_not_an_error(learnt: Path, command: str) -> None:
    done = run_line(f"{command} | head -n 1; echo ${{PIPESTATUS[2]}}", learnt)
    assert done.stdout.count("\n") == 2
    assert done.stdout.endswith("\n0\n")
    assert "rror" not in done.stderr


def test_a_model_folder_works_from_anywhere(learnt: Path, tmp_path: Path) -> None:
    shutil.copytree(learnt / "runs/quickstart/model", tmp_path / "moved")
    done = s2s("translate", "--model", "moved", cwd=tmp_path, stdin=SEED_SENTENCE)
    assert done.stdout == "I like studying machine learning.\n"
    (tmp_path / "t.zh").write_text(f"{SEED_SENTENCE}\n", encoding="utf-8")
    (tmp_path / "t.en").write_text("I like studying machine learning.\n", encoding="utf-8")
    test = ["--test-src", "t.zh", "--test-tgt", "t.en"]
    assert (
        json.loads(s2s("eval", "-m", "moved", *test, cwd=tmp_path).stdout)["chrf"]["score"] == 100
    )
    assert len(list((tmp_path / "reports").glob("*-t/report.html"))) == 1
    assert "give --test-src" in s2s("eval", "-m", "moved", cwd=tmp_path, status=1).stderr


def test_a_device_as_output_is_written_to_and_not_replaced(learnt: Path, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    os.mkfifo(tmp_path / "pipe")
    model = ["translate", "-m", learnt / "runs/quickstart", "-o"]
    s2s(*model, "link.txt", cwd=tmp_path, stdin=SEED_SENTENCE)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text(encoding="utf-8").startswith("I like studying")
    reader = subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE)
    s2s(*model, "pipe", cwd=tmp_path, stdin=SEED_SENTENCE)
    assert reader.communicate()[0] == b"I like studying machine learning.\n"
    assert (tmp_path / "pipe").is_fifo()


def test_sigterm_while_translating_leaves_no_debris(learnt: Path, tmp_path: Path) -> None:
    command = [*S2S, "translate", "-m", str(learnt / "runs/quickstart"), "-o", "out.txt"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(tmp_path.iterdir()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.terminate()
    assert b"Traceback" not in process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


COMMANDS = {
    "translate": "translate",
    "vocab show": "vocab show",
    "results": "results",
    "eval": "eval --bleu",
    "train": "train --epochs 5",
    "help": "--help",
    "version": "--version",
}


@pytest.mark.fault("B3")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_full_stdout_gives_a_clear_error(learnt: Path, command: str) -> None:
    if command == "results":
        s2s("eval", "--bleu", cwd=learnt)
    done = run_line(f"echo {SEED_SENTENCE} | {' '.join(S2S)} {command} > /dev/full", learnt)
    assert done.returncode == 1, done.stderr
    where = "" if command == "--help" else "stdout: "  # Typer writes help itself
    assert done.stderr.splitlines()[-1] == f"error: {where}{os.strerror(errno.ENOSPC)}"
    assert done.stderr.count(os.strerror(errno.ENOSPC)) == 1


@pytest.mark.fault("B3")
@pytest.mark.parametrize("command", ["train -c nothing", "trian"])
def test_a_full_stderr_does_not_change_the_exit_status(tmp_path: Path, command: str) -> None:
    done = run_line(f"{' '.join(S2S)} {command} 2> /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stdout == done.stderr == ""


@pytest.mark.fault("B3")
def test_a_closed_stdout_gives_a_clear_error(learnt: Path) -> None:
    done = run_line(f"echo {SEED_SENTENCE} | {' '.join(S2S)} translate >&-", learnt)
    assert done.returncode == 1
    assert (
        done.stderr
        == "error: stdout: is closed, so results cannot be written; redirect it to a file\n"
    )


def test_a_damaged_model_is_refused_and_its_file_named(learnt: Path, tmp_path: Path) -> None:
    shutil.copytree(learnt / "runs/quickstart/model", tmp_path / "m")
    content = bytearray((tmp_path / "m/model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "m/model.safetensors").write_bytes(content)
    done = s2s("translate", "-m", "m", cwd=tmp_path, status=1)
    assert "model.safetensors: differs from what manifest.json says" in done.stderr


def test_results_of_runs_are_written_as_a_page(learnt: Path) -> None:
    s2s("eval", "--bleu", cwd=learnt)
    page = learnt / "page" / "results.md"
    done = s2s("results", "--output", page, cwd=learnt)
    assert "1 runs in" in done.stderr
    text = page.read_text(encoding="utf-8")
    assert "## quickstart" in text
    assert "s2s train --epochs" in text
    assert json.loads(page.with_suffix(".json").read_bytes())["quickstart"]["seed"] == 1
    assert "nothing" not in s2s("results", "runs/quickstart", cwd=learnt).stdout
    assert "runs: none is evaluated" in s2s("results", "nowhere", cwd=learnt, status=1).stderr
