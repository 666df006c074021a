import gzip
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from corpora import ANY, read_parallel
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.data.lines import (
    BLOCK_BYTES,
    decode_blocks,
    hash_file,
    name_corpus,
    read_lines,
    stream_lines,
)
from s2s_cli.data.pairs import Reading, open_files, open_table
from s2s_cli.errors import DataError
from s2s_cli.sources import ParallelFiles, TableFile


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
    assert list(decode_blocks([content], Path("x"))) == lines


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\n\ud800", codec="utf-8"))))
@settings(max_examples=200, deadline=None)
def test_there_are_as_many_lines_as_newlines(lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    assert len(list(decode_blocks([content], Path("x")))) == content.count(b"\n")


@given(st.binary(), st.integers(1, 5))
@settings(deadline=None)
def test_lines_do_not_depend_on_the_size_of_blocks(content: bytes, size: int) -> None:
    def read(blocks: list[bytes]) -> list[str] | str:
        try:
            return list(decode_blocks(blocks, Path("x")))
        except DataError as error:
            return str(error)

    blocks = [content[at : at + size] for at in range(0, len(content), size)]
    assert read(blocks) == read([content])


@pytest.mark.parametrize("name", ["a.de", "a.de.gz"])
def test_the_reader_is_at_most_one_block_ahead(tmp_path: Path, name: str) -> None:
    content = b"".join(b"line %d\n" % number for number in range(300_000))
    path = write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)

    class Count:
        num_bytes = 0

        def update(self, block: bytes) -> None:
            self.num_bytes += len(block)

        def hexdigest(self) -> str:
            return ""

    count, num_read = Count(), 0
    for line in stream_lines(path, count):
        num_read += len(line) + 1
        assert count.num_bytes - num_read < BLOCK_BYTES
    assert count.num_bytes == num_read == len(content)


def test_the_hash_is_that_of_the_unpacked_content(tmp_path: Path) -> None:
    content = b"a\nb\n"
    digest = hashlib.sha256()
    assert list(stream_lines(write(tmp_path / "a.gz", gzip.compress(content)), digest)) == [*"ab"]
    known = hashlib.sha256(content).hexdigest()
    assert digest.hexdigest() == hash_file(tmp_path / "a.gz") == known
    assert hash_file(write(tmp_path / "a", content)) == known


def test_a_gzip_file_has_the_same_lines(tmp_path: Path) -> None:
    content = "我\nb\n".encode()
    plain = write(tmp_path / "a.zh", content)
    packed = write(tmp_path / "a.zh.gz", gzip.compress(content))
    assert read_lines(plain) == read_lines(packed) == ["我", "b"]


def test_an_error_about_bad_utf8_names_file_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.zh", b"good\nab\xffc\n")
    with pytest.raises(DataError, match=r"bad\.zh:2: byte 3 \(0xff\) is not UTF-8"):
        read_lines(path)


def test_errors_name_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.zh: no such file"):
        read_lines(tmp_path / "none.zh")
    damaged = write(tmp_path / "cut.gz", gzip.compress(b"hello" * 100)[:-9])
    with pytest.raises(DataError, match="gzip file is damaged or incomplete"):
        read_lines(damaged)


def test_a_pair_with_a_blank_side_is_dropped_as_a_pair(tmp_path: Path) -> None:
    src = write(tmp_path / "train.zh", "甲\n\n丙\n \n戊\n")
    tgt = write(tmp_path / "train.en", "a\nb\n\t\n\ne\n")
    text = read_parallel(src, tgt)
    assert text.pairs == [("甲", "a"), ("戊", "e")]
    assert len(text.rows) == 5
    assert text.name == f"{tmp_path.name}-train"


BAD_ROWS = {
    "a.tsv": b"one\teins\ntw\xffo\tzwei\nthree\tdr\xe4i\n \t\xff\nfour\tvier\n",
    "a.csv": b's,t\none,eins\n"tw\xffo\nand",zwei\nthree,dr\xe4i\n ,\xff\nfour,vier\n',
    "a.jsonl": b'{"s":"one","t":"eins"}\n{"s":"tw\xffo","t":"zwei"}\n{"s":"three","t":"dr\xe4i\n'
    b'\n{"s":"four","t":"vier"}\n',
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_of_a_table_that_are_not_utf8_are_dropped_if_allowed(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, BAD_ROWS[name])
    columns = (1, 2) if name == "a.tsv" else ("s", "t")
    table = TableFile(file=name, src=columns[0], tgt=columns[1])
    found = Reading()
    pairs = open_table(table, path, "train", ANY, "skip").read(found)
    assert list(pairs) == [("one", "eins"), ("four", "vier")]
    assert (found.num_pairs, found.num_not_utf8, found.num_blank) == (2, 2, 1)
    with pytest.raises(DataError, match="is not UTF-8"):
        list(open_table(table, path, "train", ANY).read())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_a_pair_that_is_not_utf8_is_dropped_as_a_pair(bad: list[tuple[bool, bool]]) -> None:
    rows = [(False, False), *bad]
    with TemporaryDirectory() as folder:
        paths = tuple(Path(folder) / name for name in ("a.de", "a.en"))
        for side, path in enumerate(paths):
            lines = (b"%d%s\n" % (i, b"\xff" * row[side]) for i, row in enumerate(rows))
            path.write_bytes(b"".join(lines))
        found = Reading()
        source = ParallelFiles(src="a.de", tgt="a.en")
        pairs = list(open_files(source, paths, "train", ANY, "skip").read(found))
    good = [str(i) for i, row in enumerate(rows) if not any(row)]
    assert pairs == list(zip(good, good, strict=True))
    assert found.num_not_utf8 == len(rows) - len(good)


def test_the_error_about_unequal_files_names_the_line_where_they_diverge(tmp_path: Path) -> None:
    # Lengths alternate, so a missing line shows as soon as a short line is next to a long one.
    lengths = [3 + 17 * (i * 7 % 5) for i in range(60)]
    src = write(tmp_path / "a.de", "".join("x" * n + "\n" for n in lengths))
    del lengths[40]
    tgt = write(tmp_path / "a.en", "".join("y" * n + "\n" for n in lengths))
    with pytest.raises(DataError) as caught:
        read_parallel(src, tgt)
    message = str(caught.value)
    assert f"{src} has 60 lines, {tgt} has 59" in message
    assert "diverge at line 41" in message
    with pytest.raises(DataError, match="diverge at line 41"):
        read_parallel(tgt, src)


def test_a_missing_line_of_real_text_is_found(tmp_path: Path, real_data: Path) -> None:
    src = real_data / "multi30k/valid.de"
    lines = (real_data / "multi30k/valid.en").read_bytes().split(b"\n")
    del lines[500]
    tgt = write(tmp_path / "valid.en", b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_parallel(src, tgt)
    line = int(str(caught.value).rsplit(" ", 1)[1])
    assert abs(line - 501) <= 5


def test_the_main_reference_replaces_blank_further_ones(tmp_path: Path) -> None:
    src = write(tmp_path / "s", "1\n2\n3\n4\n")
    main, second = write(tmp_path / "r0", "a\nb\n\nd\n"), write(tmp_path / "r1", "A\n\nC\nD\n")
    text = read_parallel(src, main, second)
    assert text.pairs == [("1", "a", "A"), ("2", "b", "b"), ("4", "d", "D")]
    assert text.rows[2] == ("3", "", "C")
    assert text.references == [["a", "b", "", "d"], ["A", "b", "C", "D"]]
    assert list(text.origin) == [str(src), str(main), str(second)]
    write(second, "A\nB\nC\n")
    with pytest.raises(DataError, match=r"s has 4 lines, .*r1 has 3"):
        read_parallel(src, main, second)


def test_pairs_are_located_in_their_files(tmp_path: Path) -> None:
    source = ParallelFiles(src="a.de", tgt="a.en")
    paths = write(tmp_path / "a.de", "eins\n\nzwei\ndrei\n"), tmp_path / "a.en"
    write(paths[1], "one\n\ntwo\nthree\n")
    opened = open_files(source, paths, "train", ANY)
    assert list(opened.locate([0, 2])) == [
        f"{paths[0]}:1: eins -> one",
        f"{paths[0]}:4: drei -> three",
    ]
    table = TableFile(file="a.tsv", src=1, tgt=2)
    path = write(tmp_path / "a.tsv", "eins\tone\n \tx\nzwei\ttwo\n")
    assert list(open_table(table, path, "train", ANY).locate([1])) == [
        f"{path}, row 3: zwei -> two"
    ]


def test_the_name_of_a_corpus_does_not_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    write(folder / "x.zh", b"a\n")
    monkeypatch.chdir(folder)
    names = ("x.zh", "./x.zh", "deep/../x.zh", "../texts/x.zh", folder / "x.zh")
    assert {read_parallel(Path(name), Path(name)).name for name in names} == {"texts-x"}
    (tmp_path / "other").symlink_to(folder)
    (folder / "y.zh").symlink_to(folder / "x.zh")
    assert name_corpus(tmp_path / "other" / "y.zh") == "other-y"
