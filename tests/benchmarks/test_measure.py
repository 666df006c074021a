"""Processes are watched; nothing here depends on how fast they are."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure
from benchmarks.errors import RunError
from benchmarks.measure import Tail, family, run
from benchmarks.systems.tool import Command


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BENCH", tmp_path)


def python(code: str, **more: object) -> Command:
    return Command([sys.executable, "-c", code], **more)


def test_a_process_is_given_its_files_and_its_input(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    code = (
        "import sys, time; print(sys.stdin.read() + open('made').read(), end='', flush=True); "
        "time.sleep(0.5)"  # long enough for its memory to be looked at
    )
    command = python(
        code, files={tmp_path / "made": "by us"}, stdin=tmp_path / "in", stdout=tmp_path / "out"
    )
    measured = run(command, tmp_path / "log", dict(os.environ), None)
    assert (tmp_path / "out").read_text() == "text\nby us"
    assert measured.wall_seconds > 0
    assert measured.peak_mb > 1


def test_lines_of_the_log_are_stamped_in_order(tmp_path: Path) -> None:
    command = python("print('one'); print('two'); print('not ended', end='')")
    measured = run(command, tmp_path / "log", dict(os.environ), None)
    assert [line.text for line in measured.lines] == ["one", "two"]
    assert 0 < measured.lines[0].seconds <= measured.lines[1].seconds <= measured.wall_seconds


def test_a_process_that_does_not_end_by_itself_is_stopped_when_it_has_done_enough(
    tmp_path: Path,
) -> None:
    code = "import time; print('done', flush=True); time.sleep(100)"
    measured = run(python(code), tmp_path / "log", dict(os.environ), lambda line: line == "done")
    assert measured.lines[0].text == "done"
    assert measured.wall_seconds < 100


def test_a_failure_names_the_log(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"exit status 3; .*log has its output"):
        run(python("raise SystemExit(3)"), tmp_path / "log", dict(os.environ), None)


def test_a_growing_file_hands_out_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == []
    for new, lines in (("a\nb", ["a"]), ("c\n", ["bc"]), ("", []), ("\nd\n", ["", "d"])):
        with path.open("a") as file:
            file.write(new)
        assert tail.read() == lines


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc here")
def test_a_process_without_children_is_its_whole_family() -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    # A child: this process may have some of its own, of other tests.
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert list(family(child.pid)) == [child.pid]
        assert measure.memory_of_tree(child.pid) > 1e6
        assert child.pid in family(os.getpid())


def test_a_peak_that_may_be_ours_is_not_a_processs_own() -> None:
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert measure.exact_peak(own) == 0
    assert measure.exact_peak(2 * own) >= 2 * own
