"""Leakage: validation or test sentences that also occur in train."""

from collections.abc import Iterable, Sequence

from s2s_cli.data.fingerprints import Fingerprints


def count_leaks(rows: Iterable[Sequence[str]], train: Fingerprints) -> tuple[int, int, int]:
    """Count the rows of a split that also occur in train, ignoring case and white space.

    Args:
        rows: source sentences, each with one or more references.
        train: the fingerprints of train.

    Returns:
        The number of all rows, of rows whose source occurs in train, and of rows whose source
        occurs in train with one of their references.
    """
    num_rows = num_sources = num_pairs = 0
    for row in rows:
        has_source, has_pair = train.contain(row)
        num_rows += 1
        num_sources += has_source
        num_pairs += has_pair
    return num_rows, num_sources, num_pairs
