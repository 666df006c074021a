import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from corpora import learn_subwords

from s2s_cli.checkpoint import (
    FORMAT,
    LoadedModel,
    ModelCard,
    TrainingState,
    build_model,
    load_model,
    load_training_state,
    make_codecs,
    save_model,
)
from s2s_cli.config import Decoding, Model, Text
from s2s_cli.errors import CheckpointError
from s2s_cli.storage.atomic import clear_debris
from s2s_cli.storage.checksummed import MANIFEST, is_checksummed, read_saved_at, sha256
from s2s_cli.text.vocabulary import Vocabulary


def make_loaded(hidden_size: int = 6) -> LoadedModel:
    card = ModelCard(
        s2s_version="0",
        src_lang="zh",
        tgt_lang="en",
        text=Text(src_tokenizer="space", tgt_tokenizer="space"),
        model=Model(embed_size=4, hidden_size=hidden_size, attention_size=3),
        decoding=Decoding(beam_size=2),
        trained_on={"train": {"train.zh": "0" * 64}},
        epoch=1,
        step=2,
        valid_scores={"bleu": 3.0},
    )
    src, tgt = Vocabulary(["甲", "乙"], [2, 1]), Vocabulary(["a", "b", "c"], [3, 2, 1])
    return LoadedModel(
        build_model(card.model, src, tgt), *make_codecs(card.text, "zh", "en", src, tgt), card
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_loaded())
    return tmp_path / "model"


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file and make the manifest agree, as a malicious or careless hand would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256(content)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_model_comes_back_as_it_was(folder: Path) -> None:
    original, loaded = make_loaded(), load_model(folder)
    assert loaded.card == original.card
    assert loaded.src.vocabulary == original.src.vocabulary
    assert loaded.tgt.encode("a c x") == [4, 6, 0]
    torch.manual_seed(1)
    saved = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, saved[name])


def test_loading_a_model_takes_no_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    load_model(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_folder_can_be_moved(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "m"
    moved.parent.mkdir()
    folder.rename(moved)
    assert load_model(moved).card.tgt_lang == "en"


def test_the_folder_holds_no_pickle_and_no_stray_file(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "manifest.json", "model.safetensors", "src.tsv", "tgt.tsv"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert json.loads((folder / "config.json").read_bytes())["format"] == FORMAT


def test_a_checkpoint_is_a_model_with_a_training_state(tmp_path: Path) -> None:
    state = TrainingState({"optimizer.0.step": torch.tensor(3.0)}, {"step": 7, "best": 1.5})
    save_model(tmp_path / "step-7", make_loaded(), state)
    again = load_training_state(tmp_path / "step-7")
    assert again.facts == state.facts
    assert torch.equal(again.tensors["optimizer.0.step"], torch.tensor(3.0))
    assert load_model(tmp_path / "step-7").card.step == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "src.tsv", "tgt.tsv"])
def test_any_flipped_bit_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    for position in range(0, len(content), max(1, len(content) // 40)):
        content[position] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="differs from what manifest"):
            load_model(folder)
        content[position] ^= 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "src.tsv", MANIFEST])
def test_missing_and_truncated_files_are_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"PK\x03\x04 a zip", "not a safetensors file"),
        ("model.safetensors", b"\x80\x04K\x01.", "not a safetensors file"),
        ("config.json", b'{"format": 99}', f"format 99, this s2s reads format {FORMAT}"),
        ("config.json", b"[]", "not a model description"),
        ("src.tsv", b"nothing", "src.tsv:1"),
        ("config.json", b"[" * 100_000, "not JSON"),
        ("src.tsv", b"<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\n", "src.tsv: is not the one"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    folder: Path, name: str, content: bytes, message: str
) -> None:
    rewrite(folder, name, content)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert message in str(caught.value)


def test_vocabularies_of_another_size_are_refused(folder: Path) -> None:
    weights = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    rewrite(folder, "model.safetensors", safetensors.torch.save(weights))  # as of older s2s
    assert load_model(folder).card.step == 2
    rewrite(folder, "src.tsv", b"<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\n")
    with pytest.raises(CheckpointError, match=r"require \(4, 4\)"):
        load_model(folder)


def test_a_card_that_asks_for_more_than_the_memory_takes_none(folder: Path) -> None:
    card = json.loads((folder / "config.json").read_bytes())
    card["model"] |= {"hidden_size": 1 << 16, "num_layers": 64}
    rewrite(folder, "config.json", json.dumps(card).encode())
    with pytest.raises(CheckpointError, match=r"the tensor .* is missing"):
        load_model(folder)  # 10^12 weights
    card["model"]["hidden_size"] = 1 << 17
    rewrite(folder, "config.json", json.dumps(card).encode())
    with pytest.raises(CheckpointError, match="less than or equal to 65536"):
        load_model(folder)


def test_a_card_that_names_a_file_of_the_machine_is_refused(folder: Path) -> None:
    card = json.loads((folder / "config.json").read_bytes())
    card["decoding"]["dictionary"] = "/etc/passwd"
    rewrite(folder, "config.json", json.dumps(card).encode())
    with pytest.raises(CheckpointError, match=r"decoding\.dictionary names a file"):
        load_model(folder)


def test_only_plain_files_of_the_folder_are_read(folder: Path, tmp_path: Path) -> None:
    path = folder / "src.tsv"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"src\.tsv: cannot be read .*plain files"):
        load_model(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"src\.tsv: cannot be read .*plain files"):
        load_model(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=r"src\.tsv: cannot be read .*plain files"):
        load_model(folder)
    (folder / MANIFEST).write_bytes(b" " * (1 << 21))
    with pytest.raises(CheckpointError, match=r"manifest\.json: cannot be read"):
        load_model(folder)


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    tensors = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    tensors["tgt_embedding.table.weight"][4, 0] = torch.nan
    rewrite(folder, "model.safetensors", safetensors.torch.save(tensors))
    with pytest.raises(CheckpointError, match=r"tgt_embedding\.table\.weight holds values"):
        load_model(folder)


def test_a_folder_that_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_model(tmp_path / "none")
    with pytest.raises(CheckpointError, match="not a model folder"):
        load_model(tmp_path)


def test_saving_replaces_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "model.safetensors").read_bytes()

    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("s2s_cli.storage.checksummed.write_synced", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        save_model(folder, make_loaded(hidden_size=8))
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    monkeypatch.undo()
    save_model(folder, make_loaded(hidden_size=8))
    assert load_model(folder).card.model.hidden_size == 8


def test_a_replacement_cut_short_between_its_renames_is_undone(folder: Path) -> None:
    folder.rename(folder.parent / ".old-model-elsewhere-123")
    (folder.parent / ".tmp-model-elsewhere-123").mkdir()
    clear_debris(folder.parent)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert load_model(folder).card.step == 2


def test_what_does_not_read_back_never_takes_the_place_of_what_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "model.safetensors").read_bytes()

    def flip_a_bit(path: Path, content: bytes) -> None:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    monkeypatch.setattr("s2s_cli.storage.checksummed.write_synced", flip_a_bit)
    with pytest.raises(CheckpointError):
        save_model(folder, make_loaded(hidden_size=8))
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_reader_finds_the_model_while_it_is_being_replaced(folder: Path) -> None:
    folder.rename(folder.parent / ".old-model-elsewhere-123")
    assert load_model(folder).card.step == 2
    assert is_checksummed(folder)
    assert read_saved_at(folder)


def make_with_subwords() -> LoadedModel:
    plain = make_loaded()
    subwords = learn_subwords("bpe", [["甲乙", "乙甲"]] * 3, 20, 1.0)
    src = Vocabulary(subwords.pieces, [1] * len(subwords.pieces))
    text = plain.card.text.model_copy(update={"src_subword": "bpe"})
    card = plain.card.model_copy(update={"text": text})
    codecs = make_codecs(text, "zh", "en", src, plain.tgt.vocabulary, (subwords, None))
    return LoadedModel(build_model(card.model, src, plain.tgt.vocabulary), *codecs, card)


def test_subwords_come_back_with_their_model(tmp_path: Path) -> None:
    original = make_with_subwords()
    save_model(tmp_path / "model", original)
    loaded = load_model(tmp_path / "model")
    assert loaded.src.encode("甲乙 乙") == original.src.encode("甲乙 乙")
    assert loaded.src.tokenizer.subwords == original.src.tokenizer.subwords
    assert loaded.tgt.tokenizer.subwords is None
    assert not (tmp_path / "model" / "tgt.model").exists()


def test_damaged_missing_or_foreign_subwords_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(folder, make_with_subwords())
    path = folder / "src.model"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"src\.model: differs from what manifest\.json says"):
        load_model(folder)
    rewrite(folder, "src.model", b"garbage")
    with pytest.raises(CheckpointError, match=r"src\.model: not a sentencepiece model"):
        load_model(folder)
    other = learn_subwords("bpe", [["甲丙", "丙丁"]] * 3, 20, 1.0)
    rewrite(folder, "src.model", other.content)
    with pytest.raises(CheckpointError, match=r"src\.model: its pieces are not the tokens"):
        load_model(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"src\.model: missing"):
        load_model(folder)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    del manifest["files"]["src.model"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"src\.model: missing, though config\.json says bpe"):
        load_model(folder)
