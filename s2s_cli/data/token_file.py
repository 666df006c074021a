"""Training pairs as tokens in a temporary file, so that they need no memory.

A pair is two lines, its source and its target, of tokens that are parted by TABs: no token holds a
TAB or a line break, since white space in a sentence counts as spaces.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from s2s_cli.config import Text
from s2s_cli.data.fingerprints import RawFingerprints, take_fingerprints
from s2s_cli.data.tokenized import TokenCounts
from s2s_cli.sources import Direction
from s2s_cli.text.subwords import Subwords
from s2s_cli.text.tokenizer import make_tokenizers

CHUNK_PAIRS = 2_000

Pair = tuple[str, str]


class TextChunk(NamedTuple):
    """Some pairs of one source."""

    source: int
    pairs: list[Pair]


class Place(NamedTuple):
    """Where a chunk of one source stands in a token file."""

    path: Path
    source: int
    start: int
    size: int


class TokenChunk(NamedTuple):
    """Some pairs of one source as tokens, and what they add to the counts."""

    source: int
    content: bytes
    num_pairs: int
    num_characters: tuple[int, int]
    counts: tuple[Counter[str], Counter[str]]
    fingerprints: RawFingerprints = RawFingerprints(b"", b"")
    """Of the text that words were made of."""


class Tokenization(NamedTuple):
    """What splits the sentences of each source, in a form that any process understands."""

    text: Text
    directions: tuple[Direction, ...]
    """Of each source."""


@dataclass
class TokenFile:
    """Where the tokens are, and what is known about them."""

    path: Path
    directions: Sequence[Direction]
    """Of each source."""
    places: list[Place] = field(default_factory=list)
    num_pairs: list[int] = field(default_factory=list)
    """Of each source."""
    num_characters: list[tuple[int, int]] = field(default_factory=list)
    """Of the tokens of each source's sides."""
    counts: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )

    def __post_init__(self) -> None:
        self.num_pairs = [0] * len(self.directions)
        self.num_characters = [(0, 0)] * len(self.directions)

    def append(self, file: BinaryIO, chunk: TokenChunk) -> None:
        """Write a chunk behind the others."""
        self.places.append(Place(self.path, chunk.source, file.tell(), len(chunk.content)))
        file.write(chunk.content)
        self.num_pairs[chunk.source] += chunk.num_pairs
        src, tgt = self.num_characters[chunk.source]
        self.num_characters[chunk.source] = (
            src + chunk.num_characters[0],
            tgt + chunk.num_characters[1],
        )
        for counts, more in zip(self.counts, chunk.counts, strict=True):
            counts.update(more)

    def count(self, words: "TokenFile | None" = None) -> TokenCounts:
        """How much there is; `words` is what the tokens were cut from, if they are pieces."""
        src, tgt = (counts.total() for counts in (words or self).counts)
        return TokenCounts(sum(self.num_pairs), (src, tgt), *self.counts)

    def sentences(self, side: int, sources: Iterable[int]) -> Iterator[list[str]]:
        """The tokens of one side of some sources, sentence by sentence, source behind source."""
        for source in sources:
            for place in self.places:
                if place.source == source:
                    yield from read_tokens(place)[side]


def cut(pairs: Iterable[tuple[int, str, str]]) -> Iterator[TextChunk]:
    """Chunks of pairs that come with the number of their source."""
    chunk = TextChunk(0, [])
    for source, src, tgt in pairs:
        if source != chunk.source or len(chunk.pairs) == CHUNK_PAIRS:
            if chunk.pairs:
                yield chunk
            chunk = TextChunk(source, [])
        chunk.pairs.append((src, tgt))
    if chunk.pairs:
        yield chunk


def make_word_splitter(tokenization: Tokenization) -> Callable[[TextChunk], TokenChunk]:
    """What splits the sentences of chunks into words."""
    text, directions = tokenization
    tokenizers = [make_tokenizers(text, direction) for direction in directions]

    def split(chunk: TextChunk) -> TokenChunk:
        src, tgt = tokenizers[chunk.source]
        pairs = [(src.tokenize(one), tgt.tokenize(other)) for one, other in chunk.pairs]
        found = _write_tokens(chunk.source, pairs)
        return found._replace(fingerprints=take_fingerprints(chunk.pairs))

    return split


def make_word_cutter(*subwords: tuple[bytes, str] | None) -> Callable[[Place], TokenChunk]:
    """What cuts the words of chunks into the pieces of subword models, given as bytes and kind."""
    src, tgt = (Subwords(*model, "subwords") if model else None for model in subwords)

    def cut_words(place: Place) -> TokenChunk:
        both = read_tokens(place)
        pieces = [
            side if model is None else [model.segment(words) for words in side]
            for side, model in zip(both, (src, tgt), strict=True)
        ]
        return _write_tokens(place.source, list(zip(*pieces, strict=True)))

    return cut_words


def read_tokens(place: Place) -> tuple[list[list[str]], list[list[str]]]:
    """The tokens of a chunk, source and target."""
    with place.path.open("rb") as file:
        file.seek(place.start)
        lines = file.read(place.size).decode().split("\n")
    lines.pop()  # behind the last line's end
    sentences = [line.split("\t") if line else [] for line in lines]
    return sentences[0::2], sentences[1::2]


def _write_tokens(source: int, pairs: Sequence[tuple[list[str], list[str]]]) -> TokenChunk:
    lines = ("\t".join(tokens) for pair in pairs for tokens in pair)
    content = "".join(f"{line}\n" for line in lines)
    src, tgt = (Counter(chain.from_iterable(side)) for side in zip(*pairs, strict=True))
    num_characters = _count_characters(src), _count_characters(tgt)
    return TokenChunk(source, content.encode(), len(pairs), num_characters, (src, tgt))


def _count_characters(counts: Counter[str]) -> int:
    return sum(len(token) * count for token, count in counts.items())
