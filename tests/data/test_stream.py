import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.stream import open_source, read_blocks
from s2s_cli.errors import DataError


class Trickle(io.BytesIO):
    """Hands out a few bytes at a time, as a slow pipe does."""

    def read1(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read1(3)


def lines_of(content: bytes) -> list[str]:
    return [line for block in read_blocks(Trickle(content), lambda _: None) for line in block]


@given(st.lists(st.binary(max_size=12).filter(lambda raw: b"\n" not in raw)))
def test_every_newline_is_one_line_however_the_bytes_come(raw_lines: list[bytes]) -> None:
    content = b"".join(raw + b"\n" for raw in raw_lines)
    assert len(lines_of(content)) == content.count(b"\n")
    whole = [line for block in read_blocks(io.BytesIO(content), lambda _: None) for line in block]
    assert whole == lines_of(content)


def test_bom_crlf_and_a_missing_last_newline() -> None:
    assert lines_of(b"\xef\xbb\xbfa\r\nb\r\n\r\nc") == ["a", "b", "", "c"]
    assert lines_of(b"") == []


def test_bytes_that_are_not_utf8_are_replaced_and_warned_about_once() -> None:
    warnings: list[str] = []
    blocks = list(read_blocks(io.BytesIO(b"ok\n\xff\n\xfe\n"), warnings.append))
    assert blocks == [["ok", "\ufffd", "\ufffd"]]
    assert len(warnings) == 1
    assert "line 2" in warnings[0]


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    for content in (b"no gzip at all", gzip.compress(b"a\n" * 999)[:-9]):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.gz: not a whole gzip file"):
            list(read_blocks(open_source(tmp_path / "x.gz"), lambda _: None))


def test_lines_are_handed_on_as_they_come() -> None:
    blocks = read_blocks(Trickle(b"a\nb\nc\n"), lambda _: None)
    assert next(blocks) == ["a"]
