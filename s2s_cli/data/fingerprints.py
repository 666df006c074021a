"""Which sentences and pairs stand in train, as hashes of 16 bytes a pair; no text is kept."""

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

SORTED_AT_A_TIME = 1 << 20
"""Hashes whose repeats are found together; bounds memory."""


_NORMALIZE = Normalizer("", lowercase=True)


def fold_sentence(sentence: str) -> str:
    """A sentence as a lower-cased model reads it: case and white space do not count."""
    return _NORMALIZE(sentence)


def hash_text(text: str) -> int:
    """An 8-byte hash."""
    content = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def hash_pair(src: str, tgt: str) -> tuple[int, int]:
    """The hashes of a source sentence alone, and of the pair."""
    folded = fold_sentence(src)
    return hash_text(folded), hash_text(f"{folded}\n{fold_sentence(tgt)}")


class Fingerprints(NamedTuple):
    """The hashes of a text's source sentences, and of its pairs; each sorted, each once."""

    sources: Hashes
    pairs: Hashes

    def has(self, row: Sequence[str]) -> tuple[bool, bool]:
        """Whether a source sentence is there, and whether it is with one of its translations.

        Args:
            row: a source sentence and its translations.
        """
        src, *references = row
        hashes = [hash_pair(src, reference) for reference in references]
        if not _contains(self.sources, hashes[0][0]):
            return False, False
        return True, any(_contains(self.pairs, whole) for _, whole in hashes)


def _contains(sorted_hashes: Hashes, wanted: int) -> bool:
    place = int(np.searchsorted(sorted_hashes, np.uint64(wanted)))
    return place < len(sorted_hashes) and int(sorted_hashes[place]) == wanted


class RawFingerprints(NamedTuple):
    """The hashes of some pairs as bytes, in their order."""

    sources: bytes
    pairs: bytes


def take_fingerprints(pairs: Iterable[tuple[str, str]]) -> RawFingerprints:
    """The hashes of source sentences and of pairs."""
    found = np.array([hash_pair(src, tgt) for src, tgt in pairs], dtype=HASH).reshape(-1, 2)
    return RawFingerprints(found[:, 0].tobytes(), found[:, 1].tobytes())


def sort_hashes(path: Path) -> None:
    """Sort a file of hashes and keep each once; the memory that it takes belongs to the file."""
    if not path.stat().st_size:
        return
    hashes = np.memmap(path, HASH, mode="r+")
    hashes.sort()
    size = 0
    for start in range(0, len(hashes), SORTED_AT_A_TIME):
        part = np.asarray(hashes[start : start + SORTED_AT_A_TIME])
        last = hashes[size - 1 : size] if size else part[:0]
        is_new = np.diff(part, prepend=last) != 0 if size else np.append(True, np.diff(part) != 0)
        kept = part[is_new]
        hashes[size : size + len(kept)] = kept
        size += len(kept)
    hashes.flush()
    del hashes
    os.truncate(path, size * HASH.itemsize)
