"""Files and folders are replaced whole; what a killed process leaves is cleared away."""

import hashlib
import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from s2s_cli.storage.atomic import clear_debris, replacing, replacing_folder, write_file
from s2s_cli.storage.checksummed import (
    HashedFile,
    is_checksummed,
    read_checksummed,
    read_sha256,
    write_manifest,
)


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


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_in_folder(place: Path) -> None:
    with replacing_folder(place) as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt


def killed(work: Callable[[], object]) -> None:
    """Run something in another process, which is killed in the middle."""
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill_itself(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_compressed_files_have_the_same_bytes_whenever_they_are_written(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_file(tmp_path / name, "text\n" * 100)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "a"
    for name in ("old", "new"):
        with replacing_folder(place) as folder:
            (folder / name).write_text(name)
            assert not (place / name).exists()
    assert names(place) == ["new"]
    assert names(place.parent) == ["a"]


def test_a_folder_that_fails_half_way_leaves_the_old_one_and_no_debris(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "a") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        fail_in_folder(tmp_path / "a")
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]


def test_parents_that_were_created_in_vain_are_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail_in_folder(tmp_path / "b" / "c" / "a")
    assert not names(tmp_path)


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "file"), replacing_folder(tmp_path / "folder"):
            kill_itself()

    killed(write)
    assert len(names(tmp_path)) == 2
    clear_debris(tmp_path)
    assert not names(tmp_path)


def test_a_folder_whose_replacement_was_killed_between_two_renames_is_put_back(
    tmp_path: Path,
) -> None:
    def replace() -> None:
        rename = Path.rename

        def rename_and_die(path: Path, target: Path) -> None:
            rename(path, target)
            kill_itself()

        Path.rename = rename_and_die  # type: ignore[assignment,method-assign]
        with replacing_folder(tmp_path / "a") as folder:
            (folder / "new").write_text("new")

    with replacing_folder(tmp_path / "a") as folder:
        (folder / "old").write_text("old")
    killed(replace)
    assert "a" not in names(tmp_path)
    clear_debris(tmp_path)
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]


def test_what_a_running_process_of_this_machine_writes_stays(tmp_path: Path) -> None:
    with replacing(tmp_path / "mine"), replacing_folder(tmp_path / "mine too"):
        temporary = names(tmp_path)
        clear_debris(tmp_path)
        assert names(tmp_path) == temporary
        # The parent of this process is another one, and it is running.
        theirs = re.sub(r"\d+$", str(os.getppid()), temporary[0]).replace("mine", "theirs")
        (tmp_path / theirs).write_text("half")
        clear_debris(tmp_path)
        assert theirs in names(tmp_path)
    assert names(tmp_path) == sorted([theirs, "mine", "mine too"])


def test_files_with_other_names_stay(tmp_path: Path) -> None:
    for name in (".tmp-notes", ".old-a-b", "tmp-a-b-1", ".hidden"):
        (tmp_path / name).write_text("not ours")
    clear_debris(tmp_path)
    assert len(names(tmp_path)) == 4


def test_a_large_file_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "a") as folder:
        with HashedFile(folder / "ids") as file:
            for _ in range(3):
                file.write(b"0123")
        write_manifest(folder, {"ids": file.entry}, {"made_by": "a test"})
    assert is_checksummed(tmp_path / "a")
    assert read_sha256(tmp_path / "a", "ids") == hashlib.sha256(b"0123" * 3).hexdigest()
    assert read_checksummed(tmp_path / "a", ("ids",)) == {"ids": b"0123" * 3}
