"""Training text in memory, and its words on disk, for tests."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Config, Data
from s2s_cli.data.pairs import ParallelText, Row, open_files, open_table
from s2s_cli.data.splits import SplitText, find_holdout, open_splits
from s2s_cli.data.test_set import load_test
from s2s_cli.data.words import WordsFile, chunk_rows, make_word_splitter
from s2s_cli.sources import Direction, ParallelFiles, TableFile
from s2s_cli.text.subwords import Subwords, train_subwords

ANY = Direction("de", "en")


class Splits(NamedTuple):
    """The pairs of each source of train, and of each source of valid."""

    train: list[ParallelText]
    valid: list[ParallelText]


def load_training(data: Data) -> Splits:
    """Read training and validation text: one `ParallelText` for each source with pairs."""
    texts = open_splits(data, ("valid",))
    train, valid = (_load(text, data) for text in texts)
    return Splits(train, valid)


def _load(text: SplitText, data: Data) -> list[ParallelText]:
    holdout = find_holdout(text, data) if text.is_subset else None
    found = []
    for source in text.sources:
        rows = [
            row for row in source.read() if holdout is None or holdout.split_of(row[0]) == text.name
        ]
        found.append(ParallelText(source.name, source.direction, rows, {}))
    return [one for one in found if one.rows]


def load_rows(data: Data) -> dict[str, list[Row]]:
    """Read all pairs of each split."""
    train, valid = load_training(data)
    splits = {"train": train, "valid": valid}
    if data.test is not None:
        splits["test"] = load_test(data)
    return {name: [row for text in texts for row in text.pairs] for name, texts in splits.items()}


def read_parallel(*paths: Path) -> ParallelText:
    """Read line-aligned files."""
    source = ParallelFiles(src=str(paths[0]), tgt=tuple(map(str, paths[1:])))
    return open_files(source, paths, "test", ANY).load()


def read_table(table: TableFile, path: Path) -> ParallelText:
    """Read a table."""
    return open_table(table, path, "test", ANY).load()


def split_on_disk(folder: Path, config: Config, texts: Iterable[ParallelText]) -> WordsFile:
    """Split texts in memory into words on disk."""
    rows = (
        ("train", number, text.direction, row)
        for number, text in enumerate(texts)
        for row in text.pairs
    )
    words = WordsFile(folder / "words")
    for chunk in map(make_word_splitter(config.text, config.data.all_directions), chunk_rows(rows)):
        words.append(chunk)
    words.close()
    return words


def learn_subwords(
    kind: str, sentences: Iterable[Iterable[str]], max_size: int, coverage: float, num_tags: int = 0
) -> Subwords:
    """Learn subwords from sentences, each given by its words."""
    words = Counter(word for sentence in sentences for word in sentence)
    return train_subwords(kind, words, max_size, coverage, num_tags)
