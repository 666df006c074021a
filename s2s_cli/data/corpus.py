"""Parallel text: sentence pairs in memory, and files whose lines belong together."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, compress, repeat, zip_longest
from pathlib import Path

from s2s_cli.data.lines import Errors, read_lines, stream_lines
from s2s_cli.errors import DataError
from s2s_cli.sources import SEVERAL_LANGUAGES, Direction

LOCATED_LINES = 2_000_000
"""Where files differ in length, the line is sought if they have no more lines than these."""


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
    blank_rows: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The pairs left out, by their row (from 0) in the text; empty where rows are not known, as in
    joined corpora."""

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

    def rows(self) -> list[tuple[str, ...]]:
        """All rows of the text, blank ones in their places: source and references."""
        pairs = iter(zip(self.src, *self.references, strict=True))
        num_rows = len(self) + len(self.blank_rows)
        return [
            self.blank_rows[n] if n in self.blank_rows else next(pairs) for n in range(num_rows)
        ]

    def keep(self, kept: Sequence[bool]) -> "Corpus":
        """The pairs whose place in `kept` is True."""
        return replace(
            self,
            src=list(compress(self.src, kept)),
            tgt=list(compress(self.tgt, kept)),
            more_references=tuple(list(compress(ref, kept)) for ref in self.more_references),
            blank_rows={},
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


class PairDigest:
    """SHA-256 of some pairs, for what is a part of a file or of none."""

    def __init__(self) -> None:
        """Begin without a pair."""
        self._digest = hashlib.sha256()
        self._separator = ""

    def update(self, pair: Sequence[str]) -> None:
        """Take in a pair."""
        content = self._separator + "\t".join(pair)
        self._digest.update(content.encode("utf-8", "surrogatepass"))
        self._separator = "\n"

    def hexdigest(self) -> str:
        """The hash of all pairs so far."""
        return self._digest.hexdigest()


def hash_pairs(pairs: Iterable[Sequence[str]]) -> str:
    """SHA-256 of pairs that are at hand."""
    digest = PairDigest()
    for pair in pairs:
        digest.update(pair)
    return digest.hexdigest()


def stream_parallel(
    paths: Sequence[Path], digests: list[str], errors: Errors = "strict"
) -> Iterator[tuple[str, ...]]:
    """Rows of the files whose lines belong together: a source sentence and its translations.

    Args:
        paths: of the source sentences, of their translations, of further translations.
        digests: gets the files' SHA-256 when the last row was given.
        errors: what becomes of bytes that are not UTF-8.

    Raises:
        DataError: a file is missing or not UTF-8, or the files differ in length.
    """
    hashes = [hashlib.sha256() for _ in paths]
    columns = map(stream_lines, paths, hashes, repeat(errors))
    for row in zip_longest(*columns):
        if None in row:
            raise _unequal(paths)
        yield row
    digests += [digest.hexdigest() for digest in hashes]


def _unequal(paths: Sequence[Path]) -> DataError:
    """What to say of files that differ in length."""
    src_path, *tgt_paths = paths
    num_src = _count_lines(src_path)
    for tgt_path in tgt_paths:
        num_tgt = _count_lines(tgt_path)
        if not num_src or not num_tgt:
            empty = tgt_path if num_src else src_path
            return DataError(f"{empty}: empty; it needs a line for each of its partner's")
        if num_src != num_tgt:
            where = ""
            if num_src + num_tgt <= LOCATED_LINES:
                src, tgt = (read_lines(path, "surrogateescape") for path in (src_path, tgt_path))
                line = _find_misalignment(src, tgt) + 1
                where = f"; they seem to part at line {line}"
            return DataError(
                f"{src_path} has {num_src} lines, {tgt_path} has {num_tgt}; parallel files need "
                f"one sentence per line{where}"
            )
    return DataError(f"{src_path}: changed while it was read; try again")


def _count_lines(path: Path) -> int:
    return sum(1 for _ in stream_lines(path, errors="surrogateescape"))


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
