"""Sentences and pairs that also occur in train."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from s2s_cli.checks.leakage import count_leaks
from s2s_cli.data.fingerprints import HASH, Fingerprints, hash_pairs, sort_hashes
from s2s_cli.data.lines import read_lines


def fingerprints_of(pairs: list[tuple[str, str]]) -> Fingerprints:
    with TemporaryDirectory() as folder:
        found = []
        for column in np.frombuffer(hash_pairs(pairs), HASH).reshape(-1, 2).T:
            path = Path(folder) / "hashes"
            path.write_bytes(column.tobytes())
            sort_hashes(path)
            found.append(np.fromfile(path, HASH))
    return Fingerprints(*found)


TRAIN = fingerprints_of([("ein Hund", "a dog"), ("ein Hund", "the dog"), ("zwei Katzen", "cats")])


def test_sources_and_pairs_are_counted_separately() -> None:
    rows = [
        ("ein Hund", "a dog"),
        ("ein Hund", "one dog"),
        ("ein Pferd", "a dog"),
        ("zwei", "cats"),
    ]
    assert count_leaks(rows, TRAIN) == (4, 2, 1)
    assert count_leaks([], TRAIN) == (0, 0, 0)


def test_case_and_white_space_are_ignored() -> None:
    rows = [(" Ein  HUND\t", "A\u3000Dog "), ("einHund", "a dog"), ("ein Hund.", "a dog")]
    assert count_leaks(rows, TRAIN) == (3, 1, 1)


def test_any_of_several_references_counts() -> None:
    assert count_leaks([("ein Hund", "one dog", "The dog", "x")], TRAIN) == (1, 1, 1)


def test_each_hash_is_stored_once_and_in_order() -> None:
    assert len(TRAIN.sources) == 2
    assert len(TRAIN.pairs) == 3
    assert (np.diff(TRAIN.pairs.astype(object)) > 0).all()


def test_planted_pairs_are_found_in_a_real_corpus(real_data: Path) -> None:
    folder = real_data / "tatoeba-zh-en"
    sides = [
        [read_lines(folder / f"{name}.{lang}") for lang in ("zh", "en")]
        for name in ("train", "test")
    ]
    train, test = (list(zip(*side, strict=True)) for side in sides)
    found = count_leaks(test, fingerprints_of(train))
    assert found == (864, 0, 0)  # as the page of the corpus says
    draw = random.Random(1)
    pairs = draw.sample(train, 30)
    other = [(zh, "something else") for zh, _ in draw.sample(train, 12)]
    planted = [*test, *pairs, *other]
    draw.shuffle(planted)
    assert count_leaks(planted, fingerprints_of(train)) == (906, 42, 30)


@pytest.mark.parametrize("at_a_time", [1, 2, 3, 100])
def test_hashes_are_sorted_and_each_is_kept_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr("s2s_cli.data.fingerprints.BLOCK_HASHES", at_a_time)
    for numbers in ([], [7], [3, 1, 3, 2**64 - 1, 1, 0, 3, 0], [5] * 9):
        np.array(numbers, dtype=HASH).tofile(tmp_path / "h")
        sort_hashes(tmp_path / "h")
        assert np.fromfile(tmp_path / "h", HASH).tolist() == sorted({*numbers})
