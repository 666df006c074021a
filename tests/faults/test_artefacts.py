"""Model folders, vocabularies and encoded pairs that are damaged, foreign or hostile."""

import json
import os
import random
import resource
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from forked import clean_error, s2s
from job import CONFIG, MODEL, train
from jobs import make_trainer
from shell import tiny_train
from tally import Tally, trials

from s2s_cli.checkpoint import load_model, load_training_state
from s2s_cli.data.manifest import read_manifest
from s2s_cli.errors import CheckpointError, DataError, S2SError
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder
from s2s_cli.storage.checksummed import MANIFEST, sha256
from s2s_cli.training.resume import find_resumable

FORBIDDEN = (
    *("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"),
    *("socket.connect", "ctypes.dlopen", "os.putenv"),
)
"""Audit events that reading an artefact must never cause."""


@contextmanager
def audited() -> Iterator[list[str]]:
    """Record the forbidden audit events of the block."""
    found: list[str] = []
    is_on = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if is_on and event in FORBIDDEN:
            found.append(f"{event} {arguments}")

    sys.addaudithook(hook)  # hooks cannot be removed, so it has a switch
    try:
        yield found
    finally:
        is_on = False


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(folder)
    return RunFolder(folder)


@pytest.fixture
def place(run: RunFolder, tmp_path: Path) -> Path:
    """A copy of the newest checkpoint of the run, which is also a model folder."""
    return Path(shutil.copytree(run.checkpoints()[0], tmp_path / "model"))


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Put a file into a folder, with a matching manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Return damaged bytes: flipped, cut, doubled, zeroed, spliced or random."""
    changed = bytearray(content)
    start = draw.randrange(len(changed))
    end = min(len(changed), start + draw.randrange(1, 65))
    match draw.randrange(7):
        case 0:
            changed[start] ^= 1 << draw.randrange(8)
        case 1:
            del changed[start:]
        case 2:
            del changed[start:end]
        case 3:
            changed[start:end] = bytes(end - start)
        case 4:
            changed[start:start] = changed[start:end]
        case 5:
            changed[start:end] = draw.randbytes(end - start)
        case _:
            changed = bytearray(draw.randbytes(draw.randrange(200)))
    return bytes(changed)


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    """Load a checkpoint completely, with the checks of a resumed training."""
    loaded, state = load_model(folder), load_training_state(folder)
    return {**loaded.model.state_dict(), **state.tensors}


@pytest.mark.fault("C1")
def test_damaged_artefacts_are_never_loaded(place: Path, tally: Tally) -> None:
    draw, names = random.Random(1), sorted(path.name for path in place.iterdir())
    original, contents = read_all(place), {name: (place / name).read_bytes() for name in names}
    for number in range(trials(300, 60_000)):
        name = draw.choice(names)
        changed = mutate(contents[name], draw)
        (place / name).write_bytes(changed)
        with tally.trial(f"{number} {name}"):
            try:
                found = read_all(place)
            except CheckpointError:
                continue
            finally:
                (place / name).write_bytes(contents[name])
            # The date in a manifest may change; its hashes may not.
            assert name == MANIFEST or changed == contents[name], "accepted as complete"
            assert all(torch.equal(found[key], original[key]) for key in original)


@pytest.mark.fault("C2")
def test_forged_artefacts_give_a_clear_error_and_run_no_code(
    place: Path, tmp_path: Path, tally: Tally
) -> None:
    draw, names = random.Random(2), sorted({p.name for p in place.iterdir()} - {MANIFEST})
    contents = {name: (place / name).read_bytes() for name in [*names, MANIFEST]}
    with audited() as found:
        for number in range(trials(200, 30_000)):
            name = draw.choice(names)
            reseal(place, name, mutate_within(contents[name], draw))
            with tally.trial(f"{number} {name}"):
                try:
                    go_on(place, tmp_path / "run")
                except S2SError:
                    pass
                except Exception as error:
                    raise AssertionError(repr(error)) from error
            for changed in (name, MANIFEST):
                (place / changed).write_bytes(contents[changed])
    assert found == []


def mutate_within(content: bytes, draw: random.Random) -> bytes:
    """Damage bytes as `mutate` does, or return JSON of the same form with other values."""
    if content[:1] != b"{" or draw.random() < 0.3:
        return mutate(content, draw)
    tree = json.loads(content)
    for _ in range(draw.randrange(1, 4)):
        target = tree
        while isinstance(target, dict) and target:
            key = draw.choice(sorted(target))
            if not isinstance(target[key], dict) or draw.random() < 0.3:
                target[key] = draw.choice(ODD)
                break
            target = target[key]
    return json.dumps(tree).encode()


ODD: list[Any] = [
    *(None, True, -1, 0, 1, 2, 3, 1 << 40, 10**30, 1e308, 0.5, "", "x", "gru", "\0", "../../x"),
    *("/dev/zero", [], [1], {}, {"a": 1}, "none", "bpe", [[1]], "9" * 99),
]


def go_on(place: Path, folder: Path) -> None:
    """Resume a run from a checkpoint alone."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place, folder / "checkpoints" / "step-00000020")
    make_trainer(folder, CONFIG, MODEL)


def torch_file(path: Path) -> None:
    """Write what other tools save: a zip file of pickles."""
    torch.save({"model": torch.zeros(3)}, path)


def zip_bomb(path: Path) -> None:
    """Write a small archive that expands to a large file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(100 << 20))


def tar(path: Path) -> None:
    """Write an archive with a path that leads out of its folder."""
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))


def text(content: bytes) -> Callable[[Path], None]:
    """Write random bytes."""
    return lambda path: (path.write_bytes(content), None)[1]


PICKLE = b"cos\nsystem\n(S'touch owned'\ntR."


def headed(header: bytes, rest: bytes = b"", length: int | None = None) -> bytes:
    """Build a safetensors file with any header and any stated length."""
    return struct.pack("<Q", len(header) if length is None else length) + header + rest


HUGE = {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 8]}
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}

FOREIGN: dict[str, Callable[[Path], None]] = {
    "torch": torch_file,
    "zip bomb": zip_bomb,
    "tar": tar,
    "pickle": text(PICKLE),
    "gguf": text(b"GGUF\x03\0\0\0" + bytes(64)),
    "html": text(b"<!DOCTYPE html><html>Not Found</html>"),
    "git lfs": text(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "nothing": text(b""),
    "header of 2^63 bytes": text(headed(b"", length=1 << 63)),
    "header of 100 MB": text(headed(b" " * 1000, length=100 << 20)),
    "a tensor of 2^62": text(headed(json.dumps({"x": HUGE}).encode(), bytes(8))),
    "many tensors": text(headed(json.dumps({f"x{i}": EMPTY for i in range(100_000)}).encode())),
    "deep JSON": text(headed(b"[" * 200_000)),
}


@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_is_not_safetensors_is_reported(place: Path, tally: Tally, name: str) -> None:
    made = place.parent / "made"
    FOREIGN[name](made)
    reseal(place, "model.safetensors", made.read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with audited() as found, tally.trial(name), pytest.raises(CheckpointError) as caught:
        load_model(place)
    assert "model.safetensors: " in str(caught.value)
    assert found == []
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < made.stat().st_size + (200 << 20)


@pytest.mark.fault("C2")
@pytest.mark.parametrize("name", ["model.pt", "folder"])
def test_models_of_other_tools_are_refused(texts: Path, tally: Tally, name: str) -> None:
    if name == "folder":
        (texts / name).mkdir()
        torch_file(texts / name / "checkpoint.pt")
    else:
        torch_file(texts / name)
    with tally.trial(name):
        line = clean_error(s2s("translate", "-m", name, "my.zh", cwd=texts))
        assert f"{name}: " in line
        assert "model folder" in line


HOSTILE_CARDS: dict[str, dict[str, Any]] = {
    "deep": {},
    "wide": {"hidden_size": 1 << 62},
    "large": {"hidden_size": 1 << 16, "embed_size": 1 << 16, "num_layers": 64},
    "many layers": {"num_layers": 10**9},
}


@pytest.mark.fault("C3")
@pytest.mark.parametrize("name", HOSTILE_CARDS)
def test_a_card_is_checked_before_memory_is_allocated(place: Path, tally: Tally, name: str) -> None:
    card = json.loads((place / "config.json").read_bytes())
    card["model"] |= HOSTILE_CARDS[name]
    content = b'{"format":' + b"[" * 500_000 if name == "deep" else json.dumps(card).encode()
    reseal(place, "config.json", content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tally.trial(name), pytest.raises(CheckpointError):
        load_model(place)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.fault("C3")
def test_a_huge_manifest_is_not_read(place: Path) -> None:
    with (place / MANIFEST).open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CheckpointError, match=r"manifest\.json: cannot be read"):
        load_model(place)


@pytest.mark.fault("C4")
@pytest.mark.parametrize("entry", ["../../etc/passwd", "/etc/passwd", "a/b", "", "..", "\0"])
def test_a_manifest_cannot_name_files_outside_its_folder(
    place: Path, tally: Tally, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((place / MANIFEST).read_bytes())
    manifest["files"][entry] = {"bytes": 1, "sha256": "0"}
    (place / MANIFEST).write_text(json.dumps(manifest))
    opened: list[str] = []
    real = os.open

    def noting(path: Any, *rest: Any, **more: Any) -> int:
        opened.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", noting)
    with tally.trial(entry):
        load_model(place)  # files that are not needed are ignored
        assert {Path(path).parent for path in opened} == {place}


@pytest.mark.fault("C4")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
def test_only_regular_files_are_read(place: Path, tally: Tally, kind: str) -> None:
    for name in ("model.safetensors", MANIFEST):
        path = place / name
        kept = path.rename(place.parent / "kept")
        match kind:
            case "link":
                path.symlink_to(kept)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to("/dev/zero")
        with tally.trial(name), pytest.raises(CheckpointError, match=name):
            load_model(place)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        kept.rename(path)


@pytest.mark.fault("C5")
@pytest.mark.parametrize("value", ["/etc/passwd", "../../x", "~/x", "$HOME/x", "a\0b"])
def test_a_card_cannot_name_files_of_the_machine(place: Path, tally: Tally, value: str) -> None:
    card = json.loads((place / "config.json").read_bytes())
    with tally.trial(value):
        for section, key in (("decoding", "dictionary"), ("text", "src_tokenizer")):
            changed = {**card, section: {**card[section], key: value}}
            reseal(place, "config.json", json.dumps(changed).encode())
            with pytest.raises(CheckpointError):
                load_model(place)


@pytest.mark.fault("C6")
def test_a_vocabulary_of_another_model_is_reported_with_both_hashes(
    place: Path, tally: Tally
) -> None:
    contents = {name: (place / name).read_bytes() for name in ("src.tsv", "tgt.tsv")}
    lines = contents["src.tsv"].split(b"\n")
    others = {
        "swapped": contents["tgt.tsv"],
        "of another order": b"\n".join([*lines[:4], *lines[4:-1][::-1], b""]),
        "of another size": b"\n".join([*lines[:-2], b""]),
    }
    for name, content in others.items():
        reseal(place, "src.tsv", content)
        with tally.trial(name), pytest.raises(CheckpointError) as caught:
            load_model(place)
        for digest in (sha256(content), sha256(contents["src.tsv"])):
            assert digest[:12] in str(caught.value)


@pytest.mark.fault("C7")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("unknown key", lambda card, _: card.update(beams=3)),
        ("newer format", lambda card, _: card.update(format=99)),
        ("other type", lambda card, _: card["model"].update(hidden_size="6")),
        ("NaN", lambda _, weights: weights["tgt_embedding.table.weight"].fill_(torch.nan)),
        ("other name", lambda _, weights: weights.update(x=torch.zeros(1))),
        (
            "other precision",
            lambda _, weights: weights.update(
                {"tgt_embedding.table.weight": weights["tgt_embedding.table.weight"].half()}
            ),
        ),
    ],
)
def test_artefacts_that_do_not_match_are_refused(
    place: Path, tally: Tally, name: str, change: Callable[[Any, Any], None]
) -> None:
    card = json.loads((place / "config.json").read_bytes())
    weights = safetensors.torch.load((place / "model.safetensors").read_bytes())
    change(card, weights)
    reseal(place, "config.json", json.dumps(card).encode())
    reseal(place, "model.safetensors", safetensors.torch.save(weights))
    with tally.trial(name), pytest.raises(CheckpointError, match=r"config\.json|safetensors"):
        load_model(place)


@pytest.mark.fault("C8")
def test_truncating_a_loaded_model_does_no_harm(place: Path, tally: Tally) -> None:
    loaded = load_model(place)
    os.truncate(place / "model.safetensors", 10)
    with tally.trial():
        weights = loaded.model.state_dict().values()
        assert all(bool(tensor.isfinite().all()) for tensor in weights)  # and no SIGBUS


@pytest.mark.fault("C9")
def test_the_last_and_the_best_are_found_without_pointers(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "run")))
    for name in ("best.json", "last.json", "checkpoints/step-garbage", "checkpoints/last"):
        (copy.path / name).write_text("garbage")
    resumable = find_resumable(copy, [])
    assert resumable is not None
    assert resumable.loaded.card.step == 20


@pytest.mark.fault("C1")
def test_other_artefacts_of_a_run_are_checked_as_well(texts: Path, tally: Tally) -> None:
    assert s2s(*tiny_train("--run", "r", "--epochs", 1), cwd=texts).status == 0
    run, draw = RunFolder(texts / "r"), random.Random(3)
    paths = [*run.vocab_path.iterdir(), run.config_path, run.data_path / "train" / MANIFEST]
    for number in range(trials(150, 10_000)):
        path = draw.choice(paths)
        content = path.read_bytes()
        path.write_bytes(mutate(content, draw))
        with tally.trial(f"{number} {path.name}"):
            try:
                run.load_vocabularies()
                load_recipe(str(run.config_path))
                read_manifest(run.data_path / "train")
            except S2SError:
                pass
            except Exception as error:
                raise AssertionError(repr(error)) from error
        path.write_bytes(content)
    (run.vocab_path / "src.tsv").write_text("x")
    with pytest.raises(DataError, match="damaged"):
        run.load_vocabularies()
