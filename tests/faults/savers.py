"""Deliberately broken savers, each of which the suite must detect."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import s2s_cli.checkpoint
import s2s_cli.storage.atomic
import s2s_cli.storage.checksummed
from s2s_cli.checkpoint import TrainingState
from s2s_cli.run import RunFolder
from s2s_cli.storage.atomic import write_synced
from s2s_cli.storage.checksummed import MANIFEST, sha256, to_json
from s2s_cli.training import state as state_module
from s2s_cli.training.trainer import Trainer


class Planted(NamedTuple):
    """A broken saver."""

    plant: Callable[[pytest.MonkeyPatch], None]
    """Breaks the saver of this process."""
    shows_in_kills: bool = True
    """Whether kills reveal it; otherwise only a loss of power does."""


def _manifest(files: Mapping[str, bytes], facts: Mapping[str, object]) -> bytes:
    entries = {name: {"bytes": len(c), "sha256": sha256(c)} for name, c in files.items()}
    return to_json({"saved_at": "", **facts, "files": entries})


def in_place(patch: pytest.MonkeyPatch) -> None:
    """Write files to their final place, the manifest first."""

    def write(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, object]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_synced(folder / MANIFEST, _manifest(files, facts))
        for name, content in files.items():
            write_synced(folder / name, content)

    patch.setattr(s2s_cli.checkpoint, "write_checksummed", write)


def rename_before_sync(patch: pytest.MonkeyPatch) -> None:
    """Sync nothing: a file may get its name before its content is on the disk."""
    patch.setattr(
        s2s_cli.storage.checksummed, "write_synced", lambda path, content: path.write_bytes(content)
    )
    patch.setattr(s2s_cli.storage.atomic, "sync_folder", lambda _: None)


def no_manifest(patch: pytest.MonkeyPatch) -> None:
    """Treat every checkpoint as complete."""

    def write(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, object]) -> None:
        del facts
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_synced(folder / name, content)
        (folder / MANIFEST).touch()

    def read(folder: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> Any:
        found = [*names, *(name for name in optional if (folder / name).exists())]
        return {name: (folder / name).read_bytes() for name in found}

    patch.setattr(s2s_cli.checkpoint, "write_checksummed", write)
    patch.setattr(s2s_cli.checkpoint, "read_checksummed", read)
    patch.setattr(RunFolder, "checkpoints", _all_checkpoints)


def _all_checkpoints(run: RunFolder) -> list[Path]:
    return sorted((run.path / "checkpoints").glob("step-*"), reverse=True)


def _forgetting(
    patch: pytest.MonkeyPatch, forget: Callable[[TrainingState], TrainingState]
) -> None:
    restore = Trainer.restore
    patch.setattr(Trainer, "restore", lambda trainer, state: restore(trainer, forget(state)))


def forgotten_random_state(patch: pytest.MonkeyPatch) -> None:
    """Do not restore the random numbers of dropout."""
    patch.setattr(state_module, "restore_random_state", lambda *_: False)


def forgotten_adam_step(patch: pytest.MonkeyPatch) -> None:
    """Lose the step counts of Adam."""
    _forgetting(
        patch,
        lambda state: state._replace(
            tensors={
                name: tensor * 0 if name.endswith(".step") else tensor
                for name, tensor in state.tensors.items()
            }
        ),
    )


def _with_position(state: TrainingState, **changes: int) -> TrainingState:
    position = {**state.facts["position"], **changes}
    return state._replace(facts={**state.facts, "position": position})


def forgotten_scheduler(patch: pytest.MonkeyPatch) -> None:
    """Warm up the learning rate again."""

    def forget(state: TrainingState) -> TrainingState:
        return _with_position(state, step=0)

    _forgetting(patch, forget)


def data_order_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """Skip or repeat a batch."""
    _forgetting(
        patch, lambda state: _with_position(state, batch=state.facts["position"]["batch"] + 1)
    )


def from_scratch(patch: pytest.MonkeyPatch) -> None:
    """Ignore all that was saved: the weights are right, but all work is repeated."""
    repair = RunFolder.repair

    def forget(run: RunFolder) -> None:
        repair(run)
        shutil.rmtree(run.path, ignore_errors=True)
        run.path.mkdir(parents=True)

    patch.setattr(RunFolder, "repair", forget)


PLANTED = {
    "in place": Planted(in_place),
    "rename before sync": Planted(rename_before_sync, shows_in_kills=False),
    "no manifest": Planted(no_manifest),
    "forgotten random state": Planted(forgotten_random_state),
    "forgotten Adam step": Planted(forgotten_adam_step),
    "forgotten scheduler": Planted(forgotten_scheduler),
    "restart from scratch": Planted(from_scratch),
    "data order off by one": Planted(data_order_off_by_one),
}
