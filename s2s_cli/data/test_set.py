"""Reading a test or validation set: from its own files, or the share held out of train."""

from typing import NamedTuple

from s2s_cli.config import Data
from s2s_cli.data.fingerprints import PairDigest
from s2s_cli.data.holdout import Holdout, check_split_sizes
from s2s_cli.data.pairs import PairSource, ParallelText, Row
from s2s_cli.data.splits import find_holdout, name_subset, open_sources, open_splits
from s2s_cli.errors import DataError


def load_test(data: Data) -> list[ParallelText]:
    """Read the test set of a recipe.

    Raises:
        DataError: a file is missing or malformed, or the recipe names no test set.
    """
    return load_test_and_rest(data)[0]


def load_test_and_rest(data: Data) -> tuple[list[ParallelText], dict[str, set[str]]]:
    """Read the test set; if it is held out of train, also hash the other splits of train.

    Returns:
        The text of each source; and for each other split (`train`, perhaps `valid`) its hashes.

    Raises:
        DataError: as `load_test`.
    """
    if data.test is None:
        raise DataError("data.test: the recipe names no test set; give --test-src and --test-tgt")
    if not isinstance(data.test, float):
        return [source.load() for source in open_sources(data.test, data, "test")], {}
    tests, hashes = _load_held_out(data, "test")
    return tests, {name: digests for name, digests in hashes.items() if name != "test"}


def load_valid(data: Data) -> tuple[list[ParallelText], dict[str, set[str]]]:
    """Read the validation set; if it is held out of train, also hash all splits of train.

    Returns:
        The text of each source; and for each split (`train`, `valid`, perhaps `test`) its hashes.

    Raises:
        DataError: a file is missing or malformed.
    """
    if not isinstance(data.valid, float):
        return [source.load() for source in open_sources(data.valid, data, "valid")], {}
    return _load_held_out(data, "valid")


def _load_held_out(data: Data, split: str) -> tuple[list[ParallelText], dict[str, set[str]]]:
    """Read a split that is held out of train, and hash all splits of train."""
    train = open_splits(data, (split,))[0]
    holdout = find_holdout(train, data)
    texts: list[ParallelText] = []
    hashes: dict[str, set[str]] = {name: set() for name in holdout.splits}
    num_pairs = dict.fromkeys(holdout.splits, 0)
    for source in train.sources:
        found = _divide(source, holdout, split)
        num_pairs = {name: num_pairs[name] + found.num_pairs[name] for name in num_pairs}
        for name, digests in hashes.items():
            if found.num_pairs[name]:
                digests.add(found.digests[name])
        if found.rows:
            origin = {name_subset(source, split): found.digests[split]}
            name = f"{source.name}-{split}"
            texts.append(ParallelText(name, source.direction, found.rows, origin))
    check_split_sizes(num_pairs)
    return texts, hashes


class _DividedSource(NamedTuple):
    """A source of train, divided among splits."""

    rows: list[Row]
    """Those of one split."""
    num_pairs: dict[str, int]
    digests: dict[str, str]


def _divide(source: PairSource, holdout: Holdout, split: str) -> _DividedSource:
    """Keep the pairs of one split of a source of train; count and hash those of every split."""
    rows: list[Row] = []
    digests = {name: PairDigest() for name in holdout.splits}
    num_pairs = dict.fromkeys(holdout.splits, 0)
    for row in source.read():
        name = holdout.split_of(row[0])
        digests[name].update(row[:2])
        num_pairs[name] += 1
        if name == split:
            rows.append(row)
    hashes = {name: digest.hexdigest() for name, digest in digests.items()}
    return _DividedSource(rows, num_pairs, hashes)
