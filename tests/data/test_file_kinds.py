"""Files that are not UTF-8 text are recognised, and the suggested command converts them."""

import bz2
import gzip
import lzma
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from s2s_cli.data.file_kinds import describe_encoding, find_problem
from s2s_cli.data.lines import check_text, read_lines
from s2s_cli.errors import DataError

CHINESE = ["我喜欢学习机器学习。", "他们在公园里散步，天气很好。", "你好"]
TRADITIONAL = ["我喜歡學習機器學習。", "他們在公園裡散步，天氣很好。", "你好"]
FRENCH = ["L'été dernier, créée à l'école où nous étions", "ça va très bien", "« déjà »"]
JAPANESE = ["私は日本語を勉強しています。", "カタカナとひらがな", "あれは猫です"]
KOREAN = ["나는 한국어를 공부하고 있습니다", "날씨가 아주 좋습니다", "친구와 공원에 갔습니다"]


def join(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def zipped(content: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.txt", content)
    return file.getvalue()


UTF8 = join(CHINESE).encode()
KINDS = {
    "gzip": (gzip.compress(UTF8), "is compressed by gzip", CHINESE),
    "bzip2": (bz2.compress(UTF8), "is compressed by bzip2", CHINESE),
    "xz": (lzma.compress(UTF8), "is compressed by xz", CHINESE),
    "zip": (zipped(UTF8), "is compressed by zip", CHINESE),
    "UTF-16 with a mark": (join(CHINESE).encode("utf-16"), "is UTF-16, not UTF-8", CHINESE),
    "UTF-16LE": (join(CHINESE).encode("utf-16-le"), "is UTF-16LE, not UTF-8", CHINESE),
    "UTF-16BE": (join(CHINESE).encode("utf-16-be"), "is UTF-16BE, not UTF-8", CHINESE),
    "UTF-16LE of English": (b"a\0 \0c\0a\0t\0\n\0", "is UTF-16LE, not UTF-8", ["a cat"]),
    "UTF-32": (join(FRENCH).encode("utf-32"), "is UTF-32, not UTF-8", FRENCH),
    "CR": (UTF8.replace(b"\n", b"\r"), "ends its lines with CR alone", CHINESE),
    "GBK": (join(CHINESE).encode("gbk"), "it looks like GB18030 (GBK)", CHINESE),
    "Big5": (join(TRADITIONAL).encode("big5"), "it looks like Big5", TRADITIONAL),
    "Latin-1": (join(FRENCH).encode("latin-1"), "it looks like Latin-1", FRENCH),
    "Windows-1252": ("“été” – 5 €\n".encode("cp1252"), "Windows-1252", ["“été” – 5 €"]),
    "Shift JIS": (join(JAPANESE).encode("shift_jis"), "it looks like SHIFT_JIS", JAPANESE),
    "EUC-JP": (join(JAPANESE).encode("euc_jp"), "it looks like EUC-JP", JAPANESE),
    "EUC-KR": (join(KOREAN).encode("euc_kr"), "it looks like EUC-KR", KOREAN),
}


@pytest.mark.fault("F6")
@pytest.mark.parametrize("check", [read_lines, check_text])
@pytest.mark.parametrize("name", KINDS)
def test_another_kind_of_file_is_recognised_and_its_remedy_works(
    tmp_path: Path, name: str, check: object
) -> None:
    content, what, lines = KINDS[name]
    path = tmp_path / "my text.zh"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        check(path)  # type: ignore[operator]
    message = str(caught.value)
    assert message.startswith(str(path))
    assert what in message
    _, _, command = message.partition("convert it: ")
    subprocess.run(["bash", "-c", command], check=True)
    (converted,) = (entry for entry in tmp_path.iterdir() if entry != path)
    assert converted.suffix == ".zh"
    assert read_lines(converted) == lines


def test_a_remedy_overwrites_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zh.xz"
    path.write_bytes(lzma.compress(UTF8))
    with pytest.raises(DataError, match=r"xz -dc < \S+/x\.zh\.xz > \S+/x\.zh$"):
        read_lines(path)
    (tmp_path / "x.zh").touch()
    with pytest.raises(DataError, match=r"> \S+/x\.utf8\.zh$"):
        read_lines(path)


def test_binary_data_and_documents_are_refused(tmp_path: Path) -> None:
    for content, what in (
        (bytes(range(256)) * 9, "it looks like binary data, not text"),
        (b"%PDF-1.7 and so on", "is a PDF document, not plain text"),
        (b"PK\x03\x04....[Content_Types].xml", "is an Office document, not plain text"),
    ):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match=what):
            read_lines(tmp_path / "x")


def test_a_stray_byte_is_reported_as_damage_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(UTF8 * 50 + "\ufeffca".encode() + b"\xe9\n")
    with pytest.raises(DataError, match=r"x:151: byte 6 \(0xe9\) is not UTF-8; 1 of 151 lines"):
        read_lines(tmp_path / "x")


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    "text", ["", "a\0b\n", "a\rb", "猫\0狗\n", "BZhang\n", "PK\n", "a\r\nb\r\n", "\r\n", "\r\r\n"]
)
def test_unusual_text_is_accepted(tmp_path: Path, text: str) -> None:
    assert find_problem(text.encode()) is None
    (tmp_path / "x").write_text(text, encoding="utf-8", newline="")
    num_lines = text.count("\n") + (text[-1:] not in {"", "\n"})
    assert len(read_lines(tmp_path / "x")) == num_lines


def test_an_unknown_encoding_is_not_guessed() -> None:
    found = describe_encoding("Привет, это текст на русском языке".encode("koi8-r"), Path("x"))
    assert found.startswith("its encoding is unknown")
