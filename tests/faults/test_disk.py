"""Full, read-only, slow, shared or missing disks: what was saved stays complete."""

import errno
import fcntl
import io
import os
import random
import resource
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from calls import failing_at
from forked import clean_error, s2s, start, when_logged
from job import (
    CONFIG,
    MODEL,
    check,
    count_calls,
    debris,
    live,
    steps_path,
    train,
    undisturbed,
    wait,
)
from jobs import make_trainer
from shell import tiny_train
from tally import Tally, trials

from s2s_cli.checkpoint import load_model
from s2s_cli.errors import ConfigError, SaveError
from s2s_cli.run import RunFolder
from s2s_cli.storage import checksummed, lock
from s2s_cli.storage.atomic import sync_folder, write_synced
from s2s_cli.storage.checksummed import write_checksummed
from s2s_cli.storage.lock import LOCK, locked
from s2s_cli.training import trainer as saving

TRAIN = tiny_train("--run", "r", "--epochs", 2)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The final state of an undisturbed run."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="module")
def num_calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Number of calls of an undisturbed run that change the disk."""
    return count_calls(tmp_path_factory.mktemp("counted"))


@pytest.mark.fault("B1")
@pytest.mark.parametrize("stays", [False, True])
def test_a_disk_full_at_any_write_keeps_earlier_checkpoints(
    tmp_path: Path, tally: Tally, reference: dict[str, bytes], num_calls: int, stays: bool
) -> None:
    every = range(1, num_calls + 1)
    for number in random.Random(1).sample(every, trials(6, num_calls)):
        folder = tmp_path / str(number)
        status = wait(live(folder, failing_at(number, errno.ENOSPC, forever=stays)))
        with tally.trial(number):
            assert status in {0, 1}, f"status {status}: no clean error"  # 0: not a write
            assert not debris(folder), f"debris: {debris(folder)}"
            check(folder, reference)


@pytest.mark.fault("B1")
def test_a_file_size_limit_gives_a_clean_error(texts: Path, tally: Tally) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))

    with tally.trial():
        line = clean_error(s2s(*TRAIN, cwd=texts, setup=limit))
        assert "File too large" in line
        assert not list(texts.rglob(".tmp-*"))


@pytest.mark.fault("B1")
def test_a_full_disk_reports_needed_and_available_space(texts: Path, tally: Tally) -> None:
    def fill() -> None:
        pytest.MonkeyPatch().setattr(checksummed, "write_synced", _full)

    with tally.trial():
        line = clean_error(s2s(*TRAIN, cwd=texts, setup=fill))
        assert "No space left on device" in line
        assert " MB are needed, " in line
        assert " MB are free" in line


def _full(path: Path, _: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.fault("B4")
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_an_unwritable_folder_is_refused_before_training(
    texts: Path, tally: Tally, code: int
) -> None:
    with tally.trial(errno.errorcode[code]):
        line = clean_error(s2s(*TRAIN, cwd=texts, setup=failing_at(1, code, forever=True)))
        assert os.strerror(code) in line
        assert not (texts / "r/train.jsonl").exists()


@pytest.mark.fault("B5")
def test_a_folder_that_becomes_read_only_is_reported_at_the_next_save(
    tmp_path: Path, tally: Tally, num_calls: int
) -> None:
    folder = tmp_path / "run"
    status = wait(live(folder, failing_at(num_calls // 2, errno.EACCES, forever=True)))
    with tally.trial():
        assert status == 1
        steps = [int(line) for line in steps_path(folder).read_text().split()[1:]]
        newest = load_model(RunFolder(folder).checkpoints()[0]).card.step
        assert steps[-1] - newest <= CONFIG.save_every


class Short(io.FileIO):
    """A file that writes only a few bytes at a time, with occasional interrupts."""

    def write(self, content: Any) -> int:
        return super().write(bytes(content)[: max(1, len(content) // 3)])


@pytest.mark.fault("B6")
def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = io.open

    def short_open(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if mode == "wb":
            return io.BufferedWriter(Short(file, "w"))
        return opened(file, mode, *rest, **more)

    monkeypatch.setattr(io, "open", short_open)
    content = os.urandom(3_000_001)
    write_synced(tmp_path / "x", content)
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == content


@pytest.mark.fault("B6")
def test_an_input_output_error_gives_a_clean_error(texts: Path, tally: Tally) -> None:
    def fail(path: Path, _: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def plant() -> None:
        pytest.MonkeyPatch().setattr(checksummed, "write_synced", fail)

    with tally.trial():
        assert os.strerror(errno.EIO) in clean_error(s2s(*TRAIN, cwd=texts, setup=plant))


@pytest.mark.fault("B7")
def test_a_second_process_is_locked_out_until_the_first_ends(tmp_path: Path, tally: Tally) -> None:
    for number in range(trials(5, 50)):
        folder = tmp_path / "r" / str(number)
        pid = os.fork()
        if not pid:
            with locked(folder, print):
                signal.pause()
            os._exit(0)
        while not (folder / LOCK).exists() or not (folder / LOCK).read_bytes():
            time.sleep(0.001)
        with tally.trial(number):
            with pytest.raises(ConfigError, match=rf"in use by process {pid} on "):
                _hold(folder)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert (folder / LOCK).exists()  # but no process holds it
            _hold(folder)
            assert not folder.exists() or not any(folder.iterdir())


def _hold(folder: Path) -> None:
    with locked(folder, pytest.fail):
        assert (folder / LOCK).exists()


@pytest.mark.fault("B7")
def test_two_trainings_do_not_share_a_folder(texts: Path, tally: Tally) -> None:
    # It pauses after an epoch until a signal arrives.
    longer = tiny_train("--run", "r", "--epochs", 3)
    first = start(longer, texts, setup=when_logged(1, signal.pause))
    while not (texts / "r/train.jsonl").exists():
        assert first.is_running(), first.wait().stderr
        time.sleep(0.01)
    with tally.trial():
        for command in (TRAIN, [*TRAIN, "--fresh"], ["vocab", "build", *TRAIN[1:5], "--run", "r"]):
            line = clean_error(s2s(*command, cwd=texts))
            assert f"r: is in use by process {first.pid}" in line
        assert not (texts / "r.bak-1").exists()
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait().status == 143


@pytest.mark.fault("B8")
def test_a_deleted_run_folder_is_reported_at_the_next_save(texts: Path, tally: Tally) -> None:
    def vanish() -> None:
        write = saving.saving

        def saving_after_loss(run: RunFolder, step: int) -> Any:
            if step > 4:
                shutil.move(run.path, run.path.with_name("moved"))
            return write(run, step)

        pytest.MonkeyPatch().setattr("s2s_cli.training.trainer.saving", saving_after_loss)

    longer = [*TRAIN, "--epochs", 3]  # saved after updates 4, 8 and 12
    with tally.trial("reported"):
        line = clean_error(s2s(*longer, cwd=texts, setup=vanish))
        assert "r: was deleted or moved" in line
        assert not (texts / "r").exists()
    with tally.trial("resumes when it is back"):
        (texts / "moved").rename(texts / "r")
        done = s2s(*longer, cwd=texts)
        assert done.status == 0, done.stderr
        assert "resumed after update 4" in done.stderr


@pytest.mark.fault("B10")
def test_file_systems_without_locks_and_folder_syncs_work_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    sync = os.fsync

    def no_folder_sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(os, "fsync", no_folder_sync)
    warned: list[str] = []
    with locked(tmp_path / "r", warned.append):
        write_checksummed(tmp_path / "r/model", {"x": b"1"}, {})
    assert "does not support locks" in warned[0]
    monkeypatch.setattr(lock, "fcntl", None)  # as on Windows
    with locked(tmp_path / "r", pytest.fail):
        sync_folder(tmp_path)


@pytest.mark.fault("B11")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_file_modes_follow_the_umask(tmp_path: Path, mask: int) -> None:
    former = os.umask(mask)
    try:
        write_checksummed(tmp_path / "model", {"x": b"1"}, {})
        _hold(tmp_path)
    finally:
        os.umask(former)
    for path in (tmp_path / "model").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o777 & ~mask


@pytest.mark.fault("B12")
def test_checkpoints_are_ordered_by_step_and_not_by_file_time(tmp_path: Path) -> None:
    train(tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    newest, older = run.checkpoints()
    for path in (newest, *newest.iterdir()):
        os.utime(path, (0, 0))
    assert run.checkpoints() == [newest, older]
    trainer = make_trainer(tmp_path / "run", CONFIG, MODEL)
    assert trainer.record.position.step == 20


def test_an_error_while_saving_gives_a_clean_error(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", CONFIG, MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksummed, "write_synced", _full)
        with pytest.raises(SaveError, match="update 0 could not be saved"):
            list(trainer.train(lambda: False))
