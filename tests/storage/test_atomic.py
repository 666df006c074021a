import os
import stat
from pathlib import Path

import pytest

from s2s_cli.storage.atomic import replacing, write_file


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_file(path, "eins\n")
    write_file(path, b"zwei\n")
    assert path.read_text(encoding="utf-8") == "zwei\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_what_fails_half_way_leaves_the_old_file_and_no_debris(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_modes_follow_the_umask(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        write_file(tmp_path / "a", "x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_file_in_shared_memory_is_replaced_like_any_other() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip(f"no {folder} here")
    path = folder / f"s2s-test-{os.getpid()}"
    try:
        write_file(path, "first\n")
        write_file(path, "second\n")
        assert path.read_text() == "second\n"
    finally:
        path.unlink(missing_ok=True)
