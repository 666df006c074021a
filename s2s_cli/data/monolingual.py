"""Text of one language to translate: the training sources of a recipe, or a monolingual file."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.data.file_kinds import name_input
from s2s_cli.data.fingerprints import PairDigest
from s2s_cli.data.holdout import Holdout
from s2s_cli.data.lines import check_text, stream_lines
from s2s_cli.data.pairs import PairSource, Reading
from s2s_cli.data.splits import find_holdout, name_subset, open_splits
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction


class MonolingualText(NamedTuple):
    """Text that was read once, to hash and count it, and can be read again."""

    stream: Callable[[], Iterator[str]]
    """Yields all lines; bytes that are not UTF-8 are lone surrogates."""
    num_lines: int
    origin: dict[str, str]
    """Where the text came from: SHA-256 by name."""


def open_monolingual(path: Path) -> MonolingualText:
    """Open a file with one sentence per line (`.gz` is unpacked), or stdin for `-`.

    Raises:
        DataError: the file is missing, unreadable, empty or not UTF-8 text.
    """
    check_text(path)
    digest = hashlib.sha256()
    num_lines = sum(1 for _ in stream_lines(path, digest, "surrogateescape"))
    if not num_lines:
        raise DataError(f"{name_input(path)}: empty; give text with one sentence per line")
    stream = partial(stream_lines, path, errors="surrogateescape")
    return MonolingualText(stream, num_lines, {name_input(path): digest.hexdigest()})


def open_train_sources(data: Data, direction: Direction) -> MonolingualText:
    """Open the source sentences of the training pairs of one direction, without held-out pairs.

    The hashes of its origin are those that a model trained on these pairs has in its card.

    Raises:
        ConfigError: the recipe's splits are inconsistent.
        DataError: a file is missing or malformed, or there are no pairs of this direction.
    """
    (train,) = open_splits(data, ())
    holdout = find_holdout(train, data) if train.is_subset else None
    sources = [source for source in train.sources if str(source.direction) == str(direction)]
    origin: dict[str, str] = {}
    num_lines = sum(1 for _ in _stream_sources(sources, holdout, origin))
    if not num_lines:
        raise DataError(f"data.train: has no pairs of {direction}; name another direction")
    return MonolingualText(partial(_stream_sources, sources, holdout, {}), num_lines, origin)


def _stream_sources(
    sources: Sequence[PairSource], holdout: Holdout | None, origin: dict[str, str]
) -> Iterator[str]:
    """Yield source sentences of training pairs; `origin` receives the hashes of the pairs."""
    for source in sources:
        reading, digest, has_pairs = Reading(), PairDigest(), False
        for row in source.read(reading):
            if holdout is None or holdout.split_of(row[0]) == "train":
                has_pairs = True
                digest.update(row[:2])
                yield row[0]
        if holdout is None:
            origin.update(zip(source.origin_names, reading.digests, strict=True))
        elif has_pairs:
            origin[name_subset(source, "train")] = digest.hexdigest()
