import gzip
from pathlib import Path

import pytest
import torch

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.training.initialize import fill_embeddings

VOCABULARY = Vocabulary(["cat", "dog", "emu"], [5, 4, 1])
FILE = "3 2\ncat 1 2\nbird 9 9\ndog -0.5 1e-1\n"


def fill(path: Path, text: str | bytes, width: int = 2) -> tuple[torch.Tensor, object]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    table = torch.full((7, width), 7.0)
    return table, fill_embeddings(table, VOCABULARY, path, "model.src_vectors")


def test_known_words_get_their_vectors_and_coverage_is_returned(tmp_path: Path) -> None:
    table, coverage = fill(tmp_path / "v.vec", FILE)
    assert table[4].tolist() == [1, 2]
    assert table[5].tolist() == pytest.approx([-0.5, 0.1])
    assert (table[[0, 1, 2, 3, 6]] == 7).all()
    assert coverage == (2, 7, 0.9, 0)


@pytest.mark.parametrize("text", [FILE.partition("\n")[2], FILE.replace("\n", "\r\n")])
def test_the_header_is_optional_and_lines_may_end_in_crlf(tmp_path: Path, text: str) -> None:
    assert fill(tmp_path / "v.txt", text)[0][4].tolist() == [1, 2]


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    assert fill(tmp_path / "v.vec.gz", gzip.compress(FILE.encode()))[0][4].tolist() == [1, 2]


def test_words_with_spaces_or_other_bytes_are_skipped(tmp_path: Path) -> None:
    table, _ = fill(tmp_path / "v.txt", "cat 1 2\nNew York 3 4\n")
    assert table[4].tolist() == [1, 2]
    table, _ = fill(tmp_path / "v.txt", "New York 3 4\ncat 1 2\n")
    assert table[4].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 300\ncat 1 2\n", "vectors of .* have width 300, the embeddings 2; set .* to 300"),
        ("cat 1 2 3\n", "have width 3, the embeddings 2"),
        ("emus 1 2\n", "has no word of the vocabulary"),
    ],
)
def test_vectors_that_do_not_match_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fill(tmp_path / "v.vec", text)


@pytest.mark.parametrize("line", ["dog 1", "dog 1 x", "dog nan 1", "\n\ndog 1"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    number = 2 + line.count("\n")
    with pytest.raises(DataError, match=rf"v\.vec:{number}: expected a word and 2 numbers"):
        fill(tmp_path / "v.vec", f"cat 1 2\n{line}\n")


def test_byte_order_marks_and_blank_last_lines_are_ignored(tmp_path: Path) -> None:
    for text in (f"\ufeff{FILE}", "\ufeffcat 1 2\n\ufeff 3 4\n", f"{FILE}\n \r\n"):
        assert fill(tmp_path / "v.vec", text)[0][4].tolist() == [1, 2]


def test_words_that_are_not_utf8_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = b"".join(b"w%d 3 4\n" % number for number in range(100)) + b"gar\xe7on 5 6\n"
    table, coverage = fill(tmp_path / "v.vec", b"cat 1 2\n" + rows)
    assert table[4].tolist() == [1, 2]
    assert coverage == (1, 7, 0.5, 1)
    with pytest.raises(DataError, match=r"it looks like Latin-1.*iconv -f WINDOWS-1252"):
        fill(tmp_path / "v.vec", "cat 1 2\nété 3 4\nforêt 5 6\n".encode("latin-1"))


@pytest.mark.parametrize("text", ["a line of plain text\n", "plain\n", "\n", "{}\n", "a\t1\t2\n"])
def test_a_file_without_vectors_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        DataError, match=r"v\.vec:1: expected a word and.* model\.src_vectors needs"
    ):
        fill(tmp_path / "v.vec", text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        fill_embeddings(torch.zeros(7, 2), VOCABULARY, tmp_path / "none", "model.src_vectors")
