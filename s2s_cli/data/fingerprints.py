"""Which sentences and pairs stand in train, as hashes: 16 bytes a pair, none of the text."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.text.normalize import Normalizer

HASH = np.dtype("<u8")

Hashes = npt.NDArray[np.uint64]


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


class FingerprintTaker:
    """Takes the fingerprints of pairs that pass by."""

    def __init__(self) -> None:
        """Start without a pair."""
        self._sources, self._pairs = array("Q"), array("Q")

    def watch(self, pairs: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
        """The pairs, each behind the number of its source, as they are."""
        for pair in pairs:
            source, whole = hash_pair(pair[1], pair[2])
            self._sources.append(source)
            self._pairs.append(whole)
            yield pair

    def take(self) -> Fingerprints:
        """The fingerprints of all pairs so far."""
        sources, pairs = (
            np.unique(np.asarray(hashes, dtype=HASH)) for hashes in (self._sources, self._pairs)
        )
        return Fingerprints(sources, pairs)
