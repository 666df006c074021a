from pathlib import Path

import pytest
from corpora import learn_subwords

from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.run import VOCAB_FORMAT, RunFolder, Vocabularies, VocabularyCard, latest_run
from s2s_cli.storage.checksummed import write_checksummed
from s2s_cli.text.vocabulary import Vocabulary

CARD = VocabularyCard(
    src_lang="zh",
    tgt_lang="en",
    src_tokenizer="jieba",
    tgt_tokenizer="moses",
    lowercase=False,
    max_size=10,
    min_freq=1,
    trained_on=["0"],
)


def test_vocabularies_survive_their_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(DataError, match="s2s vocab build"):
        run.load_vocabularies()
    vocabularies = Vocabularies(Vocabulary(["我"], [2]), Vocabulary(["I"], [3]), CARD)
    run.save_vocabularies(vocabularies)
    assert run.load_vocabularies() == vocabularies
    (run.vocab_path / "tgt.tsv").unlink()
    with pytest.raises(DataError, match="damaged"):
        run.load_vocabularies()


def test_vocabularies_of_another_format_are_refused_in_one_line(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    older = CARD.model_copy(update={"format": 1})
    run.save_vocabularies(Vocabularies(Vocabulary(["我"], [2]), Vocabulary(["I"], [3]), older))
    expected = rf"vocab: format 1, this s2s reads format {VOCAB_FORMAT}; build .* again"
    with pytest.raises(DataError, match=expected):
        run.load_vocabularies()


def test_the_latest_run_is_the_one_saved_last_whatever_the_clock_of_the_files(
    tmp_path: Path,
) -> None:
    with pytest.raises(CheckpointError, match="no trained model"):
        latest_run(tmp_path)
    for name in ("b", "a", "c.bak-1"):
        write_checksummed(tmp_path / name / "model", {"x": b"1"}, {})
    (tmp_path / "unfinished").mkdir()
    assert latest_run(tmp_path).path.name == "a"
    write_checksummed(tmp_path / "b" / "model", {"x": b"2"}, {})
    assert latest_run(tmp_path).path.name == "b"


def test_setting_aside_keeps_everything_and_leaves_the_vocabularies(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "r")
    assert run.set_aside() is None
    run.save_vocabularies(Vocabularies(Vocabulary([], []), Vocabulary([], []), CARD))
    for number in (1, 2):
        write_checksummed(run.model_path, {"x": b"1"}, {})
        run.log_path.write_text("{}")
        backup = run.set_aside()
        assert backup == tmp_path / f"r.bak-{number}"
        assert sorted(path.name for path in backup.iterdir()) == ["model", "train.jsonl"]
    assert run.has_vocabularies()


def test_the_newest_two_checkpoints_stay_and_debris_goes(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (1, 20, 3):
        write_checksummed(run.checkpoint_path(step), {"x": b"1"}, {})
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    run.remove_old_checkpoints()
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert left == ["notes.txt", "step-00000003", "step-00000020"]
    (tmp_path / "checkpoints" / ".tmp-step-00000021-elsewhere-99").mkdir()
    (tmp_path / "data" / ".tmp-test-elsewhere-99").mkdir(parents=True)
    (tmp_path / "reports" / "t").mkdir(parents=True)
    (tmp_path / "reports" / "t" / ".tmp-report.md-elsewhere-99").write_text("half")
    (tmp_path / ".tmp-config.yaml-elsewhere-99").write_text("half")
    (tmp_path / "mine").mkdir()
    for name in (".tmp-notes", "mine/.tmp-thesis"):
        (tmp_path / name).write_text("not of s2s")
    run.repair()
    assert {path.name for path in tmp_path.rglob(".tmp-*")} == {".tmp-notes", ".tmp-thesis"}
    assert run.checkpoint_path(20).is_dir()


def test_subwords_are_saved_and_replaced_with_their_vocabularies(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    subwords = learn_subwords("unigram", [["我们"], ["我"]] * 3, 20, 1.0)
    src = Vocabulary(subwords.pieces, [1] * len(subwords.pieces))
    card = CARD.model_copy(update={"src_subword": "unigram"})
    plain = Vocabularies(Vocabulary(["我"], [2]), Vocabulary(["I"], [3]), CARD)
    cut = Vocabularies(src, Vocabulary(["I"], [3]), card, (subwords, None))
    run.save_vocabularies(cut)
    assert run.load_vocabularies() == cut
    assert sorted(path.name for path in run.vocab_path.iterdir()) == [
        *("manifest.json", "src.model", "src.tsv", "tgt.tsv", "vocab.json")
    ]
    (run.vocab_path / "src.model").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"src\.model: differs from what manifest\.json says"):
        run.load_vocabularies()
    (run.vocab_path / "src.model").unlink()
    with pytest.raises(DataError, match="damaged"):
        run.load_vocabularies()
    run.save_vocabularies(cut)
    run.save_vocabularies(plain)
    assert run.load_vocabularies() == plain
    assert not (run.vocab_path / "src.model").exists()
