"""Writing the dataset of one split.

`DatasetWriter` first receives the rows and words of the split (`add_row`, `add_words`); rows of
several splits may alternate while they are read. Later, when the vocabularies are known, worker
processes turn the words into ids (`make_encoder`), which the writer receives in order (`add_ids`).
`finish` sorts the fingerprints and writes the manifest.
"""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.data.dataset import HASHES, LEFT_OUT, OFFSET, SIDES, TEXT
from s2s_cli.data.fingerprints import HASH, PairDigest, sort_hashes
from s2s_cli.data.lines import hash_file
from s2s_cli.data.manifest import Counts, Dtype, FileStamp, Manifest, Settings, SourceInfo
from s2s_cli.data.pairs import Reading, Row
from s2s_cli.data.splits import SplitText, name_subset
from s2s_cli.data.words import WordsChunk, WordsFile, WordsSlice, read_words
from s2s_cli.storage.checksummed import HashedFile
from s2s_cli.text.subwords import Subwords
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

WORDS = "words"
"""Name of the temporary file with words."""


class EncodedChunk(NamedTuple):
    """Token ids of some pairs of one source, and counts of the pairs left out."""

    source: int
    ids: tuple[bytes, bytes]
    """Ids of source and target, pair after pair."""
    lengths: npt.NDArray[np.int64]
    """Source and target length of every pair `(2, pairs)`."""
    left_out: npt.NDArray[np.int64]
    """Numbers of the pairs left out, counted within the chunk."""
    counts: Counts

    @property
    def num_rows(self) -> int:
        """Number of pairs, including pairs left out."""
        return self.counts.pairs + len(self.left_out)


class EncodingSettings(NamedTuple):
    """All that is needed to turn words into ids, as plain values that can be sent to a process."""

    vocabularies: tuple[str, str]
    """The contents of the vocabulary files."""
    subwords: tuple[tuple[bytes, str] | None, tuple[bytes, str] | None]
    """Content and kind of the subword model of each side."""
    tags: tuple[tuple[int, ...], ...]
    """For each source of the recipe, the ids that its source sentences begin with."""
    max_length: int
    dtype: Dtype


def choose_dtype(*sizes: int) -> Dtype:
    """Choose the smallest type that holds the ids of vocabularies of these sizes."""
    return "uint16" if max(sizes) <= 1 << 16 else "int32"


def make_encoder(settings: EncodingSettings) -> Callable[[WordsSlice], EncodedChunk]:
    """Make the function that encodes chunks of words, and leaves out long and empty pairs."""
    encode_src, encode_tgt = (
        _make_side_encoder(
            Vocabulary.from_tsv(text, "vocabulary"), Subwords(*model, "subwords") if model else None
        )
        for text, model in zip(settings.vocabularies, settings.subwords, strict=True)
    )
    dtype = np.dtype(settings.dtype).newbyteorder("<")

    def encode(words: WordsSlice) -> EncodedChunk:
        tag, longest = list(settings.tags[words.source]), settings.max_length
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        left_out: list[int] = []
        num_empty = 0
        for number, (src_words, tgt_words) in enumerate(read_words(words)):
            src, tgt = encode_src(src_words), encode_tgt(tgt_words)
            if 0 < len(src) <= longest and 0 < len(tgt) <= longest:
                sides[0].append(tag + src)
                sides[1].append(tgt)
            else:
                num_empty += not src or not tgt
                left_out.append(number)
        ids = [np.array([i for row in side for i in row], dtype) for side in sides]
        counts = Counts(
            pairs=len(sides[0]),
            src_tokens=len(ids[0]),
            tgt_tokens=len(ids[1]),
            src_unknown=int(np.count_nonzero(ids[0] == UNK_ID)),
            tgt_unknown=int(np.count_nonzero(ids[1] == UNK_ID)),
            too_long=len(left_out) - num_empty,
            empty=num_empty,
        )
        return EncodedChunk(
            words.source,
            (ids[0].tobytes(), ids[1].tobytes()),
            np.array([[*map(len, side)] for side in sides], np.int64).reshape(2, -1),
            np.array(left_out, np.int64),
            counts,
        )

    return encode


def _make_side_encoder(
    vocabulary: Vocabulary, subwords: Subwords | None
) -> Callable[[list[str]], list[int]]:
    if subwords is None:
        return vocabulary.encode
    return lambda words: vocabulary.encode(subwords.segment(words))


class DatasetWriter:
    """Writes the dataset of one split: first the words of all pairs, then their ids."""

    def __init__(self, text: SplitText, folder: Path, readings: list[Reading]) -> None:
        """Open the files.

        Args:
            text: of the split.
            folder: of the dataset.
            readings: of the sources; complete when `origin` or `finish` is called.
        """
        self.text, self.readings, self.counts = text, readings, Counts()
        self.num_pairs = [0] * len(text.sources)
        self.num_rows = [0] * len(text.sources)
        self._folder, self._open = folder, ExitStack()
        self.words = WordsFile(self._folder / WORDS)
        names = [*(f"{side}.{part}" for side in SIDES for part in ("ids", "offsets")), LEFT_OUT]
        self._has_text = text.name != "train"
        if self._has_text:
            names.append(TEXT)
        self._files = {n: self._open.enter_context(HashedFile(folder / n)) for n in names}
        self._hashes: list[BinaryIO] = []
        if not self._has_text:
            paths = [folder / name for name in HASHES.values()]
            self._hashes = [self._open.enter_context(path.open("wb")) for path in paths]
        self._digests = [PairDigest() for _ in text.sources]
        self._stamps = {str(path): FileStamp.take(path, "") for path in text.paths}
        self._ends, self._num_encoded = np.zeros(2, np.int64), 0
        for side in SIDES:
            self._files[f"{side}.offsets"].write(np.zeros(1, OFFSET).tobytes())

    def add_row(self, source: int, row: Row) -> None:
        """Add the text of a pair.

        Args:
            source: number of its source in the split.
            row: source sentence and translations.
        """
        self.num_rows[source] += 1
        if self.text.is_subset:
            self._digests[source].update(row[:2])
        if self._has_text:
            self._files[TEXT].write((json.dumps(row, ensure_ascii=False) + "\n").encode())

    def add_words(self, chunk: WordsChunk) -> None:
        """Add the words of some pairs."""
        self.words.append(chunk)
        both = np.frombuffer(chunk.hashes, HASH).reshape(-1, 2)
        for column, file in enumerate(self._hashes):
            file.write(both[:, column].tobytes())

    @property
    def origin(self) -> dict[str, str]:
        """Where the pairs come from: SHA-256 by name."""
        return {name: sha for found in self._list_origins() for name, sha in found.items()}

    def _list_origins(self) -> list[dict[str, str]]:
        """Return the origin of each source; empty if the split has no pairs of the source."""
        found = []
        for number, source in enumerate(self.text.sources):
            if not self.text.is_subset:
                digests = self.readings[number].digests
                found.append(dict(zip(source.origin_names, digests, strict=True)))
            elif self.num_rows[number]:
                name = name_subset(source, self.text.name)
                found.append({name: self._digests[number].hexdigest()})
            else:
                found.append({})
        return found

    def add_ids(self, chunk: EncodedChunk) -> None:
        """Add the ids of some pairs."""
        self.num_pairs[chunk.source] += chunk.counts.pairs
        self._files[LEFT_OUT].write((chunk.left_out + self._num_encoded).astype(OFFSET).tobytes())
        self._num_encoded += chunk.num_rows
        for number, side in enumerate(SIDES):
            self._files[f"{side}.ids"].write(chunk.ids[number])
            offsets = self._ends[number] + np.cumsum(chunk.lengths[number])
            self._files[f"{side}.offsets"].write(offsets.astype(OFFSET).tobytes())
            self._ends[number] += chunk.lengths[number].sum()
        self.counts = add_counts(self.counts, chunk.counts)

    def finish(self, settings: Settings, dtype: Dtype) -> None:
        """Complete the files and write the manifest.

        Args:
            settings: all that decides on the ids except the text.
            dtype: of the ids.
        """
        sources = zip(self.text.sources, self._list_origins(), self.num_pairs, strict=True)
        Manifest(
            settings=settings,
            texts=self._stamp_texts(),
            sources=tuple(
                SourceInfo(
                    name=source.name, direction=str(source.direction), origin=origin, pairs=number
                )
                for source, origin, number in sources
            ),
            counts=self.counts,
            dtype=dtype,
            files=self._stamp_files(),
        ).write(self._folder)
        self.words.path.unlink()

    def _stamp_texts(self) -> dict[str, FileStamp]:
        """Return stamps of the text files: size and time before reading, hash of what was read."""
        stamps = dict(self._stamps)
        for source, reading in zip(self.text.sources, self.readings, strict=True):
            # A table has two hashes: of the file, and of the selected rows and columns.
            for path, digest in zip(source.files, reading.digests, strict=False):
                stamps[str(path)] = stamps[str(path)].model_copy(update={"sha256": digest})
        return stamps

    def count_left_out(self) -> None:
        """Add the rows that reading left out to the counts.

        Held-out splits have the same sources as train; only train counts their rows.
        """
        if self.text.share is None:
            used = [one for one, n in zip(self.readings, self.num_rows, strict=True) if n]
            blank = sum(reading.num_blank for reading in used)
            not_utf8 = sum(reading.num_not_utf8 for reading in used)
            self.counts = self.counts.model_copy(update={"blank": blank, "not_utf8": not_utf8})

    def _stamp_files(self) -> dict[str, FileStamp]:
        """Close all files, sort the fingerprints and return the stamps of the files."""
        self.close()
        digests = {name: file.entry.sha256 for name, file in self._files.items()}
        for file in self._hashes:
            path = Path(file.name)
            sort_hashes(path)
            with path.open("rb") as written:
                os.fsync(written.fileno())
            digests[path.name] = hash_file(path)
        return {n: FileStamp.take(self._folder / n, digest) for n, digest in digests.items()}

    def close(self) -> None:
        """Close all files."""
        self.words.close()
        self._open.close()


def add_counts(one: Counts, other: Counts) -> Counts:
    """Add two counts."""
    return Counts(**{key: value + getattr(other, key) for key, value in one})
