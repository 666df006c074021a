from itertools import combinations
from pathlib import Path

import pytest
from corpora import load_rows, load_training

from s2s_cli.config import Data
from s2s_cli.data.pairs import Row
from s2s_cli.data.splits import open_sources
from s2s_cli.data.test_set import load_test, load_test_and_rest
from s2s_cli.errors import DataError
from s2s_cli.sources import EmbeddedPhrasebook, ParallelFiles, TableFile


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def sentences(rows: list[Row]) -> set[str]:
    return {row[0] for row in rows}


def make_files(folder: Path) -> ParallelFiles:
    src = write(folder / "s", "".join(f"sentence {i % 400}\n" for i in range(800)))
    tgt = write(folder / "t", "".join(f"line {i}\n" for i in range(800)))
    return ParallelFiles(src=str(src), tgt=str(tgt))


def make_table(folder: Path) -> TableFile:
    rows = "".join(f"other {i}\tsentence {i}\n" for i in range(300, 700))
    return TableFile(file=str(write(folder / "more.tsv", rows)), src=2, tgt=1)


@pytest.mark.parametrize("kind", ["files", "table", "both"])
def test_no_source_sentence_is_in_two_splits(tmp_path: Path, kind: str) -> None:
    files, table = make_files(tmp_path), make_table(tmp_path)
    split = {"files": files, "table": table, "both": (files, table)}[kind]
    data = Data(train=split, valid=0.1, test=0.2)
    rows = load_rows(data)
    total = {"files": 800, "table": 400, "both": 1200}[kind]
    assert sum(map(len, rows.values())) == total
    # A share is exact up to its last sentence, which occurs two or three times.
    assert len(rows["valid"]) == pytest.approx(0.1 * total, abs=3)
    assert len(rows["test"]) == pytest.approx(0.2 * total, abs=3)
    for one, other in combinations(rows.values(), 2):
        assert not sentences(one) & sentences(other)
    assert load_rows(data) == rows
    _, rest = load_test_and_rest(data)
    _, others = load_test_and_rest(data.model_copy(update={"valid": 0.2}))
    assert rest.keys() == {"train", "valid"}
    assert not rest["train"] & others["train"]  # a different share is different data


def test_sentences_that_differ_in_case_and_spaces_are_in_one_split(tmp_path: Path) -> None:
    ways = ("Go {}!", "go {}!", " GO  {}! ", "go\t{}!")
    src = write(tmp_path / "s", "".join(f"{way.format(i)}\n" for i in range(200) for way in ways))
    rows = load_rows(Data(train=ParallelFiles(src=str(src), tgt=str(src)), valid=0.2, test=None))
    numbers = [{row[0].split()[1] for row in side} for side in rows.values()]
    assert not numbers[0] & numbers[1]
    assert len(numbers[1]) == 40


def test_at_least_one_sentence_is_held_out(tmp_path: Path) -> None:
    src = write(tmp_path / "s", "a\nb\nc\n" * 5)
    files = ParallelFiles(src=str(src), tgt=str(src))
    for seed in range(1, 9):
        rows = load_rows(Data(train=files, valid=0.01, test=None, split_seed=seed))
        assert [len(sentences(side)) for side in rows.values()] == [2, 1]


def test_few_pairs_change_splits_when_others_are_added(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    before, after = (
        sentences(load_rows(Data(train=train, valid=0.1, test=None))["valid"])
        for train in (files, (files, make_table(tmp_path)))
    )
    assert len(before - after) < 0.3 * len(before)


def test_another_split_seed_holds_out_other_pairs(tmp_path: Path) -> None:
    data = Data(train=make_files(tmp_path), valid=0.1, test=None)
    one, other = (
        sentences(load_rows(data.model_copy(update={"split_seed": seed}))["valid"])
        for seed in (1, 2)
    )
    assert len(one & other) < 0.5 * min(len(one), len(other))


def test_each_source_of_a_list_has_a_unique_name(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    weighted = make_table(tmp_path).model_copy(update={"weight": 0.5})
    data = Data(train=(files, weighted, files), valid=(EmbeddedPhrasebook(phrasebook="valid"),))
    train = open_sources(data.train, data, "train")
    folder = tmp_path.name
    assert [source.name for source in train] == [f"{folder}-s", f"{folder}-more", f"{folder}-s-2"]
    assert [source.weight for source in train] == [1, 0.5, 1]
    assert [source.name for source in open_sources(data.valid, data, "valid")] == [
        "phrasebook-valid"
    ]


def test_empty_splits_are_refused(tmp_path: Path) -> None:
    blank = str(write(tmp_path / "blank", "\n\n"))
    empty = ParallelFiles(src=blank, tgt=blank)
    with pytest.raises(DataError, match=r"data\.train: [^ ]+ has no sentence pairs"):
        load_training(Data(train=empty))
    with pytest.raises(DataError, match=r"data\.train\.1: [^ ]+ has no sentence pairs"):
        load_training(Data(train=(make_files(tmp_path), empty)))
    with pytest.raises(DataError, match="names no test set"):
        load_test(Data(test=None))


def test_the_error_about_a_missing_file_names_its_key(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    for split, key in (
        (ParallelFiles(src=files.src, tgt="none"), "test.tgt"),
        (TableFile(file="none.tsv", src=1, tgt=2), "test.file"),
        ((files, ParallelFiles(src=files.src, tgt=(files.src, "none"))), "test.1.tgt"),
    ):
        with pytest.raises(DataError, match=rf"data\.{key}: no such file: none.*--data-dir"):
            load_test(Data(test=split))


def test_shares_of_too_few_pairs_are_refused(tmp_path: Path) -> None:
    one = str(write(tmp_path / "one", "a\n"))
    files = ParallelFiles(src=one, tgt=one)
    with pytest.raises(DataError, match="too few to hold out"):
        load_test(Data(train=files, test=0.1))
    with pytest.raises(ValueError, match="leave some pairs to train"):
        Data(train=files, valid=0.5, test=0.5)


def test_the_phrasebook_is_the_default() -> None:
    rows = load_rows(Data())
    assert [len(side) for side in rows.values()] == [10_000, 500, 500]
    assert "我喜欢学习机器学习。" in sentences(rows["test"])
