"""Simulate power loss: data that was not synced may be lost, and some renames may be missing.

The calls of a process are recorded. From the recording, any number of possible states of the disk
after a loss of power can be generated.
"""

import builtins
import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import s2s_cli.training.trainer


class Step(NamedTuple):
    """One recorded call."""

    kind: str
    """`create`, `sync`, `sync_folder`, `mkdir`, `move`, `remove` or `saved`."""
    path: Path
    target: Path | None = None
    """Destination of a move."""
    content: bytes = b""
    """Content of a file when it was synced."""


class Recorder:
    """Records the calls of a process on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []

    def add(self, kind: str, path: Any, target: Any = None, content: bytes = b"") -> None:
        """Record a call on a path in the folder."""
        place = Path(path).absolute()
        if place.is_relative_to(self.folder):
            goal = None if target is None else Path(target).absolute()
            self.steps.append(Step(kind, place, goal, content))


@contextmanager
def recorded(folder: Path) -> Iterator[Recorder]:
    """Record the calls of this process on a folder, and when it has saved a model."""
    found = Recorder(folder.absolute())
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in (("rename", "move"), ("replace", "move")):
            patch.setattr(os, name, _moving(getattr(os, name), kind, found))
        for name, kind in (("mkdir", "mkdir"), ("unlink", "remove"), ("rmdir", "remove")):
            patch.setattr(os, name, _changing(getattr(os, name), kind, found))
        patch.setattr(os, "fsync", _syncing(os.fsync, found))
        opened = _opening(io.open, found)
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        save = s2s_cli.training.trainer.save_model

        def save_and_record(place: Path, *rest: Any) -> None:
            save(place, *rest)
            found.add("saved", place)

        patch.setattr(s2s_cli.training.trainer, "save_model", save_and_record)
        yield found


def _moving(call: Any, kind: str, found: Recorder) -> Any:
    def moving(src: Any, dst: Any, **more: Any) -> None:
        call(src, dst, **more)
        found.add(kind, src, dst)

    return moving


def _changing(call: Any, kind: str, found: Recorder) -> Any:
    def changing(path: Any, *rest: Any, dir_fd: int | None = None, **more: Any) -> None:
        where = _path_of(dir_fd) / path if dir_fd is not None else path
        call(path, *rest, dir_fd=dir_fd, **more)
        found.add(kind, where)

    return changing


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _syncing(call: Any, found: Recorder) -> Any:
    def syncing(descriptor: int) -> None:
        call(descriptor)
        path = _path_of(descriptor)
        if path.is_dir():
            found.add("sync_folder", path)
        else:
            found.add("sync", path, content=path.read_bytes())

    return syncing


def _opening(call: Any, found: Recorder) -> Any:
    def opening(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        is_new = not isinstance(file, int) and "w" in mode
        stream = call(file, mode, *rest, **more)
        if is_new:
            found.add("create", file)
        return stream

    return opening


Tree = dict[Path, bytes | None]
"""Content of each file; None for folders."""


def power_lost(steps: list[Step], draw: random.Random) -> Tree:
    """Return a possible state of the disk if power is lost after these calls."""
    tree: Tree = {}
    for number, step in enumerate(steps):
        if not _is_durable(steps, number) and draw.random() < 0.5:
            continue
        match step.kind:
            case "mkdir":
                tree[step.path] = None
            case "create":
                # Not synced: any length and any content.
                tree[step.path] = bytes(draw.randrange(64))
            case "sync":
                if step.path in tree:
                    tree[step.path] = step.content
            case "remove":
                _remove(tree, step.path)
            case "move":
                _move(tree, step.path, step.target)
    return tree


def _is_durable(steps: list[Step], number: int) -> bool:
    """Whether the effect of a call has been synced."""
    step = steps[number]
    if step.kind in {"sync", "sync_folder", "saved"}:
        return True
    folder = (step.target or step.path).parent
    return any(
        later.kind == "sync_folder" and later.path == folder for later in steps[number + 1 :]
    )


def _remove(tree: Tree, path: Path) -> None:
    for place in [place for place in tree if place == path or path in place.parents]:
        del tree[place]


def _move(tree: Tree, path: Path, target: Path | None) -> None:
    if path not in tree or target is None:
        return
    _remove(tree, target)
    for place in [place for place in tree if place == path or path in place.parents]:
        tree[target / place.relative_to(path)] = tree.pop(place)


def write_tree(tree: Tree, source: Path, folder: Path) -> None:
    """Write a state of the recorded folder to a real disk."""
    for path, content in sorted(tree.items()):
        place = folder / path.relative_to(source)
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        elif place.parent.is_dir():
            place.write_bytes(content)
