"""Reading the test set of a recipe: from its own files, or the share held out of train."""

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
    train = open_splits(data, ("test",))[0]
    holdout = find_holdout(train, data)
    tests: list[ParallelText] = []
    rest: dict[str, set[str]] = {name: set() for name in holdout.splits if name != "test"}
    num_pairs = dict.fromkeys(holdout.splits, 0)
    for source in train.sources:
        found = _divide(source, holdout)
        num_pairs = {name: num_pairs[name] + found.num_pairs[name] for name in num_pairs}
        for name, hashes in rest.items():
            if found.num_pairs[name]:
                hashes.add(found.digests[name])
        if found.test_rows:
            origin = {name_subset(source, "test"): found.digests["test"]}
            text = ParallelText(f"{source.name}-test", source.direction, found.test_rows, origin)
            tests.append(text)
    check_split_sizes(num_pairs)
    return tests, rest


class _DividedSource(NamedTuple):
    """A source of train, divided among splits."""

    test_rows: list[Row]
    num_pairs: dict[str, int]
    digests: dict[str, str]


def _divide(source: PairSource, holdout: Holdout) -> _DividedSource:
    """Keep the test pairs of a source of train; count and hash those of every split."""
    rows: list[Row] = []
    digests = {name: PairDigest() for name in holdout.splits}
    num_pairs = dict.fromkeys(holdout.splits, 0)
    for row in source.read():
        name = holdout.split_of(row[0])
        digests[name].update(row[:2])
        num_pairs[name] += 1
        if name == "test":
            rows.append(row)
    hashes = {name: digest.hexdigest() for name, digest in digests.items()}
    return _DividedSource(rows, num_pairs, hashes)
