import gzip
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.stream import CHUNK_BYTES, LINE_BYTES, has_more, open_source, read_blocks
from s2s_cli.errors import DataError


class Trickle(io.BytesIO):
    """Hands out a few bytes at a time, as a slow pipe does."""

    def read1(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read1(3)


def lines_of(content: bytes) -> list[str]:
    return [line for block in read_blocks(Trickle(content), lambda _: None, 1000) for line in block]


@given(st.lists(st.binary(max_size=12).filter(lambda raw: b"\n" not in raw)))
def test_every_newline_is_one_line_however_the_bytes_come(raw_lines: list[bytes]) -> None:
    content = b"".join(raw + b"\n" for raw in raw_lines)
    assert len(lines_of(content)) == content.count(b"\n")
    blocks = read_blocks(io.BytesIO(content), lambda _: None, 1000)
    whole = [line for block in blocks for line in block]
    assert whole == lines_of(content)


def test_bom_crlf_and_a_missing_last_newline() -> None:
    assert lines_of(b"\xef\xbb\xbfa\r\nb\r\n\r\nc") == ["a", "b", "", "c"]
    assert lines_of(b"") == []


def test_bytes_that_are_not_utf8_are_replaced_and_warned_about_once() -> None:
    warnings: list[str] = []
    blocks = list(read_blocks(io.BytesIO(b"ok\n\xff\n\xfe\n"), warnings.append, 1000))
    assert blocks == [["ok", "\ufffd", "\ufffd"]]
    assert len(warnings) == 1
    assert "line 2" in warnings[0]


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    for content in (b"no gzip at all", gzip.compress(b"a\n" * 999)[:-9]):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.gz: not a whole gzip file"):
            list(read_blocks(open_source(tmp_path / "x.gz"), lambda _: None, 1000))


def test_lines_are_handed_on_as_they_come() -> None:
    blocks = read_blocks(Trickle(b"a\nb\nc\n"), lambda _: None, 1000)
    assert next(blocks) == ["a"]


@given(st.lists(st.text("ab", max_size=300), max_size=40), st.integers(1, 9))
def test_blocks_of_a_file_are_full_but_for_long_lines_and_the_last(
    lines: list[str], most: int
) -> None:
    with tempfile.TemporaryFile() as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.seek(0)
        blocks = list(read_blocks(file, lambda _: None, most))
    assert [line for block in blocks for line in block] == lines
    assert all(len(block) == most for block in blocks[:-1])


def test_a_block_of_long_lines_has_fewer(tmp_path: Path) -> None:
    line = "x" * 9 * LINE_BYTES
    (tmp_path / "long").write_text(f"{line}\n" * 3000)
    blocks = list(read_blocks(open_source(tmp_path / "long"), lambda _: None, 1000))
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
        assert next(blocks) == ["a", "b"]  # though nobody has closed the other end
        other.write(b"d\n")
        assert next(blocks) == ["cd"]
        other.write(b"x\n" * 20_000)  # more than one read, and there already
        assert len(next(blocks)) == 1000
        other.close()
        assert sum(map(len, blocks)) == 19_000


def test_no_more_of_a_file_is_read_than_the_block_needs(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"word word\n" * 100_000)
    source = open_source(tmp_path / "big")
    blocks = read_blocks(source, lambda _: None, 100)
    for _ in range(5):
        next(blocks)
    assert source.tell() <= CHUNK_BYTES
