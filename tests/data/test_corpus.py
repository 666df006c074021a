import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.config import Data, ParallelFiles
from s2s_cli.data.corpus import decode_lines, load_test, load_training, read_lines, read_parallel
from s2s_cli.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        (b"a\n\n", ["a", ""]),
        (b"", []),
        (b"\n", [""]),
        ("a\u2028b\x0cc\x85\rd\n".encode(), ["a\u2028b\x0cc\x85\rd"]),
    ],
)
def test_lines_end_at_newline_only(content: bytes, lines: list[str]) -> None:
    assert decode_lines(content, Path("x")) == lines


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n\ud800", codec="utf-8"))))
@settings(max_examples=200)
def test_as_many_lines_come_out_as_newlines_went_in(lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    assert len(decode_lines(content, Path("x"))) == content.count(b"\n")


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    content = "我\nb\n".encode()
    plain = write(tmp_path / "a.zh", content)
    packed = write(tmp_path / "a.zh.gz", gzip.compress(content))
    assert read_lines(plain) == read_lines(packed) == ["我", "b"]


def test_bad_utf8_is_named_by_file_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.zh", b"good\nab\xffc\n")
    with pytest.raises(DataError, match=r"bad\.zh:2: byte 3 \(0xff\) is not UTF-8"):
        read_lines(path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.zh: no such file"):
        read_lines(tmp_path / "none.zh")
    damaged = write(tmp_path / "cut.gz", gzip.compress(b"hello" * 100)[:-9])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_lines(damaged)


def test_a_pair_with_a_blank_side_goes_as_a_pair(tmp_path: Path) -> None:
    src = write(tmp_path / "train.zh", "甲\n\n丙\n \n戊\n")
    tgt = write(tmp_path / "train.en", "a\nb\n\t\n\ne\n")
    corpus = read_parallel(src, tgt)
    assert list(zip(corpus.src, corpus.tgt, strict=True)) == [("甲", "a"), ("戊", "e")]
    assert corpus.num_blank == 3
    assert corpus.name == f"{tmp_path.name}-train"


def test_files_of_unequal_length_are_refused_where_they_part(tmp_path: Path) -> None:
    # Lengths go up and down, so a lost line shows as soon as short meets long.
    lengths = [3 + 17 * (i * 7 % 5) for i in range(60)]
    src = write(tmp_path / "a.de", "".join("x" * n + "\n" for n in lengths))
    del lengths[40]
    tgt = write(tmp_path / "a.en", "".join("y" * n + "\n" for n in lengths))
    with pytest.raises(DataError) as caught:
        read_parallel(src, tgt)
    message = str(caught.value)
    assert f"{src} has 60 lines, {tgt} has 59" in message
    assert "part at line 41" in message
    with pytest.raises(DataError, match="part at line 41"):
        read_parallel(tgt, src)


def test_a_lost_line_of_real_text_is_found(tmp_path: Path, real_data: Path) -> None:
    src = real_data / "multi30k/valid.de"
    lines = (real_data / "multi30k/valid.en").read_bytes().split(b"\n")
    del lines[500]
    tgt = write(tmp_path / "valid.en", b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_parallel(src, tgt)
    line = int(str(caught.value).rsplit(" ", 1)[1])
    assert abs(line - 501) <= 5


def test_a_share_is_held_out_by_source_sentence(tmp_path: Path) -> None:
    src = write(tmp_path / "s", "".join(f"sentence {i % 400}\n" for i in range(800)))
    tgt = write(tmp_path / "t", "".join(f"line {i}\n" for i in range(800)))
    data = Data(train=ParallelFiles(src=str(src), tgt=str(tgt)), valid=0.1, test=0.2)
    train, valid = load_training(data)
    test = load_test(data)
    assert len(train) + len(valid) + len(test) == 800
    assert 40 < len(valid) < 130
    assert 100 < len(test) < 220
    assert not set(train.src) & set(valid.src)
    assert not set(train.src) & set(test.src)
    assert not set(valid.src) & set(test.src)
    assert load_training(data) == (train, valid)
    other, _ = load_training(data.model_copy(update={"valid": 0.2}))
    assert other.origin != train.origin  # another share is other data


def test_empty_splits_are_refused(tmp_path: Path) -> None:
    blank = write(tmp_path / "blank", "\n\n")
    data = Data(train=ParallelFiles(src=str(blank), tgt=str(blank)))
    with pytest.raises(DataError, match=r"data\.train: no sentence pairs"):
        load_training(data)
    with pytest.raises(DataError, match="names no test set"):
        load_test(Data(test=None))


def test_the_phrasebook_is_the_default() -> None:
    train, valid = load_training(Data())
    assert (len(train), len(valid), len(load_test(Data()))) == (10_000, 500, 500)
    assert "我喜欢学习机器学习。" in load_test(Data()).src
