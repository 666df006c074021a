"""Training pairs as token ids in memory-mapped files, which processes share.

    src.ids, tgt.ids            all ids of a side, one pair behind the other (uint16, or int32)
    src.offsets, tgt.offsets    where in them each pair begins, and where the last one ends (int64)
    left_out                    places of pairs without ids among all pairs of the text (int64)
    sources.hashes, pairs.hashes    of the sentences and pairs of the text, sorted (uint64)
    valid.jsonl                 the text of the pairs held out for validation, if any are
    manifest.json               what it was made of and with, and how large; written last

Numbers are little-endian.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from s2s_cli.data.fingerprints import HASH, Fingerprints, sort_hashes
from s2s_cli.data.lines import hash_file
from s2s_cli.data.manifest import SIDES, Counts, Dtype, FileFacts
from s2s_cli.data.token_file import Place, TokenChunk, read_tokens
from s2s_cli.data.tokenized import EncodedCorpus, encode_pairs
from s2s_cli.storage.checksummed import HashedFile
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

Integer = TypeVar("Integer", bound=np.integer)

OFFSET = np.dtype("<i8")

LEFT_OUT = "left_out"

HASHES = {"sources": "sources.hashes", "pairs": "pairs.hashes"}


class EncodedChunk(NamedTuple):
    """Some pairs of one source as ids, those left out counted."""

    source: int
    ids: tuple[bytes, bytes]
    """Of source and target, one pair behind the other."""
    lengths: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    num_unknown: tuple[int, int]
    """Ids of unknown tokens, of source and target."""
    num_too_long: int
    num_empty: int
    left_out: npt.NDArray[np.int64]
    """Places of those left out among the pairs of the chunk."""

    @property
    def num_pairs(self) -> int:
        """With those left out."""
        return len(self.lengths[0]) + len(self.left_out)


class EncodingSettings(NamedTuple):
    """What turns tokens into ids, in plain values."""

    vocabularies: tuple[str, str]
    """As they are written to files."""
    tags: tuple[tuple[int, ...], ...]
    """What the sources of each source begin with."""
    max_length: int
    dtype: Dtype


def choose_dtype(*sizes: int) -> Dtype:
    """The smallest type that holds the ids of vocabularies of these sizes."""
    return "uint16" if max(sizes) <= 1 << 16 else "int32"


def make_encoder(encoding: EncodingSettings) -> Callable[[Place], EncodedChunk]:
    """What turns the tokens of chunks into ids; pairs that are too long or empty are left out."""
    src, tgt = (Vocabulary.from_tsv(text, "vocabulary") for text in encoding.vocabularies)
    dtype = np.dtype(encoding.dtype).newbyteorder("<")

    def encode(place: Place) -> EncodedChunk:
        tag = list(encoding.tags[place.source])
        rows = ((tag, *pair) for pair in zip(*read_tokens(place), strict=True))
        found = encode_pairs(rows, src, tgt, encoding.max_length)
        sides = [[pair[side] for pair in found.pairs] for side in (0, 1)]
        ids = [np.array([i for row in side for i in row], dtype) for side in sides]
        lengths = [np.array([len(row) for row in side], np.int64) for side in sides]
        return EncodedChunk(
            place.source,
            (ids[0].tobytes(), ids[1].tobytes()),
            (lengths[0], lengths[1]),
            (count_unknown_ids(ids[0]), count_unknown_ids(ids[1])),
            found.num_too_long,
            found.num_empty,
            np.array(found.left_out, np.int64),
        )

    return encode


def count_unknown_ids(ids: npt.NDArray[np.integer]) -> int:
    """How many of the ids are those of unknown tokens."""
    return int(np.count_nonzero(ids == UNK_ID))


def count_encoded(found: EncodedCorpus, num_blank: int) -> Counts:
    """How much there is of a corpus in memory.

    Args:
        found: the corpus.
        num_blank: rows with a blank side, which were left out before.
    """
    both = [[i for pair in found.pairs for i in pair[side]] for side in (0, 1)]
    src, tgt = (np.array(ids, np.int64) for ids in both)
    return Counts(
        pairs=len(found.pairs),
        src_tokens=len(src),
        tgt_tokens=len(tgt),
        src_unknown=count_unknown_ids(src),
        tgt_unknown=count_unknown_ids(tgt),
        blank=num_blank,
        too_long=found.num_too_long,
        empty=found.num_empty,
    )


class Written(NamedTuple):
    """What a writer has to say."""

    files: dict[str, FileFacts]
    num_pairs: list[int]
    """Of each source."""
    counts: Counts
    dtype: Dtype
    """Of the ids."""


def write_corpus(
    folder: Path, chunks: Iterable[EncodedChunk], num_sources: int, dtype: Dtype
) -> Written:
    """Write the ids and offsets of chunks that come in order."""
    names = [f"{side}.{part}" for side in SIDES for part in ("ids", "offsets")]
    paths = [folder / name for name in (*names, LEFT_OUT)]
    with ExitStack() as stack:
        files = {path.name: stack.enter_context(HashedFile(path)) for path in paths}
        ends, unknown, done = [0, 0], [0, 0], 0
        num_pairs, num_too_long, num_empty = [0] * num_sources, 0, 0
        for side in SIDES:
            files[f"{side}.offsets"].write(np.zeros(1, OFFSET).tobytes())
        for chunk in chunks:
            num_pairs[chunk.source] += len(chunk.lengths[0])
            num_too_long += chunk.num_too_long
            num_empty += chunk.num_empty
            files[LEFT_OUT].write((chunk.left_out + done).astype(OFFSET).tobytes())
            done += chunk.num_pairs
            for number, side in enumerate(SIDES):
                files[f"{side}.ids"].write(chunk.ids[number])
                unknown[number] += chunk.num_unknown[number]
                offsets = ends[number] + np.cumsum(chunk.lengths[number])
                files[f"{side}.offsets"].write(offsets.astype(OFFSET).tobytes())
                ends[number] = int(offsets[-1]) if len(offsets) else ends[number]
    counts = Counts(
        pairs=sum(num_pairs),
        src_tokens=ends[0],
        tgt_tokens=ends[1],
        src_unknown=unknown[0],
        tgt_unknown=unknown[1],
        too_long=num_too_long,
        empty=num_empty,
    )
    facts = {path.name: FileFacts.of(path, files[path.name].entry.sha256) for path in paths}
    return Written(facts, num_pairs, counts, dtype)


class StoredPairs:
    """Training pairs on disk, read when they are asked for."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Map the files, which are known to be whole."""
        self._ids = [
            _map(folder / f"{side}.ids", np.dtype(dtype).newbyteorder("<")) for side in SIDES
        ]
        self._offsets = [_map(folder / f"{side}.offsets", OFFSET) for side in SIDES]
        self._left_out = _map(folder / LEFT_OUT, OFFSET)
        self.fingerprints = read_fingerprints(folder)
        """Of all pairs of the text, those counted that were left out."""

    def __len__(self) -> int:
        return len(self._offsets[0]) - 1

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
        """Source and target ids of a pair."""
        src, tgt = (
            ids[offsets[index] : offsets[index + 1]]
            for ids, offsets in zip(self._ids, self._offsets, strict=True)
        )
        return src, tgt

    def place_in_text(self, index: int) -> int:
        """Where a pair is among all pairs of the text, those counted that were left out."""
        num_kept_before = self._left_out - np.arange(len(self._left_out))
        return index + int(np.searchsorted(num_kept_before, index, side="right"))

    @cached_property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Source and target length of every pair `(pairs, 2)`."""
        found = np.empty((len(self), 2), dtype=np.int32)
        for side, offsets in enumerate(self._offsets):
            np.subtract(offsets[1:], offsets[:-1], out=found[:, side], casting="unsafe")
        return found


def _map(path: Path, dtype: np.dtype[Integer]) -> npt.NDArray[Integer]:
    """A file as an array that cannot be written to; a plain one, as slicing a memmap is slow."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))


def read_fingerprints(folder: Path) -> Fingerprints:
    """The fingerprints of all pairs of the text, those counted that were left out."""
    return Fingerprints(**{name: _map(folder / file, HASH) for name, file in HASHES.items()})


class FingerprintWriter:
    """Gathers the fingerprints of a text in files, sorted at the end; a context."""

    def __init__(self, folder: Path) -> None:
        """Name the folder of the files."""
        self._paths = {name: folder / file for name, file in HASHES.items()}
        self.facts: dict[str, FileFacts] = {}
        """Of the files, when they are done."""

    def __enter__(self) -> "FingerprintWriter":
        self._files = {name: path.open("wb") for name, path in self._paths.items()}
        return self

    def add(self, chunk: TokenChunk) -> None:
        """Add the fingerprints of some pairs."""
        for name, file in self._files.items():
            file.write(getattr(chunk.fingerprints, name))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for name, file in self._files.items():
            file.close()
            if kind is None:
                path = self._paths[name]
                sort_hashes(path)
                with path.open("rb") as written:
                    os.fsync(written.fileno())
                self.facts[path.name] = FileFacts.of(path, hash_file(path))


def write_pairs(folder: Path, name: str, pairs: Iterable[tuple[str, str]]) -> FileFacts:
    """Write pairs of text as JSON lines."""
    with HashedFile(folder / name) as file:
        for pair in pairs:
            file.write((json.dumps(pair, ensure_ascii=False) + "\n").encode())
    return FileFacts.of(folder / name, file.entry.sha256)


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read what `write_pairs` wrote."""
    return [tuple(json.loads(line)) for line in path.read_bytes().decode().split("\n")[:-1]]
