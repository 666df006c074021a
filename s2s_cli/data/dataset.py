"""The encoded pairs of a split: memory-mapped token ids, next to their text.

    src.ids, tgt.ids          all ids of a side, pair after pair (uint16 or int32)
    src.offsets, tgt.offsets  where the ids of each pair begin, and where the last ones end (int64)
    left_out                  numbers of the pairs of the text that have no ids (int64)
    sources.hashes, pairs.hashes    fingerprints of sentences and pairs, sorted (uint64); train only
    text.jsonl                the text of all pairs, one JSON list per line; valid and test only
    manifest.json             what the dataset was made of; written last

Numbers are little-endian. Processes share the mapped files; pages are read when they are needed.
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from s2s_cli.data.fingerprints import HASH, Fingerprints
from s2s_cli.data.manifest import Manifest, read_manifest
from s2s_cli.data.pairs import Row
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction, parse_directions

Integer = TypeVar("Integer", bound=np.integer)

SIDES = ("src", "tgt")
OFFSET = np.dtype("<i8")
LEFT_OUT = "left_out"
TEXT = "text.jsonl"
HASHES = {"sources": "sources.hashes", "pairs": "pairs.hashes"}

TokenIds = list[int] | npt.NDArray[np.integer]
EncodedPair = tuple[TokenIds, TokenIds]
"""Source and target token ids, without bos and eos. The source may begin with a language tag."""


class EncodedPairs(Protocol):
    """A sequence of encoded pairs, on disk or in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> EncodedPair: ...


def lengths_of(pairs: EncodedPairs) -> npt.NDArray[np.int32]:
    """Return source and target length of every pair `(pairs, 2)`."""
    known: npt.NDArray[np.int32] | None = getattr(pairs, "lengths", None)
    if known is not None:
        return known
    counted = [tuple(map(len, pairs[index])) for index in range(len(pairs))]
    return np.array(counted, dtype=np.int32).reshape(-1, 2)


class Dataset:
    """Encoded pairs on disk."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Map the files, which must be complete."""
        self.folder, self.manifest = folder, manifest
        dtype = np.dtype(manifest.dtype).newbyteorder("<")
        self._ids = [_map(folder / f"{side}.ids", dtype) for side in SIDES]
        self._offsets = [_map(folder / f"{side}.offsets", OFFSET) for side in SIDES]
        self._left_out = _map(folder / LEFT_OUT, OFFSET)

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open a dataset whose files are complete.

        Raises:
            DataError: its manifest is missing or damaged.
        """
        manifest = read_manifest(folder)
        if isinstance(manifest, str):
            raise DataError(f"{folder}: {manifest}; run `s2s vocab build` again")
        return cls(folder, manifest)

    def __len__(self) -> int:
        return len(self._offsets[0]) - 1

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Return source and target ids of a pair."""
        src, tgt = (
            ids[offsets[index] : offsets[index + 1]]
            for ids, offsets in zip(self._ids, self._offsets, strict=True)
        )
        return src, tgt

    @cached_property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Source and target length of every pair `(pairs, 2)`."""
        found = np.empty((len(self), 2), dtype=np.int32)
        for side, offsets in enumerate(self._offsets):
            np.subtract(offsets[1:], offsets[:-1], out=found[:, side], casting="unsafe")
        return found

    @property
    def fingerprints(self) -> Fingerprints:
        """Hashes of all pairs of the text, including pairs left out."""
        return read_fingerprints(self.folder)

    def number_in_text(self, index: int) -> int:
        """Return the number of a pair in the text, which also counts pairs left out."""
        num_kept_before = self._left_out - np.arange(len(self._left_out))
        return index + int(np.searchsorted(num_kept_before, index, side="right"))

    def rows(self) -> list[Row]:
        """Return the text of the encoded pairs, in order: source and references."""
        left_out = {*self._left_out.tolist()}
        return [row for number, row in enumerate(self.all_rows()) if number not in left_out]

    def all_rows(self) -> Iterator[Row]:
        """Yield the text of all pairs, including pairs left out."""
        with (self.folder / TEXT).open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield tuple(json.loads(line))

    def rows_by_direction(self) -> dict[Direction, list[Row]]:
        """Return the text of the encoded pairs by direction, in the order of the sources."""
        rows, found, start = self.rows(), dict[Direction, list[Row]](), 0
        for source in self.manifest.sources:
            if source.pairs:
                (direction,) = parse_directions((source.direction,))
                found.setdefault(direction, []).extend(rows[start : start + source.pairs])
            start += source.pairs
        return found


def _map(path: Path, dtype: np.dtype[Integer]) -> npt.NDArray[Integer]:
    """Map a file as a read-only plain array, because slicing a `memmap` is slow."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))


def read_fingerprints(folder: Path) -> Fingerprints:
    """Map the fingerprints of a dataset."""
    return Fingerprints(**{name: _map(folder / file, HASH) for name, file in HASHES.items()})
