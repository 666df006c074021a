"""Line-aligned files, read as rows; an error about unequal files shows where a line is missing."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, repeat, zip_longest
from pathlib import Path

from s2s_cli.data.lines import DecodingErrors, read_lines, stream_lines
from s2s_cli.errors import DataError

LOCATED_LINES = 2_000_000
"""Files of unequal length are searched for the missing line if they have at most this many lines in
total."""


def stream_parallel(
    paths: Sequence[Path], digests: list[str], errors: DecodingErrors = "strict"
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of line-aligned files: a source sentence and its translations.

    Args:
        paths: the file of source sentences, the file of their translations, further references.
        digests: receives the SHA-256 of each file after the last row.
        errors: how to decode bytes that are not UTF-8.

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
    """Make the error for files of unequal length; it names the line where they diverge."""
    src_path, *tgt_paths = paths
    num_src = _count_lines(src_path)
    for tgt_path in tgt_paths:
        num_tgt = _count_lines(tgt_path)
        if not num_src or not num_tgt:
            empty = tgt_path if num_src else src_path
            return DataError(f"{empty}: empty; it needs one line for each line of the other file")
        if num_src != num_tgt:
            where = ""
            if num_src + num_tgt <= LOCATED_LINES:
                src, tgt = (read_lines(path, "surrogateescape") for path in (src_path, tgt_path))
                line = _find_misalignment(src, tgt) + 1
                where = f"; they seem to diverge at line {line}"
            return DataError(
                f"{src_path} has {num_src} lines, {tgt_path} has {num_tgt}; parallel files need "
                f"one sentence per line{where}"
            )
    return DataError(f"{src_path}: changed while it was read; try again")


def _count_lines(path: Path) -> int:
    return sum(1 for _ in stream_lines(path, errors="surrogateescape"))


def _find_misalignment(src: list[str], tgt: list[str]) -> int:
    """Find the line (from 0) at which the shorter file most likely lost its first line.

    The lengths of sentences and their translations keep a steady ratio. For every cut, compare
    lengths line by line before it, and shifted by the number of missing lines after it. The cut
    with the lowest cost wins.
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
