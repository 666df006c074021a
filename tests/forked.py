"""Run `s2s` in a forked process, which has all modules imported already."""

import importlib
import io
import itertools
import os
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from s2s_cli import cli
from s2s_cli.text.tokenizer import make_tokenizer
from s2s_cli.training import log

for _name in (
    "torch._dynamo",  # which the first optimizer imports, for a second
    *("s2s_cli.training.setup", "s2s_cli.prepare", "s2s_cli.decoding.translator"),
):
    importlib.import_module(_name)
make_tokenizer("jieba", "zh", lowercase=False).tokenize("我喜欢")
make_tokenizer("moses", "en", lowercase=False).tokenize("one")


class Done(NamedTuple):
    """The result of a command."""

    status: int
    """Exit status; negative if a signal ended it."""
    stdout: str
    stderr: str


class Running(NamedTuple):
    """A running command."""

    pid: int
    streams: Path
    """The folder of the files for stdin, stdout and stderr."""

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self) -> Done:
        """Wait until it ends."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        stdout, stderr = (
            (self.streams / name).read_bytes().decode("utf-8", "replace") for name in ("out", "err")
        )
        shutil.rmtree(self.streams)
        return Done(status, stdout, stderr)


REPEATED = {"--model", "-m", "--ref", "--test-tgt"}
"""Options that may be given more than once."""


def last_given(arguments: Sequence[object]) -> list[object]:
    """Remove options, and keys of `--set`, that are given again later.

    Tests extend the command lines of others. `s2s` itself refuses repetition (`test_usage.py`).
    """
    groups: list[tuple[object, ...]] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        is_option = str(word).startswith("-") and len(str(word)) > 1
        has_value = is_option and words and not str(words[0]).startswith("--")
        groups.append((word, words.pop(0)) if has_value else (word,))

    def name(group: tuple[object, ...]) -> str:
        return f"--set {str(group[1]).partition('=')[0]}" if group[0] == "--set" else str(group[0])

    kept: list[object] = []
    for number, group in enumerate(groups):
        is_option = str(group[0]).startswith("-") and len(str(group[0])) > 1
        may_repeat = not is_option or group[0] in REPEATED
        if may_repeat or name(group) not in map(name, groups[number + 1 :]):
            kept += group
    return kept


def start(
    arguments: Sequence[object],
    cwd: Path,
    stdin: bytes = b"",
    setup: Callable[[], None] = lambda: None,
) -> Running:
    """Start a command.

    Args:
        arguments: after `s2s`; of an option that may be given once, the last counts.
        cwd: the working directory.
        stdin: the content of stdin.
        setup: called in the new process before the command.
    """
    streams = Path(tempfile.mkdtemp(prefix="s2s-streams-"))
    (streams / "in").write_bytes(stdin)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Running(pid, streams)
    status = 99
    try:
        for number, name in enumerate(("in", "out", "err")):
            flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(streams / name, flags), number)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0)))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), write_through=True)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), write_through=True)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though nohup may protect the tests
        os.chdir(cwd)
        sys.argv = ["s2s", *map(str, last_given(arguments))]
        setup()
        status = _run()
    except BaseException:  # noqa: BLE001 (reported to the parent, whatever it is)
        traceback.print_exc()
    finally:
        os._exit(status)


def when_logged(count: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return a setup that calls `act` inside a training once its log has `count` lines.

    A watching process would react too late on a busy machine.
    """

    def setup() -> None:
        append, number = log._append, itertools.count(1)

        def append_and_act(path: Path, line: Mapping[str, object], **how: bool) -> None:
            append(path, line, **how)
            if next(number) == count:
                act()

        log._append = append_and_act

    return setup


def signalled(count: int, number: signal.Signals) -> Callable[[], None]:
    """Return a setup that sends a signal to a training once its log has `count` lines."""
    return when_logged(count, lambda: os.kill(os.getpid(), number))


def _run() -> int:
    try:
        cli.main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def s2s(
    *arguments: object,
    cwd: Path,
    stdin: bytes = b"",
    setup: Callable[[], None] = lambda: None,
) -> Done:
    """Run a command to its end, and check that it prints no traceback."""
    done = start(arguments, cwd, stdin, setup).wait()
    assert "Traceback" not in done.stderr, f"{shlex.join(map(str, arguments))}\n{done.stderr}"
    return done


def clean_error(done: Done) -> str:
    """Return the only error line of a command that failed cleanly.

    Raises:
        AssertionError: it succeeded or failed in another way.
    """
    assert done.status == 1, f"status {done.status}\n{done.stderr}"
    lines = [line for line in done.stderr.split("\n") if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]
