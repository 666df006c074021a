"""Numbers that are not finite, too little memory, odd terminals, odd command lines."""

import os
import random
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Done, clean_error, last_given, s2s
from shell import S2S, TINY, tiny_train
from tally import Tally, trials

from s2s_cli import cli
from s2s_cli.training.loss import LossModule

TRAIN = tiny_train("--run", "r", "--epochs", 2)


def spoil(monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[Any], bool]) -> None:
    """Make the loss of some batches NaN."""
    forward = LossModule.forward

    def spoiled(module: LossModule, batch: Any, *rest: Any) -> torch.Tensor:
        loss = forward(module, batch, *rest)
        return loss * torch.nan if is_bad(batch) else loss

    monkeypatch.setattr(LossModule, "forward", spoiled)


@pytest.mark.fault("E1")
def test_a_loss_that_is_not_finite_is_reported_with_its_lines(texts: Path, tally: Tally) -> None:
    def plant() -> None:
        # 鱼 occurs first in lines 9 to 12 of every 16.
        spoil(pytest.MonkeyPatch(), lambda batch: bool((batch.src[:, 0] == first_id).any()))

    assert s2s("vocab", "build", *TRAIN[1:9], *TINY, "--run", "r", cwd=texts).status == 0
    lines = (texts / "r/vocab/src.tsv").read_text(encoding="utf-8").split("\n")
    first_id = [line.split("\t")[0] for line in lines].index("鱼")
    with tally.trial():
        done = s2s(*TRAIN, "--set", "training.max_skipped=2", cwd=texts, setup=plant)
        line = clean_error(done)
        assert "is not finite in 3 updates of epoch 1" in line
        assert done.stderr.count("was skipped: its loss or gradient is not finite") == 3
        named = re.findall(r"my\.zh:(\d+): 鱼. -> fish \w+", done.stderr)
        assert named
        assert all((int(number) - 1) % 16 in {8, 9, 10, 11} for number in named)
        assert not (texts / "r/model").exists()
        assert (texts / "r/checkpoints/step-00000000").exists()


@pytest.mark.fault("E2")
def test_too_little_memory_for_a_batch_gives_a_clean_error(texts: Path, tally: Tally) -> None:
    def plant() -> None:
        forward = LossModule.forward

        def limited(module: LossModule, batch: Any, *rest: Any) -> torch.Tensor:
            if len(batch.src) > 6:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return forward(module, batch, *rest)

        pytest.MonkeyPatch().setattr(LossModule, "forward", limited)

    with tally.trial():
        line = clean_error(s2s(*TRAIN, cwd=texts, setup=plant))
        assert "too little memory for a batch of" in line
        assert "halve training.batch_size and double training.accumulate" in line
    with tally.trial("the same with half the batch"):
        smaller = ["--set", "training.batch_size=6", "--set", "training.accumulate=2", "--fresh"]
        done = s2s(*TRAIN, *smaller, cwd=texts, setup=plant)
        assert done.status == 0, done.stderr


@pytest.mark.fault("E2")
def test_a_model_too_large_for_the_memory_gives_a_clean_error(texts: Path, tally: Tally) -> None:
    def limit() -> None:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 29), resource.RLIM_INFINITY))

    large = ["--set", "model.hidden_size=16000", "--set", "model.embed_size=16000"]
    with tally.trial():
        line = clean_error(s2s(*TRAIN, *large, cwd=texts, setup=limit))
        assert "memory" in line


@pytest.mark.fault("E5")
@pytest.mark.parametrize("redirection", ["| head -n 1", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(texts: Path, tally: Tally, redirection: str) -> None:
    command = f"{' '.join(S2S)} vocab show --run none {redirection}"
    done = subprocess.run(["bash", "-c", command], cwd=texts, capture_output=True, check=False)
    with tally.trial(redirection):
        assert b"Traceback" not in done.stderr
        assert done.returncode in {0, 1}


SURROUNDINGS: list[dict[str, str]] = [
    {"TERM": "dumb", "COLUMNS": "40"},
    {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    {"NO_COLOR": "1", "COLUMNS": "40"},
    {"FORCE_COLOR": "", "COLUMNS": "1"},
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONUTF8": "0", "LC_ALL": "POSIX"},
]


@pytest.mark.fault("E6")
@pytest.mark.parametrize("environment", SURROUNDINGS[: trials(2, 6)], ids=" ".join)
def test_terminals_of_all_kinds(texts: Path, tally: Tally, environment: dict[str, str]) -> None:
    command = [*S2S, *map(str, last_given([*TRAIN, "--epochs", "1"]))]
    done = subprocess.run(
        command, cwd=texts, env={**os.environ, **environment}, capture_output=True, check=False
    )
    with tally.trial():
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"epoch 1/" in done.stderr
        ask = [*S2S, "translate", "-m", "r", "my.zh", "-o", "out"]
        subprocess.run(ask, cwd=texts, env={**os.environ, **environment}, check=True)
        assert (texts / "out").read_bytes().decode("utf-8").count("\n") == 64


WORDS = [
    *("vocab", "build", "show", "train", "translate", "eval", "results", "trian", "help", ""),
    *("--help", "--version", "--config", "-c", "--run", "-m", "--model", "--epochs", "--device"),
    *("--set", "--seed", "--beam-size", "--bleu", "--hyp", "--ref", "--report", "-o", "--sample"),
    *("--precision", "--from", "--to", "--fresh", "--resume", "--data-dir", "--train-src", "-"),
    *("--max-size", "--workers", "--side", "--head", "--tgt-lang", "--src-lang", "--n-best", "--"),
    *("0", "1", "-1", "1e9", "999999999999999999999", "x", "nothing.txt", "/", "/dev/null", "."),
    *("model.hidden_size=3", "model.hidden_size=", "=", "a.b.c=1", "data=1", "training.epochs=no"),
    *("\udcff", "\n", "我", "--bogus", "--epochs=", "--epochs=x", "bf16", "cuda:99", "zh", "de-en"),
    *("data.train={", "data.train=[1]", "text.src_tokenizer=none", "decoding.n_best=9", "~", "\t"),
]


@pytest.mark.fault("E7")
def test_any_command_line_ends_with_a_documented_status(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(7)
    monkeypatch.chdir(tmp_path)
    # Commands that would start to work end here: only the command line is tested.
    for name in ("train._train", "vocab._build"):
        monkeypatch.setattr(f"s2s_cli.commands.{name}", lambda *_: None)
    monkeypatch.setattr(cli, "unwind_on_signals", lambda: None)
    monkeypatch.setattr(sys, "stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115, PTH123
    for number in range(trials(150, 5_000)):
        words = draw.choices(WORDS, k=draw.randrange(7))
        monkeypatch.setattr(sys, "argv", ["s2s", *words])
        with tally.trial(f"{number} {words}"):
            try:
                cli.main()
                status: object = 0
            except SystemExit as error:
                status = error.code or 0
            except Exception as error:
                raise AssertionError(repr(error)) from error
            assert status in {0, 1, 2}, status
    capfd.readouterr()


@pytest.mark.fault("E8")
@pytest.mark.parametrize("package", ["torch", "sacremoses", "sacrebleu", "safetensors", "yaml"])
def test_a_missing_package_is_named(texts: Path, tally: Tally, package: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from s2s_cli.cli import main\n"
        f"sys.argv = ['s2s', *{[str(word) for word in TRAIN]!r}]\n"
        "main()\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=texts, capture_output=True, text=True, check=False
    )
    with tally.trial(package):
        line = clean_error(Done(found.returncode, found.stdout, found.stderr))
        assert "is not installed; pip install" in line
        assert "Traceback" not in found.stderr


@pytest.mark.fault("E9")
@pytest.mark.parametrize("home", [None, "/nowhere", "/proc"])
def test_home_and_temporary_folder_may_be_missing(
    texts: Path, tally: Tally, home: str | None
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    environment |= {"TMPDIR": "/nowhere"} | ({} if home is None else {"HOME": home})
    command = [*S2S, *map(str, last_given([*TRAIN, "--set", "text.src_tokenizer=jieba"]))]
    done = subprocess.run(command, cwd=texts, env=environment, capture_output=True, check=False)
    with tally.trial(home):
        assert done.returncode == 0, done.stderr


NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.bind")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@pytest.mark.fault("E10")
def test_no_network_is_used_and_no_files_are_written_elsewhere(texts: Path, tally: Tally) -> None:
    def is_elsewhere(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is already open
        found = Path(os.path.realpath(os.fsdecode(path)))
        return not any(found.is_relative_to(place) for place in (texts.resolve(), "/dev"))

    def watch() -> None:
        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            is_written = event == "open" and bool(int(arguments[2] or 0) & WRITING)
            if (
                event in NETWORK
                or event == "pickle.find_class"
                or (is_written and is_elsewhere(arguments[0]))
            ):
                os.write(2, f"FORBIDDEN {event} {arguments}\n".encode())

        sys.dont_write_bytecode = True
        sys.addaudithook(hook)

    test = ["--test-src", "my.zh", "--test-tgt", "my.en"]
    for arguments in (
        ["vocab", "build", *TRAIN[1:9], *TINY, "--run", "r", "--workers", 1],
        TRAIN,
        ["translate", "-m", "r", "my.zh"],
        ["eval", "-m", "r", *test, "--report", "report"],
        ["results", "r"],
    ):
        done = s2s(*arguments, cwd=texts, setup=watch)
        with tally.trial(shlex.join(map(str, arguments[:2]))):
            assert "FORBIDDEN" not in done.stderr, done.stderr
