r"""Parallel text, read and checked.

One reader for all text: bytes, split at `\n` only (Python's text mode and `splitlines` split at
up to ten characters), UTF-8 with or without a byte order mark, CRLF accepted, `.gz` unpacked.
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress
from pathlib import Path

from s2s_cli.errors import DataError
from s2s_cli.sources import SEVERAL_LANGUAGES, Direction

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs of one source, blank ones left out."""

    name: str
    src: list[str]
    tgt: list[str]
    """The main references."""
    num_blank: int
    """Pairs left out because a side, or both, was blank."""
    origin: dict[str, str]
    """Where the text came from: name to SHA-256."""
    more_references: tuple[list[str], ...] = ()
    """Further translations of the same sentences, each as long as `src`."""
    weight: float = 1.0
    """How often a pair is seen in an epoch of training."""
    src_lang: str = SEVERAL_LANGUAGES
    """Source language, if it is known to be one."""
    tgt_lang: str = SEVERAL_LANGUAGES
    """Target language."""

    def __len__(self) -> int:
        return len(self.src)

    @property
    def direction(self) -> Direction:
        """Both languages."""
        return Direction(self.src_lang, self.tgt_lang)

    @property
    def references(self) -> list[list[str]]:
        """All translations of the sentences, the main ones first."""
        return [self.tgt, *self.more_references]

    def keep(self, kept: Sequence[bool]) -> "Corpus":
        """The pairs whose place in `kept` is True."""
        return replace(
            self,
            src=list(compress(self.src, kept)),
            tgt=list(compress(self.tgt, kept)),
            more_references=tuple(list(compress(ref, kept)) for ref in self.more_references),
        )


def make_corpus(name: str, rows: Iterable[Sequence[str]], origin: dict[str, str]) -> Corpus:
    """A corpus of rows, each a source sentence and its translations, the main one first.

    A row whose source or main translation is blank is left out whole and counted; where only a
    further translation is blank the main one stands in for it.
    """
    rows = list(rows)
    kept = [row for row in rows if row[0].strip() and row[1].strip()]
    num_more = len(rows[0]) - 2 if rows else 0
    return Corpus(
        name=name,
        src=[row[0] for row in kept],
        tgt=[row[1] for row in kept],
        num_blank=len(rows) - len(kept),
        origin=origin,
        more_references=tuple(
            [row[place] if row[place].strip() else row[1] for row in kept]
            for place in range(2, 2 + num_more)
        ),
    )


def join_corpora(corpora: Sequence[Corpus]) -> Corpus:
    """All pairs as one corpus, in order, without their weights.

    A pair with fewer references than others has its main one again in their place, which changes
    no score that takes the best match.
    """
    if len(corpora) == 1:
        return corpora[0]
    num_more = max(len(corpus.more_references) for corpus in corpora)
    src_langs, tgt_langs = map(set, zip(*(corpus.direction for corpus in corpora), strict=True))
    return Corpus(
        name="+".join(corpus.name for corpus in corpora),
        src=[sentence for corpus in corpora for sentence in corpus.src],
        tgt=[sentence for corpus in corpora for sentence in corpus.tgt],
        num_blank=sum(corpus.num_blank for corpus in corpora),
        origin={name: digest for corpus in corpora for name, digest in corpus.origin.items()},
        more_references=tuple(
            [
                sentence
                for corpus in corpora
                for sentence in [*corpus.more_references, *[corpus.tgt] * num_more][place]
            ]
            for place in range(num_more)
        ),
        src_lang=src_langs.pop() if len(src_langs) == 1 else SEVERAL_LANGUAGES,
        tgt_lang=tgt_langs.pop() if len(tgt_langs) == 1 else SEVERAL_LANGUAGES,
    )


def join_by_direction(corpora: Sequence[Corpus]) -> list[Corpus]:
    """A joined corpus for each direction, in the order in which directions first come."""
    groups: dict[Direction, list[Corpus]] = {}
    for corpus in corpora:
        groups.setdefault(corpus.direction, []).append(corpus)
    return [join_corpora(group) for group in groups.values()]


def weights_of(corpora: Sequence[Corpus]) -> list[float] | None:
    """The weight of every pair of the joined corpora; None if each pair is seen once an epoch."""
    if all(corpus.weight == 1 for corpus in corpora):
        return None
    return [corpus.weight for corpus in corpora for _ in corpus.src]


def read_parallel(src_path: Path, tgt_path: Path, *more_tgt_paths: Path) -> Corpus:
    """Read files whose lines belong together; pairs with a blank side are dropped whole.

    Args:
        src_path: the source sentences.
        tgt_path: their translations.
        more_tgt_paths: further translations.

    Raises:
        DataError: a file is missing or not UTF-8, or the files differ in length.
    """
    paths = (src_path, tgt_path, *more_tgt_paths)
    contents = [read_bytes(path) for path in paths]
    src, *refs = [
        decode_lines(content, path) for content, path in zip(contents, paths, strict=True)
    ]
    for path, ref in zip(paths[1:], refs, strict=True):
        _check_same_length(src_path, src, path, ref)
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    origin = {str(path): digest for path, digest in zip(paths, digests, strict=True)}
    return make_corpus(name_of(src_path), zip(src, *refs, strict=True), origin)


def _check_same_length(src_path: Path, src: list[str], tgt_path: Path, tgt: list[str]) -> None:
    if len(src) == len(tgt):
        return
    if not src or not tgt:
        empty = tgt_path if src else src_path
        raise DataError(f"{empty}: empty; it needs a line for each of its partner's")
    line = _find_misalignment(src, tgt) + 1
    raise DataError(
        f"{src_path} has {len(src)} lines, {tgt_path} has {len(tgt)}; parallel files need one "
        f"sentence per line; they seem to part at line {line}"
    )


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, blank ones included.

    Raises:
        DataError: the file is missing, unreadable, or not UTF-8.
    """
    return decode_lines(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`.

    Raises:
        DataError: the file is missing, unreadable or a damaged archive.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def decode_lines(content: bytes, where: Path) -> list[str]:
    r"""Split at `\n`, decode UTF-8; a BOM, and the CR of CRLF, are taken off.

    Raises:
        DataError: some bytes are not UTF-8; the message names file, line and byte.
    """
    raw_lines = content.removeprefix(BOM).split(b"\n")
    if raw_lines[-1] == b"":
        raw_lines.pop()
    lines = []
    for number, raw in enumerate(raw_lines, start=1):
        try:
            lines.append(raw.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}:{number}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not "
                "UTF-8; convert the file, for instance with iconv -f GB18030 -t UTF-8"
            ) from error
    return lines


def name_of(path: Path) -> str:
    """What a corpus is called: its folder and the file's name without extensions.

    The same from wherever the file is named; a link is called by its own name.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (`absolute` keeps "..", `resolve` no links)
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return "-".join(part for part in (path.parent.name, stem) if part)


def hash_pairs(pairs: Iterable[Sequence[str]]) -> str:
    """SHA-256 of some pairs, for what is a part of a file or of none."""
    return hashlib.sha256("\n".join("\t".join(pair) for pair in pairs).encode()).hexdigest()


def _find_misalignment(src: list[str], tgt: list[str]) -> int:
    """The line (from 0) where the shorter file most likely lost its first line.

    Sentences and their translations have lengths in a steady ratio. For every cut, compare the
    lengths line by line before it, and shifted by the missing lines after it; the best cut wins.
    """
    if len(src) > len(tgt):
        src, tgt = tgt, src
    shift = len(tgt) - len(src)
    ratio = math.log((sum(map(len, tgt)) + 1) / (sum(map(len, src)) + 1))

    def cost(short: str, long: str) -> float:
        return min(2.0, abs(math.log((len(long) + 1) / (len(short) + 1)) - ratio))

    straight = [cost(s, t) for s, t in zip(src, tgt, strict=False)]
    shifted = [cost(s, t) for s, t in zip(src, tgt[shift:], strict=True)]
    before = list(accumulate(straight, initial=0.0))
    after = list(accumulate(reversed(shifted), initial=0.0))[::-1]
    return min(range(len(src) + 1), key=lambda cut: before[cut] + after[cut])
