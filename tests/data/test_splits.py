from pathlib import Path

import pytest
from corpora import load_training

from s2s_cli.config import Data
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.splits import load_test
from s2s_cli.errors import DataError
from s2s_cli.sources import EmbeddedPhrasebook, ParallelFiles, TableFile


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def sentences(corpora: list[Corpus]) -> set[str]:
    return {sentence for corpus in corpora for sentence in corpus.src}


def size(corpora: list[Corpus]) -> int:
    return sum(map(len, corpora))


def make_files(folder: Path) -> ParallelFiles:
    src = write(folder / "s", "".join(f"sentence {i % 400}\n" for i in range(800)))
    tgt = write(folder / "t", "".join(f"line {i}\n" for i in range(800)))
    return ParallelFiles(src=str(src), tgt=str(tgt))


def make_table(folder: Path) -> TableFile:
    rows = "".join(f"other {i}\tsentence {i}\n" for i in range(300, 700))
    return TableFile(file=str(write(folder / "more.tsv", rows)), src=2, tgt=1)


@pytest.mark.parametrize("kind", ["files", "table", "both"])
def test_no_source_sentence_stands_on_two_sides_of_a_share(tmp_path: Path, kind: str) -> None:
    files, table = make_files(tmp_path), make_table(tmp_path)
    split = {"files": files, "table": table, "both": (files, table)}[kind]
    data = Data(train=split, valid=0.1, test=0.2)
    train, valid = load_training(data)
    test = load_test(data)
    total = {"files": 800, "table": 400, "both": 1200}[kind]
    assert size(train) + size(valid) + size(test) == total
    # A share is exact but for its last sentence, which is there two or three times.
    assert size(valid) == pytest.approx(0.1 * total, abs=3)
    assert size(test) == pytest.approx(0.2 * total, abs=3)
    assert not sentences(train) & sentences(valid)
    assert not sentences(train) & sentences(test)
    assert not sentences(valid) & sentences(test)
    assert load_training(data) == (train, valid)
    other, _ = load_training(data.model_copy(update={"valid": 0.2}))
    assert other[0].origin != train[0].origin  # another share is other data


def test_sentences_that_read_alike_stay_on_one_side(tmp_path: Path) -> None:
    ways = ("Go {}!", "go {}!", " GO  {}! ", "go\t{}!")
    src = write(tmp_path / "s", "".join(f"{way.format(i)}\n" for i in range(200) for way in ways))
    there = ParallelFiles(src=str(src), tgt=str(src), direction="de-en")
    back = there.model_copy(update={"direction": "en-de"})
    for data in (
        Data(train=there, valid=0.2, src_lang="de", tgt_lang="en"),
        Data(train=(there, back), valid=0.2, directions=("de-en", "en-de")),
    ):
        train, valid = load_training(data)
        numbers = [{sentence.split()[1] for sentence in sentences(side)} for side in (train, valid)]
        assert not numbers[0] & numbers[1]
        assert len(numbers[1]) == 40


def test_of_few_sentences_one_is_held_out(tmp_path: Path) -> None:
    src = write(tmp_path / "s", "a\nb\nc\n" * 5)
    for seed in range(1, 9):
        data = Data(train=ParallelFiles(src=str(src), tgt=str(src)), valid=0.01, split_seed=seed)
        train, valid = load_training(data)
        assert (len(sentences(train)), len(sentences(valid))) == (2, 1)


def test_few_pairs_change_sides_when_others_come(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    _, before = load_training(Data(train=files, valid=0.1))
    _, after = load_training(Data(train=(files, make_table(tmp_path)), valid=0.1))
    assert len(sentences(before) - sentences(after)) < 0.3 * len(sentences(before))


def test_the_split_seed_draws_another_share(tmp_path: Path) -> None:
    data = Data(train=make_files(tmp_path), valid=0.1)
    one, other = (load_training(data.model_copy(update={"split_seed": seed}))[1] for seed in (1, 2))
    common = sentences(one) & sentences(other)
    assert len(common) < 0.5 * min(len(sentences(one)), len(sentences(other)))


def test_a_list_of_sources_is_a_corpus_each_with_names_of_their_own(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    weighted = make_table(tmp_path).model_copy(update={"weight": 0.5})
    data = Data(train=(files, weighted, files), valid=(EmbeddedPhrasebook(phrasebook="valid"),))
    train, valid = load_training(data)
    folder = tmp_path.name
    assert [corpus.name for corpus in train] == [f"{folder}-s", f"{folder}-more", f"{folder}-s-2"]
    assert [corpus.weight for corpus in train] == [1, 0.5, 1]
    assert [corpus.name for corpus in valid] == ["phrasebook-valid"]


def test_what_is_held_out_is_not_weighted(tmp_path: Path) -> None:
    weighted = make_files(tmp_path).model_copy(update={"weight": 3.0})
    train, valid = load_training(Data(train=weighted, valid=0.1))
    assert [corpus.weight for corpus in (*train, *valid)] == [3, 1]


def test_empty_splits_are_refused(tmp_path: Path) -> None:
    blank = str(write(tmp_path / "blank", "\n\n"))
    empty = ParallelFiles(src=blank, tgt=blank)
    with pytest.raises(DataError, match=r"data\.train: no sentence pairs"):
        load_training(Data(train=empty))
    with pytest.raises(DataError, match=r"data\.train\.1: no sentence pairs"):
        load_training(Data(train=(make_files(tmp_path), empty)))
    with pytest.raises(DataError, match="names no test set"):
        load_test(Data(test=None))


def test_a_missing_file_is_named_with_its_key(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    for split, key in (
        (ParallelFiles(src=files.src, tgt="none"), "test.tgt"),
        (TableFile(file="none.tsv", src=1, tgt=2), "test.file"),
        ((files, ParallelFiles(src=files.src, tgt=(files.src, "none"))), "test.1.tgt"),
    ):
        with pytest.raises(DataError, match=rf"data\.{key}: no such file: none.*--data-dir"):
            load_test(Data(test=split))


def test_too_few_pairs_cannot_be_shared_out(tmp_path: Path) -> None:
    one = str(write(tmp_path / "one", "a\n"))
    with pytest.raises(DataError, match="too few to hold out"):
        load_training(Data(train=ParallelFiles(src=one, tgt=one), valid=0.1))
    with pytest.raises(DataError, match="leave some pairs to train"):
        load_training(Data(train=ParallelFiles(src=one, tgt=one), valid=0.5, test=0.5))


def test_the_phrasebook_is_the_default() -> None:
    train, valid = load_training(Data())
    assert (size(train), size(valid), size(load_test(Data()))) == (10_000, 500, 500)
    assert "我喜欢学习机器学习。" in sentences(load_test(Data()))
