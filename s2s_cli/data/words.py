"""The words of sentence pairs in a temporary file, so that memory does not grow with the text.

A pair takes two lines, source and target, with a TAB between words. No word contains a TAB or a
line break, because tokenisers treat all white space as spaces.

The path of the text: `chunk_rows` groups rows into chunks; worker processes turn each `TextChunk`
into a `WordsChunk` (`make_word_splitter`); `WordsFile` appends the chunks and adds up their counts.
Later, worker processes read the file chunk by chunk (`read_words`), each given a `WordsSlice`.
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
"""Maximum number of pairs in a chunk."""

SideCounts = dict[str, Counter[str]]
"""How often each word of one side of a split occurs, by language."""


class TextChunk(NamedTuple):
    """Some rows of one source of a split."""

    split: str
    source: int
    """Its number among the sources of the split."""
    direction: Direction
    rows: list[Row]


class WordsChunk(NamedTuple):
    """The words of a `TextChunk`, and their counts."""

    split: str
    source: int
    direction: Direction
    content: bytes
    """As in the file."""
    num_pairs: int
    counts: tuple[Counter[str], Counter[str]]
    """How often each word occurs, on the source and the target side."""
    hashes: bytes
    """Fingerprints of the pairs, as `hash_pairs` makes them."""


class WordsSlice(NamedTuple):
    """Where the words of a chunk are in the file."""

    path: Path
    source: int
    start: int
    size: int


class WordsFile:
    """The words of one split on disk, and how often each occurs."""

    def __init__(self, path: Path) -> None:
        """Start an empty file."""
        self.path = path
        self.slices: list[WordsSlice] = []
        self.num_pairs = 0
        self.counts: tuple[SideCounts, SideCounts] = ({}, {})
        self._file: BinaryIO = path.open("wb")

    def append(self, chunk: WordsChunk) -> None:
        """Write a chunk, and add its counts."""
        self.slices.append(
            WordsSlice(self.path, chunk.source, self._file.tell(), len(chunk.content))
        )
        self._file.write(chunk.content)
        self.num_pairs += chunk.num_pairs
        for side, lang, counts in zip(self.counts, chunk.direction, chunk.counts, strict=True):
            side.setdefault(lang, Counter()).update(counts)

    def close(self) -> None:
        """Close the file for writing; all chunks can be read now."""
        self._file.close()


def chunk_rows(rows: Iterable[tuple[str, int, Direction, Row]]) -> Iterator[TextChunk]:
    """Group rows into chunks of one split and source each.

    Args:
        rows: each with its split, the number of its source in the split, and its direction. Rows
            of several splits may alternate; the order within each split is kept.
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
        text: the tokenisers, and how text is normalised.
        directions: of all chunks.
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


def read_words(words: WordsSlice) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words of source and target of each pair of a chunk."""
    with words.path.open("rb") as file:
        file.seek(words.start)
        lines = file.read(words.size).decode().split("\n")
    lines.pop()  # The text after the last line feed is empty.
    sentences = (line.split("\t") if line else [] for line in lines)
    return zip(sentences, sentences, strict=True)
