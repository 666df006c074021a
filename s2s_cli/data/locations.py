"""Where training pairs are in the text: file, line and sentences."""

from collections.abc import Collection

from s2s_cli.config import Data
from s2s_cli.data.splits import find_holdout, open_splits


def locate_pairs(data: Data, numbers: Collection[int]) -> list[str]:
    """Return file, line and sentences of some training pairs.

    The sources are read twice: once to find the source of each pair and its number there, and once
    more to count the lines before it.

    Args:
        data: names the text.
        numbers: of the pairs among all training pairs, from 0; held-out pairs do not count.

    Raises:
        DataError: the text is malformed.
    """
    train = open_splits(data, ())[0]
    holdout = find_holdout(train, data)
    wanted, found, number = {*numbers}, list[str](), -1
    for source in train.sources:
        numbers_in_source: list[int] = []
        for number_in_source, row in enumerate(source.read()):
            if holdout.split_of(row[0]) == "train":
                number += 1
                if number in wanted:
                    numbers_in_source.append(number_in_source)
        if numbers_in_source:
            found += source.locate(numbers_in_source)
    return found
