"""The passes over the text of train: words, pieces, ids; each by a pool of processes, to disk."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.encoded_corpus import (
    EncodedChunk,
    EncodingSettings,
    Written,
    choose_dtype,
    make_encoder,
    write_corpus,
)
from s2s_cli.data.pool import Work, map_in_order
from s2s_cli.data.token_file import (
    TokenChunk,
    TokenFile,
    Tokenization,
    cut,
    make_word_cutter,
    make_word_splitter,
)
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.text.subwords import SubwordPair

Tell = Callable[[str, int, int | None], None]
"""Called with the stage, how many pairs are done, and how many there are, if that is known."""


class Means(NamedTuple):
    """How a pass runs; changes no result."""

    workers: int
    """Processes at most."""
    tell: Tell
    """Called with progress; may raise an error to stop."""


def split_words(
    pairs: Iterable[tuple[int, str, str]],
    config: Config,
    directions: list[Direction],
    path: Path,
    means: Means,
    watch: Callable[[TokenChunk], None] = lambda _: None,
) -> TokenFile:
    """Split sentences into words.

    Args:
        pairs: behind the numbers of their sources.
        config: which tokenisers.
        directions: of the sources.
        path: of the file that is written.
        means: workers and progress.
        watch: called with each chunk of words.
    """
    tokenization = Tokenization(config.text, tuple(directions))
    chunks = map_in_order(Work(make_word_splitter, (tokenization,)), cut(pairs), means.workers)
    words = TokenFile(path, directions)
    return _gather(words, chunks, _Progress("tokenising", None, means.tell), watch)


def cut_into_pieces(words: TokenFile, subwords: SubwordPair, path: Path, means: Means) -> TokenFile:
    """Cut words into the pieces of subword models, on the sides that have one."""
    models = tuple((one.content, one.kind) if one else None for one in subwords)
    chunks = map_in_order(Work(make_word_cutter, models), words.places, means.workers)
    progress = _Progress("cutting words", sum(words.num_pairs), means.tell)
    return _gather(TokenFile(path, words.directions), chunks, progress)


def encode_tokens(
    tokens: TokenFile, vocabularies: Vocabularies, max_length: int, folder: Path, means: Means
) -> Written:
    """Turn tokens into ids, without the pairs that are empty or too long."""
    src, tgt = vocabularies.src, vocabularies.tgt
    encoding = EncodingSettings(
        (src.to_tsv(), tgt.to_tsv()),
        tuple(tuple(src.encode_tag(direction.tgt)) for direction in tokens.directions),
        max_length,
        choose_dtype(len(src), len(tgt)),
    )
    chunks = map_in_order(Work(make_encoder, (encoding,)), tokens.places, means.workers)
    with closing(chunks):
        told = _tell_chunks(chunks, sum(tokens.num_pairs), means.tell)
        return write_corpus(folder, told, len(tokens.directions), encoding.dtype)


class _Progress(NamedTuple):
    """What a pass reports: its name, how many pairs there are if that is known, and where to."""

    stage: str
    total: int | None
    tell: Tell


def _gather(
    gathered: TokenFile,
    chunks: Generator[TokenChunk, None, None],
    progress: _Progress,
    watch: Callable[[TokenChunk], None] = lambda _: None,
) -> TokenFile:
    """Write chunks of tokens as they come."""
    done = 0
    with gathered.path.open("wb") as file, closing(chunks):
        for chunk in chunks:
            watch(chunk)
            gathered.append(file, chunk)
            done += chunk.num_pairs
            progress.tell(progress.stage, done, progress.total)
    return gathered


def _tell_chunks(chunks: Iterable[EncodedChunk], total: int, tell: Tell) -> Iterator[EncodedChunk]:
    """The chunks, each told of."""
    done = 0
    for chunk in chunks:
        done += chunk.num_pairs
        tell("encoding", done, total)
        yield chunk
