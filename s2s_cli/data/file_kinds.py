"""Recognising files that are not UTF-8 text, and the command that converts them.

There are two checks. `find_problem` looks at the beginning of a file and recognises compressed
files, documents and UTF-16. `describe_encoding` looks at lines that cannot be decoded and guesses
their encoding.
"""

import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import DataError

STDIN = Path("-")
"""Stands for standard input where a file is named."""

HEAD_BYTES = 1 << 16
"""Size of the beginning of a file that `find_problem` needs."""

MIN_LINES_PER_BAD_LINE = 50
"""A text counts as UTF-8, with damaged lines, if at most one of this many lines is not UTF-8."""

_PACKED = (
    (re.compile(rb"\x1f\x8b"), "gzip", "gunzip", ".gz"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", "bunzip2", ".bz2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz", "xz -dc", ".xz"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd", "zstd -dc", ".zst"),
    (re.compile(rb"PK\x03\x04"), "zip", "unzip -p", ".zip"),
)
_TAR = re.compile(rb"(?s:.{257})ustar")
_MARKED = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_DOCUMENTS = (
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"PK\x03\x04(?s:.{0,4000})\[Content_Types\]\.xml"), "an Office document"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an Office document"),
)
_NAMES = {"GB18030": "GB18030 (GBK)", "BIG5": "Big5", "WINDOWS-1252": "Latin-1 (Windows-1252)"}
"""Names of encodings in messages, if they differ from those of iconv."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class Problem(NamedTuple):
    """Why a file cannot be read, and how to convert it."""

    what: str
    """A predicate, such as `is compressed by gzip`."""
    command: str
    """A command that converts it to UTF-8 text; empty if there is none."""
    suffix: str = ""
    """Suffix that the name of the converted file does not have."""


def refuse_head(head: bytes, path: Path, *, is_complete: bool = True) -> None:
    """Refuse a file whose beginning shows that it is not UTF-8 text.

    Args:
        head: the beginning of the file.
        path: names the file in the message.
        is_complete: whether the file has a line feed only if `head` has one; false for the first
            bytes of a stream.

    Raises:
        DataError: it is another kind of file; the message names it and a command that converts it.
    """
    # The first bytes of a stream may be too few to distinguish UTF-16 from text with zero bytes.
    problem = find_problem(head if is_complete or len(head) >= 16 else head.replace(b"\0", b""))
    if problem is None and is_complete and b"\n" not in head and has_only_cr(head):
        problem = Problem("ends its lines with CR alone, like files of old Macs", "tr '\\r' '\\n'")
    if problem is not None:
        raise DataError(f"{name_input(path)}: {problem.what}; {_advise(problem, path)}")


def find_problem(head: bytes) -> Problem | None:
    """Recognise a file by its beginning; None if it may be UTF-8 text."""
    for pattern, what in _DOCUMENTS:
        if pattern.match(head):
            return Problem(f"is {what}, not plain text", "")
    if _TAR.match(head):
        return Problem("is a tar archive", "tar -xOf", ".tar")
    for pattern, name, command, suffix in _PACKED:
        if pattern.match(head):
            return Problem(f"is compressed by {name}", command, suffix)
    for mark, encoding in _MARKED:
        if head.startswith(mark):
            return Problem(f"is {encoding}, not UTF-8", f"iconv -f {encoding} -t UTF-8")
    order = _find_utf16(head) if b"\0" in head else None
    if order is not None:
        return Problem(f"is {order}, not UTF-8", f"iconv -f {order} -t UTF-8")
    return None


def has_only_cr(content: bytes) -> bool:
    """Return whether text without a line feed has several lines that end with CR."""
    num_lines = sum(bool(line.strip()) for line in content.split(b"\r"))
    return num_lines > 2 or (num_lines == 2 and content.endswith(b"\r"))


def describe_encoding(sample: bytes, path: Path) -> str:
    """Describe the probable encoding of bytes, and how to convert the file that contains them.

    Args:
        sample: lines that are not UTF-8.
        path: of the file.
    """
    problem = _guess_problem(sample)
    return f"{problem.what}; {_advise(problem, path)}"


SAMPLE_BYTES = 1 << 16
"""Size of the sample of lines from which their encoding is guessed."""


class BadLines:
    """Lines that are not UTF-8: their number, and a sample of them."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        """Start with some lines."""
        self.number = 0
        self.sample = b""
        self.num_bad_bytes = 0
        """Number of places in the sample that cannot be decoded."""
        for line in lines:
            self.add(line)

    def add(self, line: bytes) -> None:
        """Count a line."""
        self.number += 1
        if len(self.sample) < SAMPLE_BYTES:
            kept = line[:SAMPLE_BYTES]
            self.num_bad_bytes += _count_bad_bytes(kept)
            self.sample += kept + b"\n"


def is_other_encoding(bad_lines: BadLines, num_lines: int) -> bool:
    """Return whether a text is in another encoding, not UTF-8 with a few damaged bytes.

    Args:
        bad_lines: the lines that are not UTF-8.
        num_lines: of the text, or of the lines read so far.
    """
    if bad_lines.number * MIN_LINES_PER_BAD_LINE <= num_lines:
        return False
    return bad_lines.number > 1 or bad_lines.num_bad_bytes > 1


def name_input(path: Path) -> str:
    """Name a file in messages."""
    return "stdin" if path == STDIN else str(path)


def _advise(problem: Problem, path: Path) -> str:
    """Say how to convert a file, with a command that can be copied into a shell."""
    if not problem.command:
        return "convert it to UTF-8 text with one sentence per line"
    if path == STDIN or not path.is_file():
        return f"convert it first: {problem.command} < FILE | s2s ..."
    source, target = (shlex.quote(str(name)) for name in (path, _choose_name(path, problem.suffix)))
    source = source if problem.command.startswith(("unzip", "tar")) else f"< {source}"
    return f"convert it: {problem.command} {source} > {target}"


def _choose_name(path: Path, suffix: str) -> Path:
    """Choose a name for the converted file that no other file has."""
    plain = path.with_name(path.name.removesuffix(suffix)) if suffix else path
    names = [plain, *(path.with_name(f"{plain.stem}.utf8{n}{plain.suffix}") for n in ("", 2, 3, 4))]
    return next((name for name in names if not name.exists()), names[1])


def _count_bad_bytes(line: bytes) -> int:
    """Count the places of a line that cannot be decoded."""
    return line.decode("utf-8", "replace").count("\ufffd") - line.count("\ufffd".encode())


_PLAUSIBLE = re.compile(
    "[\t\n\r -~\u00a0-\u024f\u0370-\u06ff\u0900-\u0e7f\u2010-\u2044\u3000-\u30ff\u4e00-\u9fff"
    "\uac00-\ud7a3\uff00-\uffef]"
)


def _find_utf16(head: bytes) -> str | None:
    """Find the byte order of UTF-16 without a byte order mark; None if it is not UTF-16.

    ASCII text read as UTF-16 is plausible Chinese, so the number of line feeds has to match too.
    """
    content = head[: len(head) // 2 * 2]
    if head.count(0) < 0.4 * len(head) and not _is_not_utf8(head):
        return None  # UTF-8 text with a few zero bytes
    for encoding in ("UTF-16LE", "UTF-16BE"):
        text = content.decode(encoding, "replace")
        num_lines = text.count("\n")
        has_line_feeds = 2 * num_lines >= head.count(b"\n")
        is_enough = len(head) >= 16 or (num_lines > 0 and len(text) > 2)
        if is_enough and has_line_feeds and len(_PLAUSIBLE.findall(text)) >= 0.9 * len(text):
            return encoding
    return None


def _is_not_utf8(head: bytes) -> bool:
    """Return whether bytes are not UTF-8; an incomplete character at the end is accepted."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(head) - 3
    return False


def _guess_problem(sample: bytes) -> Problem:
    """Guess what a sample of bytes is that is not UTF-8."""
    order = _find_utf16(sample) if b"\0" in sample else None
    if order is not None:
        return Problem(f"it looks like {order}", f"iconv -f {order} -t UTF-8")
    if len(_CONTROLS.findall(sample)) > len(sample) / 100:
        return Problem("it looks like binary data, not text", "")
    shares = {name: share(sample) for name, share in _ENCODINGS.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.8:
        return Problem("its encoding is unknown; find it out", "iconv -f ENCODING -t UTF-8")
    return Problem(f"it looks like {_NAMES.get(best, best)}", f"iconv -f {best} -t UTF-8")


def _measure(sample: bytes, encoding: str, is_common: Callable[[bytes], bool]) -> float:
    """Decode a sample; return the share of common characters among those that are not ASCII."""
    text = sample.decode(encoding, "replace")
    others = [character for character in text if character > "\x7f"]
    coded = (character.encode(encoding, "ignore") for character in others)
    return sum(map(is_common, coded)) / max(1, len(others))


def _is_common_gb(code: bytes) -> bool:
    """Return whether this is punctuation or one of the 3,755 most common characters of GB 2312."""
    return len(code) == 2 and code[1] >= 0xA1 and (code[0] in range(0xB0, 0xD8) or _is_mark(code))


def _is_mark(code: bytes) -> bool:
    return code[0] in {0xA1, 0xA3}


def _is_common_big5(code: bytes) -> bool:
    """Return whether this is punctuation or one of the common characters of Big5."""
    return len(code) == 2 and code[0] in range(0xA1, 0xC7)


def _share_latin(sample: bytes) -> float:
    """Return the share of runs that are one or two letters or quotation marks of Windows-1252."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    likely = re.compile(
        rb"[\x80\x84\x85\x8c\x91-\x97\x99\x9c\xa0\xa1\xa3\xab\xb0\xbb\xbf-\xff]{1,2}"
    )
    return sum(likely.fullmatch(run) is not None for run in runs) / max(1, len(runs))


def _share_kana(sample: bytes, encoding: str) -> float:
    """Return 1 if a sample has as many kana as Japanese text, otherwise 0."""
    text = sample.decode(encoding, "replace")
    others = [character for character in text if character > "\x7f"]
    kana = sum("\u3041" <= character <= "\u30fe" for character in others)
    bad = text.count("\ufffd") + sum("\uff61" <= character <= "\uff9f" for character in others)
    return 1.0 if kana > 0.25 * len(others) and bad < 0.05 * len(others) else 0.0


def _share_hangul(sample: bytes) -> float:
    """Return 1 if all byte pairs are in the rows of Hangul, otherwise 0, as for Chinese text."""
    pairs = re.findall(rb"[\xa1-\xfe]{2}", sample)
    hangul = sum(pair[0] in range(0xB0, 0xC9) for pair in pairs)
    return 1.0 if len(pairs) >= 20 and hangul > 0.97 * len(pairs) else 0.0


_ENCODINGS: dict[str, Callable[[bytes], float]] = {
    "SHIFT_JIS": lambda sample: _share_kana(sample, "shift_jis"),
    "EUC-JP": lambda sample: _share_kana(sample, "euc_jp"),
    "EUC-KR": _share_hangul,
    "GB18030": lambda sample: _measure(sample, "gb18030", _is_common_gb),
    "BIG5": lambda sample: _measure(sample, "big5", _is_common_big5),
    "WINDOWS-1252": _share_latin,
}
"""For each likely encoding, a measure of how well it fits; of equal ones the first is chosen."""
