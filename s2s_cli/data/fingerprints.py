"""Hashes of sentences and pairs: to find them in train, and to find out whether a text has changed.

The fingerprints of train take at most 16 bytes per pair. They contain no text.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.text.normalize import Normalizer

HASH = np.dtype("<u8")

Hashes = npt.NDArray[np.uint64]

BLOCK_HASHES = 1 << 20
"""Number of hashes deduplicated at a time, which bounds memory."""


_NORMALIZE = Normalizer("", lowercase=True)


def fold_sentence(sentence: str) -> str:
    """Lower-case a sentence and normalise its white space, as for a lower-cased model."""
    return _NORMALIZE(sentence)


def hash_text(text: str) -> int:
    """Hash a text to 8 bytes."""
    content = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def hash_pair(src: str, tgt: str) -> tuple[int, int]:
    """Hash a source sentence alone, and the pair."""
    folded = fold_sentence(src)
    return hash_text(folded), hash_text(f"{folded}\n{fold_sentence(tgt)}")


def hash_pairs(pairs: Iterable[Sequence[str]]) -> bytes:
    """Hash pairs in order; return two `HASH` numbers per pair, of the source and of the pair."""
    found = np.array([hash_pair(*pair[:2]) for pair in pairs], dtype=HASH)
    return found.tobytes()


class PairDigest:
    """SHA-256 of a sequence of pairs, for text that is only a subset of its files."""

    def __init__(self) -> None:
        """Start without pairs."""
        self._digest = hashlib.sha256()
        self._separator = ""

    def update(self, pair: Sequence[str]) -> None:
        """Add a pair."""
        content = self._separator + "\t".join(pair)
        self._digest.update(content.encode("utf-8", "surrogatepass"))
        self._separator = "\n"

    def hexdigest(self) -> str:
        """The hash of all pairs so far."""
        return self._digest.hexdigest()


class Fingerprints(NamedTuple):
    """Hashes of the source sentences and of the pairs of a text, each sorted and unique."""

    sources: Hashes
    pairs: Hashes

    def contain(self, row: Sequence[str]) -> tuple[bool, bool]:
        """Return whether a source sentence occurs, and whether with one of its translations.

        Args:
            row: a source sentence and its translations.
        """
        src, *references = row
        hashes = [hash_pair(src, reference) for reference in references]
        if not _contains(self.sources, hashes[0][0]):
            return False, False
        return True, any(_contains(self.pairs, pair) for _, pair in hashes)


def _contains(sorted_hashes: Hashes, wanted: int) -> bool:
    index = int(np.searchsorted(sorted_hashes, np.uint64(wanted)))
    return index < len(sorted_hashes) and int(sorted_hashes[index]) == wanted


def sort_hashes(path: Path) -> None:
    """Sort a file of hashes and drop repeats, in place: the file is memory-mapped."""
    if not path.stat().st_size:
        return
    hashes = np.memmap(path, HASH, mode="r+")
    hashes.sort()
    size = 0
    for start in range(0, len(hashes), BLOCK_HASHES):
        block = np.asarray(hashes[start : start + BLOCK_HASHES])
        is_new = np.append(not size or block[0] != hashes[size - 1], np.diff(block) != 0)
        kept = block[is_new]
        hashes[size : size + len(kept)] = kept
        size += len(kept)
    hashes.flush()
    del hashes
    os.truncate(path, size * HASH.itemsize)
