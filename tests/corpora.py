"""Training text in memory, and its tokens on disk, for tests."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from s2s_cli.config import Config, Data
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.parts import Parts, name_digests
from s2s_cli.data.sentence_pairs import open_files, open_table
from s2s_cli.data.splits import load_split, open_training
from s2s_cli.data.token_file import (
    TokenChunk,
    TokenFile,
    Tokenization,
    cut,
    make_word_cutter,
    make_word_splitter,
)
from s2s_cli.sources import Direction, ParallelFiles, TableFile
from s2s_cli.text.subwords import SubwordPair

ANY = Direction("de", "en")


def load_training(data: Data) -> tuple[list[Corpus], list[Corpus]]:
    """The training and the validation corpora of a recipe, one for each source."""
    text = open_training(data)
    parts = Parts(text.sources, text.deal())
    pairs: list[list[tuple[str, str]]] = [[] for _ in text.sources]
    for number, src, tgt in parts.read(keep=("valid",)):
        pairs[number].append((src, tgt))
    train = []
    for number, (source, digests) in enumerate(
        zip(text.sources, parts.digests("train"), strict=True)
    ):
        origin = name_digests([source], "train", [digests], is_dealt=bool(text.held_out))
        corpus = Corpus(
            name=source.name,
            src=[src for src, _ in pairs[number]],
            tgt=[tgt for _, tgt in pairs[number]],
            num_blank=parts.findings[number].num_blank,
            origin=origin,
            weight=source.weight,
            src_lang=source.direction.src,
            tgt_lang=source.direction.tgt,
        )
        if corpus.src:
            train.append(corpus)
    if "valid" in parts.names:
        return train, parts.corpora("valid")
    return train, load_split(data.valid, data, "valid")


def read_parallel(*paths: Path) -> Corpus:
    """Files whose lines belong together."""
    source = ParallelFiles(src=str(paths[0]), tgt=tuple(map(str, paths[1:])))
    return open_files(source, paths, "test", ANY).load()


def read_table(table: TableFile, path: Path) -> Corpus:
    """The pairs of a table."""
    return open_table(table, path, "test", ANY).load()


def tokenize_on_disk(
    folder: Path, config: Config, corpora: list[Corpus], workers: int = 1
) -> TokenFile:
    """The words of corpora that are at hand."""
    tokenization = Tokenization(config.text, tuple(corpus.direction for corpus in corpora))
    pairs = (
        (number, src, tgt)
        for number, corpus in enumerate(corpora)
        for src, tgt in zip(corpus.src, corpus.tgt, strict=True)
    )
    chunks = map(make_word_splitter(tokenization), cut(pairs))
    return gather(folder / "words", tokenization.directions, chunks)


def cut_on_disk(folder: Path, words: TokenFile, subwords: SubwordPair) -> TokenFile:
    """The pieces of words."""
    models = tuple((one.content, one.kind) if one else None for one in subwords)
    chunks = map(make_word_cutter(*models), words.places)
    return gather(folder / "pieces", words.directions, chunks)


def gather(path: Path, directions: Sequence[Direction], chunks: Iterable[TokenChunk]) -> TokenFile:
    gathered = TokenFile(path, directions)
    with path.open("wb") as file:
        for chunk in chunks:
            gathered.append(file, chunk)
    return gathered
