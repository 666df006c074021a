import gzip
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.stream import CHUNK_BYTES, LINE_BYTES, has_more, open_input, read_blocks
from s2s_cli.errors import DataError


class Trickle(io.BytesIO):
    """A stream that returns three bytes at a time, like a slow pipe."""

    def read1(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read1(3)


def lines_of(content: bytes) -> list[str]:
    return [line for block in read_blocks(Trickle(content), lambda _: None, 1000) for line in block]


RAW_LINE = st.binary(max_size=12).filter(lambda raw: b"\n" not in raw)


@given(st.lists(RAW_LINE).map(lambda raws: [b"text"] * 50 * (1 + len(raws)) + raws))
def test_every_newline_ends_a_line_in_blocks_of_any_size(raw_lines: list[bytes]) -> None:
    content = b"".join(raw + b"\n" for raw in raw_lines)
    assert len(lines_of(content)) == content.count(b"\n")
    blocks = read_blocks(io.BytesIO(content), lambda _: None, 1000)
    assert [line for block in blocks for line in block] == lines_of(content)


def test_bom_crlf_and_a_missing_last_newline_are_accepted() -> None:
    assert lines_of(b"\xef\xbb\xbfa\r\nb\r\n\r\nc") == ["a", "b", "", "c"]
    assert lines_of("\ufeffa\n\ufeff\ufeffb\nc\ufeff\n\ufeff".encode()) == ["a", "b", "c\ufeff", ""]
    assert lines_of(b"") == lines_of(b"\xef\xbb\xbf" * 2) == []


def test_bytes_that_are_not_utf8_are_replaced_with_one_warning() -> None:
    warnings: list[str] = []
    content = b"ok\n" * 99 + b"\xff\n\xfe\n"
    lines = [line for block in read_blocks(Trickle(content), warnings.append, 30) for line in block]
    assert lines == [*["ok"] * 99, "\ufffd", "\ufffd"]
    assert len(warnings) == 1
    assert "stdin: line 100 is not UTF-8" in warnings[0]


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "utf-16", "utf-16-le"])
def test_a_stream_in_another_encoding_is_refused_at_the_first_block(encoding: str) -> None:
    content = "學習\n語言很有趣\n".encode(encoding)
    with pytest.raises(DataError, match=r"^stdin: .*iconv -f \S+ -t UTF-8 < FILE \| s2s"):
        list(read_blocks(io.BytesIO(content), pytest.fail, 1000))


def test_one_stray_byte_in_a_short_text_is_damage_and_not_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"good\nda\xffmaged\n")
    warnings: list[str] = []
    source = open_input(tmp_path / "x")
    assert list(read_blocks(source, warnings.append, 9)) == [["good", "da\ufffdmaged"]]
    assert len(warnings) == 1


def test_a_complete_file_is_checked_before_its_first_line(tmp_path: Path) -> None:
    good, bad = b"a line of text\n" * 5000, "créée à l'école\n".encode("latin-1") * 101
    (tmp_path / "x.fr").write_bytes(good + bad[: len(bad) // 101 * 100])
    assert read_blocks(open_input(tmp_path / "x.fr"), lambda _: None, 10)
    (tmp_path / "x.fr").write_bytes(good + bad * 2)
    with pytest.raises(DataError, match=r"x\.fr: 202 of 5,202 lines are not UTF-8.*Latin-1"):
        open_input(tmp_path / "x.fr")


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    for content, message in (
        (
            b"no gzip at all",
            "not a gzip file, though its name ends in .gz; if it is plain text, remove",
        ),
        (b"BZh91AY&SY", "not a gzip file, though its name ends in .gz; it is compressed by bzip2"),
        (gzip.compress(b"a\n" * 999)[:-9], "the gzip file is damaged or incomplete"),
    ):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(DataError, match=rf"x\.gz: {message}"):
            list(read_blocks(open_input(tmp_path / "x.gz"), lambda _: None, 1000))


def test_lines_are_passed_on_as_they_arrive() -> None:
    blocks = read_blocks(Trickle(b"a\nb\nc\n"), lambda _: None, 1000)
    assert next(blocks) == ["a"]


@given(st.lists(st.text("ab", max_size=300), max_size=40), st.integers(1, 9))
def test_all_blocks_of_short_lines_are_full_except_the_last(lines: list[str], most: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.seek(0)
        blocks = list(read_blocks(file, lambda _: None, most))
    assert [line for block in blocks for line in block] == lines
    assert all(len(block) == most for block in blocks[:-1])


def test_a_block_of_long_lines_has_fewer_lines(tmp_path: Path) -> None:
    line = "x" * 9 * LINE_BYTES
    (tmp_path / "long").write_text(f"{line}\n" * 3000)
    blocks = list(read_blocks(open_input(tmp_path / "long"), lambda _: None, 1000))
    assert sum(map(len, blocks)) == 3000
    most = (1000 * LINE_BYTES + CHUNK_BYTES) // len(line)
    assert 1000 // 9 <= max(map(len, blocks)) <= most


def test_a_block_never_waits_for_more_than_a_pipe_has() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as other:
        assert not has_more(pipe)
        other.write(b"a\nb\nc")
        assert has_more(pipe)
        blocks = read_blocks(pipe, lambda _: None, 1000)
        assert next(blocks) == ["a", "b"]  # although the other end is still open
        other.write(b"d\n")
        assert next(blocks) == ["cd"]
        other.write(b"x\n" * 20_000)  # more than one read, all available
        assert len(next(blocks)) == 1000
        other.close()
        assert sum(map(len, blocks)) == 19_000


def test_only_as_much_of_a_file_is_read_as_a_block_needs(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"word word\n" * 100_000)
    source = open_input(tmp_path / "big")
    blocks = read_blocks(source, lambda _: None, 100)
    for _ in range(5):
        next(blocks)
    assert source.tell() <= CHUNK_BYTES


class Drip(io.BytesIO):
    """A stream that returns one line at a time."""

    def read1(self, _size: int | None = None, /) -> bytes:
        return self.readline()


def test_the_check_of_a_stream_does_not_depend_on_its_blocks() -> None:
    damaged = "café crème\n".encode("latin-1") + b"ok\n" * 60
    for stream in (io.BytesIO, Drip):
        warnings: list[str] = []
        lines = [
            line for block in read_blocks(stream(damaged), warnings.append, 9) for line in block
        ]
        assert len(lines) == 61
        assert len(warnings) == 1
    other = "café crème\n".encode("latin-1") * 60
    for stream in (io.BytesIO, Drip):
        with pytest.raises(DataError, match="are not UTF-8; it looks like Latin-1"):
            list(read_blocks(stream(other), lambda _: None, 9))
