import csv
import gzip
import io
import json
import subprocess
from pathlib import Path

import pytest
from corpora import read_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.data.csv_rows import split_csv
from s2s_cli.data.pairs import ParallelText
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.sources import TableFile

FIELDS = {"src": "s", "tgt": "t"}


def read(path: Path, content: str | bytes, **keys: object) -> ParallelText:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(TableFile(**{"file": path.name, "src": 1, "tgt": 2, **keys}), path)


def pairs(text: ParallelText) -> list[tuple[str, ...]]:
    return text.pairs


PAIRS = [("我。", "me."), ("你\u2028好", "hi, “you”")]


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("a.tsv", "我。\tme.\n你\u2028好\thi, “you”\n", {}),
        ("a.TSV", "\ufeffme.\t我。\tx\r\nhi, “you”\t你\u2028好\ty\r\n\r\n", {"src": 2, "tgt": 1}),
        (
            "a.txt",
            "zh\ten\n我。\tme.\n你\u2028好\thi, “you”",
            {"format": "tsv", "src": "zh", "tgt": "en"},
        ),
        ("a.tsv", "zh\ten\n我。\tme.\n你\u2028好\thi, “you”\n", {"src": "zh"}),
        ("a.tsv", "zh\ten\n我。\tme.\n你\u2028好\thi, “you”\n", {"header": True}),
        ("a.csv", 'zh,en\n我。,me.\n你\u2028好,"hi, “you”"\n', {}),
        ("a.csv", 'en,zh\r\nme.,我。\r\n"hi, “you”",你\u2028好\r\n', {"src": "zh", "tgt": "en"}),
        ("a.csv", '我。,me.\n你\u2028好,"hi, “you”"\n', {"header": False}),
        (
            "a.jsonl",
            '{"s": "我。", "t": "me."}\n{"t": "hi, “you”", "s": "你\u2028好"}\n',
            {"src": "s", "tgt": "t"},
        ),
        (
            "a.ndjson",
            '{"t": {"zh": "我。", "en": "me."}}\n'
            '{"t": {"zh": "你\u2028好", "en": "hi, “you”"}}\n\n',
            {"src": "t.zh", "tgt": "t.en"},
        ),
        (
            "a.jsonl",
            '{"a.b": "我。", "t": "me."}\n{"a.b": "你\u2028好", "t": "hi, “you”"}',
            {"src": "a.b", "tgt": "t"},
        ),
    ],
)
def test_every_format_has_the_same_pairs_plain_and_compressed(
    tmp_path: Path, name: str, content: str, keys: dict[str, object]
) -> None:
    corpus = read(tmp_path / name, content, **keys)
    assert pairs(corpus) == PAIRS
    packed = gzip.compress(content.encode())
    assert pairs(read(tmp_path / f"{name}.gz", packed, **keys)) == PAIRS
    assert corpus.name == f"{tmp_path.name}-a"
    assert len(corpus.rows) == len(PAIRS)


SENTENCE = st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1).filter(
    str.strip
)


@given(st.lists(st.tuples(SENTENCE, SENTENCE), min_size=1))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_files_written_by_other_programs_are_read_back(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("src", "tgt"), *rows])
    assert pairs(read(tmp_path / "a.csv", file.getvalue())) == rows
    for escaped in (True, False):
        lines = "".join(
            json.dumps({"src": src, "tgt": tgt}, ensure_ascii=escaped) + "\n" for src, tgt in rows
        )
        assert pairs(read(tmp_path / "a.jsonl", lines, src="src", tgt="tgt")) == rows


def test_a_line_break_inside_a_field_becomes_a_space(tmp_path: Path) -> None:
    corpus = read(tmp_path / "a.csv", 'a,b\n"one\ntwo","three\r\n""four"""\n')
    assert pairs(corpus) == [("one two", 'three "four"')]
    corpus = read(tmp_path / "a.jsonl", '{"a": "one\\ntwo", "b": "x\\r\\ny"}', src="a", tgt="b")
    assert pairs(corpus) == [("one two", "x y")]


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("a.tsv", "1\ta\n\n \tb\n4\t\n5\te\n\n\n", {}),
        ("a.csv", "x,y\n1,a\n\n ,b\n4,\n5,e\n\n", {}),
        (
            "a.jsonl",
            '{"x":"1","y":"a"}\n\n{"x":" ","y":"b"}\n{"x":"4","y":""}\n{"x":"5","y":"e"}\n\n',
            {"src": "x", "tgt": "y"},
        ),
    ],
)
def test_rows_with_a_blank_side_are_dropped_as_pairs_and_counted(
    tmp_path: Path, name: str, content: str, keys: dict[str, object]
) -> None:
    corpus = read(tmp_path / name, content, **keys)
    assert pairs(corpus) == [("1", "a"), ("5", "e")]
    assert len(corpus.rows) == 5  # the empty lines at the end are no rows


def test_rows_are_counted_from_one_after_the_header(tmp_path: Path) -> None:
    content = "s,t\n" + "".join(f"{n},t{n}\n" for n in range(1, 11))
    path = tmp_path / "a.csv"
    every = read(path, content)
    first, rest = read(path, content, rows="1-4"), read(path, content, rows="5-")
    assert [row[0] for row in first.rows] == ["1", "2", "3", "4"]
    assert first.rows + rest.rows == every.rows
    assert read(path, content, rows="10-10").rows == [("10", "t10")]
    assert len({first.name, rest.name, every.name}) == 3
    # The hashes of the file are equal, those of the selected rows differ.
    assert first.origin[str(path)] == rest.origin[str(path)]
    assert list(first.origin.values()) != list(rest.origin.values())
    for rows in ("1-11", "11-"):
        with pytest.raises(
            DataError, match=f"a.csv: has only 10 rows, but the recipe selects {rows}"
        ):
            read(path, content, rows=rows)


def test_other_columns_of_a_file_are_other_data(tmp_path: Path) -> None:
    content = "a\tb\n"
    one = read(tmp_path / "a.tsv", content)
    other = read(tmp_path / "a.tsv", content, src=2, tgt=1)
    assert list(one.origin.values()) != list(other.origin.values())


def test_several_target_columns_are_several_references(tmp_path: Path) -> None:
    corpus = read(tmp_path / "a.tsv", "s\ta\tb\tc\nS\tA\t\tC\n", tgt=(3, 2, 4))
    assert corpus.pairs == [("s", "b", "a", "c")]
    assert len(corpus.rows) == 2  # the main reference of the other row is blank
    corpus = read(
        tmp_path / "a.jsonl", '{"s":"x","r":["n"],"t":"a","u":" "}', src="s", tgt=("t", "u")
    )
    assert corpus.rows == [("x", "a", "a")]


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    ("name", "content", "keys", "message"),
    [
        ("a.tsv", "a\tb\nc\n", {}, "a.tsv:2: has 1 column, but line 1 has 2; a sentence must"),
        ("a.tsv", "a\tb\n\nc\td\te\n", {}, "a.tsv:3: has 3 columns, but line 1 has 2"),
        ("a.tsv", "a\tb\n", {"tgt": 3}, "a.tsv:1: has 2 columns, but no column 3"),
        (
            "a.tsv",
            "x\ty\na\tb\n",
            {"src": "z"},
            "a.tsv:1: 'z' is not in the header, which is 'x', 'y'",
        ),
        ("a.tsv", "x\tx\na\tb\n", {"src": "x"}, "a.tsv:1: 'x' occurs twice in the header"),
        ("a.tsv", b"a\tb\nc\xff\td\n", {}, "a.tsv:2: byte 2 (0xff) is not UTF-8"),
        ("a.csv", 'x,y\n"a\nb",c\nd\n', {}, "a.csv:4: has 1 column, but line 1 has 2; quote"),
        ("a.csv", 'x,y\na,b\n"c"d,e\n', {}, "a.csv:3: not a CSV row"),
        ("a.csv", 'x,y\na,"b\nc,d\n', {}, "a.csv:2: not a CSV row"),
        ("a.jsonl", '{"s": "a", "t": "b"}\n{"s": \n', FIELDS, "a.jsonl:2: not JSON ("),
        ("a.jsonl", '["a", "b"]', FIELDS, "a.jsonl:1: not a JSON object"),
        ("a.jsonl", "[" * 100_000, FIELDS, "a.jsonl:1: JSON that cannot be parsed"),
        (
            "a.jsonl",
            '{"s": "a"}',
            FIELDS,
            "a.jsonl:1: has no field 't'; name one of its fields: 's'",
        ),
        ("a.jsonl", '{"s": "a"}', {"src": "s.x", "tgt": "s"}, "a.jsonl:1: has no field 's.x'"),
        (
            "a.jsonl",
            '{"s": "a", "t": 5}',
            FIELDS,
            "a.jsonl:1: field 't' is 5, not a string; put it",
        ),
        (
            "a.jsonl",
            '{"s": "a", "t": "b"}\n{"s": null, "t": ""}',
            FIELDS,
            "a.jsonl:2: field 's' is null, not a string; remove the line, or write \"\"",
        ),
        ("a.csv", "x;y\na, b;c\n", {"src": "x"}, "a.csv:1: columns are separated by semicolons"),
        ("a.csv", '"x";"y"\n"a";"b"\n', {}, "a.csv:1: columns are separated by semicolons"),
        ("a.csv", "x\ty\na\tb\n", {}, "a.csv:1: columns are separated by TABs, not by commas; add"),
        (
            "a.csv",
            'x,y\na,b\n"c,d\ne,f\ng,h\n',
            {},
            "a.csv:3: not a CSV row (a quotation mark opens a cell that "
            "never ends); quote fields that contain a comma or a quotation mark, and double",
        ),
        (
            "a.csv",
            'x,y\na,b\nc,"d\ne,f\ng,"h"\n',
            {},
            "a.csv:3: not a CSV row (a quotation mark opens a cell that ends in line 5)",
        ),
        (
            "a.csv",
            'x,y\n"a,b\nc,d\ne,f\ng,h 5"\n',
            {},
            "a.csv:2: not a CSV row (a quotation mark opens a cell that ends 2 rows later)",
        ),
        (
            "a.jsonl",
            '{"s": "\\ud83d", "t": "b"}',
            FIELDS,
            "a.jsonl:1: field 's' has a lone surrogate, which is half a",
        ),
    ],
)
def test_the_error_about_a_malformed_row_names_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / name, content, **keys)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("cmn.txt", {}, "cmn.txt: the file name does not show the format; add `format: tsv`"),
        ("cmn.gz", {}, "does not show the format"),
        ("a.jsonl", {}, "JSON lines have no column 1; give the name"),
        ("a.jsonl", {"src": "s", "tgt": "t", "header": True}, "JSON lines have no header"),
        ("a.csv", {"header": False, "tgt": "t"}, "column 't' is named, but `header` is false"),
    ],
)
def test_contradicting_settings_are_refused(
    tmp_path: Path, name: str, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name, "a\tb\n", **keys)
    assert message in str(caught.value)


@pytest.mark.fault("F6")
def test_the_command_suggested_for_semicolons_works(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.csv", 'x;y\n"one; two";a, b\n')
    _, _, command = str(caught.value).partition("convert it: ")
    subprocess.run(["bash", "-c", command], check=True)
    table = TableFile(file="a.comma.csv", src="x", tgt="y")
    assert pairs(read_table(table, tmp_path / "a.comma.csv")) == [("one; two", "a, b")]


def test_cells_may_be_long_and_have_several_lines(tmp_path: Path) -> None:
    long, poem = "word " * 40_000, "Roses are red,\nviolets are blue,\nsugar is sweet,\nand so"
    corpus = read(tmp_path / "a.csv", f'x,y\n{long},b\n"{poem}",d\n')
    assert pairs(corpus) == [(long, "b"), (poem.replace("\n", " "), "d")]


def test_an_assumed_header_is_mentioned_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert pairs(read(tmp_path / "a.csv", "I,你\nyou,我\n")) == [("you", "我")]
    read(tmp_path / "b.csv", "en,zh\nyou,我\n", header=True)
    read(tmp_path / "b.csv", "en,zh\nyou,我\n", src="en")
    message = " ".join(capsys.readouterr().err.split())
    assert message.count("the first row (I, 你) is taken for a header and left out") == 1
    assert "header: false" in message
    assert "b.csv" not in message


def test_an_empty_table_has_no_pairs(tmp_path: Path) -> None:
    for content in ("", "\n\n", "x,y\n"):
        with pytest.raises(DataError, match="has no sentence pairs; name"):
            read(tmp_path / "a.csv", content)


def test_the_tatoeba_download_is_read_unchanged(real_data: Path) -> None:
    path = real_data / "tatoeba-zh-en" / "cmn.txt"
    corpus = read_table(TableFile(file="cmn.txt", src=2, tgt=1, format="tsv"), path)
    assert pairs(corpus)[0] == ("嗨。", "Hi.")  # no BOM
    assert len(corpus.pairs) == len(corpus.rows)
    assert len(corpus.rows) == path.read_bytes().count(b"\n") - 1  # its last line is empty


def test_the_csv_of_the_tutorial_is_read_by_its_header(real_data: Path) -> None:
    path = real_data / "en-fr-csv" / "english_french_dataset.csv"
    table = TableFile(file=path.name, src="english", tgt="french", rows="1-8000")
    corpus = read_table(table, path)
    assert len(corpus.rows) == 8000
    assert pairs(corpus)[0][0] == "Tom isn't ashamed of what he did."


def test_a_cell_that_looks_like_rows_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "letters.csv"
    letter = '"Dear all,\nHello, friend\nBye, friend\nend",salut\n'
    path.write_text(f'x,y\n{letter}"a\nb",c\n{letter}')
    rows = [row.cells for row in split_csv(path.read_text().split("\n"), path)]
    assert rows[1] == ["Dear all,\nHello, friend\nBye, friend\nend", "salut"]
    assert rows[2] == ["a\nb", "c"]
    message = capsys.readouterr().err
    assert f"{path}:2: a quoted cell contains 2 lines that" in message
    assert message.count("\n") == 1
