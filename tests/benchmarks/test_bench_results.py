from pathlib import Path

import pytest

from benchmarks.results import Key, Results, identify, key_of, read_results, set_aside
from s2s_cli.errors import DataError

KEY = Key("train", "s2s", 0)
CONTEXT = {"identity": "this"}


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "results.jsonl"
    Results(path, CONTEXT).add(KEY, {"peak_mb": 5.0})
    again = Results(path, CONTEXT)
    assert again.has(KEY)
    assert not again.has(KEY._replace(repetition=1))
    (line,) = read_results(path)
    assert key_of(line) == KEY
    assert (line["identity"], line["peak_mb"]) == ("this", 5.0)


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path, CONTEXT).add(KEY, {})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"kind": "tra')
    assert len(read_results(path)) == 1
    Results(path, CONTEXT).add(KEY._replace(repetition=1), {})
    assert [line["repetition"] for line in read_results(path)] == [0, 1]


def test_a_line_of_something_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"kind": "train"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.jsonl:1: not a measurement"):
        read_results(path)
    with pytest.raises(DataError, match="benchmarks run"):
        read_results(tmp_path / "none")


@pytest.mark.parametrize(
    ("identity", "is_fresh", "is_moved"),
    [("this", False, False), ("this", True, True), ("other", False, True)],
)
def test_another_benchmark_begins_a_file_of_its_own(
    tmp_path: Path, identity: str, is_fresh: bool, is_moved: bool
) -> None:
    path = tmp_path / "results.jsonl"
    assert set_aside(path, CONTEXT, is_fresh=True) is None
    Results(path, CONTEXT).add(KEY, {})
    backup = set_aside(path, {"identity": identity}, is_fresh)
    assert (backup is not None) == is_moved
    assert path.is_file() != is_moved
    if backup is not None:
        assert len(read_results(backup)) == 1


def test_a_change_of_the_source_makes_another_benchmark(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    files = [tmp_path / "a.py"]
    before = identify(files, "work")
    assert identify(files, "work") == before
    assert identify(files, "other work") != before
    files[0].write_text("2")
    assert identify(files, "work") != before
