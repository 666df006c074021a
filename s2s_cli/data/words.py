"""Sentence pairs as words in a temporary file, so that the text needs no memory.

A pair is two lines, its source and its target, of words separated by TABs. No word contains a TAB
or a line break, since white space in a sentence counts as spaces.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from s2s_cli.config import Text
from s2s_cli.data.fingerprints import hash_pairs
from s2s_cli.data.pairs import Row
from s2s_cli.sources import Direction
from s2s_cli.text.tokenizer import make_tokenizers

CHUNK_PAIRS = 2_000

SideCounts = dict[str, Counter[str]]
"""How often each word occurs on one side of a split, by language."""


class TextChunk(NamedTuple):
    """Some rows of one source of a split."""

    split: str
    source: int
    """Its number among the sources of the split."""
    direction: Direction
    rows: list[Row]


class WordsChunk(NamedTuple):
    """The same pairs as words, with their counts."""

    split: str
    source: int
    direction: Direction
    content: bytes
    num_pairs: int
    counts: tuple[Counter[str], Counter[str]]
    """Of the source and the target side."""
    hashes: bytes
    """Fingerprints of the pairs."""


class WordsSlice(NamedTuple):
    """Where a chunk of words is in the file."""

    path: Path
    source: int
    start: int
    size: int


class WordsFile:
    """The words of one split on disk, and how often each occurs."""

    def __init__(self, path: Path) -> None:
        """Start an empty file."""
        self.path = path
        self.places: list[WordsSlice] = []
        self.num_pairs = 0
        self.counts: tuple[SideCounts, SideCounts] = ({}, {})
        self._file: BinaryIO = path.open("wb")

    def append(self, chunk: WordsChunk) -> None:
        """Write a chunk and add up its counts."""
        self.places.append(
            WordsSlice(self.path, chunk.source, self._file.tell(), len(chunk.content))
        )
        self._file.write(chunk.content)
        self.num_pairs += chunk.num_pairs
        for side, lang, counts in zip(self.counts, chunk.direction, chunk.counts, strict=True):
            side.setdefault(lang, Counter()).update(counts)

    def close(self) -> None:
        """Make all chunks readable."""
        self._file.close()


def chunk_rows(rows: Iterable[tuple[str, int, Direction, Row]]) -> Iterator[TextChunk]:
    """Group rows into chunks of one split and source each.

    Args:
        rows: each with its split, the number of its source in the split, and its direction. Rows
            of several splits may alternate; each split keeps the order of its rows.
    """
    open_chunks: dict[str, TextChunk] = {}
    for split, source, direction, row in rows:
        chunk = open_chunks.get(split)
        if chunk is None or source != chunk.source or len(chunk.rows) == CHUNK_PAIRS:
            if chunk is not None:
                yield chunk
            chunk = open_chunks[split] = TextChunk(split, source, direction, [])
        chunk.rows.append(row)
    yield from open_chunks.values()


def make_word_splitter(
    text: Text, directions: Sequence[Direction]
) -> Callable[[TextChunk], WordsChunk]:
    """Make the function that splits the sentences of chunks into words.

    Args:
        text: names of the tokenisers, and how text is normalised.
        directions: that occur.
    """
    tokenizers = {direction: make_tokenizers(text, direction) for direction in directions}

    def split(chunk: TextChunk) -> WordsChunk:
        src, tgt = tokenizers[chunk.direction]
        pairs = [(src.tokenize(row[0]), tgt.tokenize(row[1])) for row in chunk.rows]
        content = "".join("\t".join(words) + "\n" for pair in pairs for words in pair)
        counts = (
            Counter(chain.from_iterable(words for words, _ in pairs)),
            Counter(chain.from_iterable(words for _, words in pairs)),
        )
        return WordsChunk(
            chunk.split,
            chunk.source,
            chunk.direction,
            content.encode(),
            len(pairs),
            counts,
            hash_pairs(chunk.rows),
        )

    return split


def read_words(place: WordsSlice) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words of source and target of each pair of a chunk."""
    with place.path.open("rb") as file:
        file.seek(place.start)
        lines = file.read(place.size).decode().split("\n")
    lines.pop()  # after the last line feed
    sentences = (line.split("\t") if line else [] for line in lines)
    return zip(sentences, sentences, strict=True)
