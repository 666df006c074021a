"""Which pairs are held out of train, compared with a plain computation."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pytest

from s2s_cli.data import holdout
from s2s_cli.data.holdout import check_split_sizes, choose_holdout
from s2s_cli.data.pairs import PairSource, Row
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction


class Text(NamedTuple):
    sources: list[PairSource]
    sentences: list[str]


def make_source(sentences: list[str], name: str = "a") -> PairSource:
    def stream(digests: list[str]) -> Iterator[Row]:
        yield from ((sentence, "x") for sentence in sentences)
        digests.append("")

    return PairSource(name, "train", Direction("de", "en"), 1.0, (), (), (name,), stream)


def make_text(number: int, seed: int = 1) -> Text:
    """Make sentences that occur several times, in several spellings, in two sources."""
    generator = np.random.default_rng(seed)
    spellings = ("go {} now", "Go {} now", " GO  {} now ", "go\t{} now")
    sentences = [
        spellings[generator.integers(4)].format(meaning)
        for meaning in generator.integers(number, size=number).tolist()
    ]
    cut = number // 3
    return Text([make_source(sentences[:cut], "a"), make_source(sentences[cut:], "b")], sentences)


def hash_sentence(seed: int, sentence: str) -> int:
    content = f"{seed}\t{' '.join(sentence.split()).lower()}".encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


@pytest.mark.parametrize("shares", [{"valid": 0.1}, {"valid": 0.2, "test": 0.3}], ids=len)
@pytest.mark.parametrize("seed", [1, 7])
def test_the_smallest_hashes_of_a_small_corpus_are_held_out(
    shares: dict[str, float], seed: int
) -> None:
    text = make_text(300)
    found = choose_holdout(text.sources, shares, seed)
    counts = Counter(hash_sentence(seed, sentence) for sentence in text.sentences)
    bounds = [bound * len(text.sentences) for bound in accumulate(shares.values())]
    expected, num_before = {}, 0
    for value in sorted(counts):
        expected[value] = (*shares, "train")[sum(num_before >= bound for bound in bounds)]
        num_before += counts[value]
    for sentence in text.sentences:
        assert found.split_of(sentence) == expected[hash_sentence(seed, sentence)]
    sizes = Counter(map(found.split_of, text.sentences))
    for name, share in shares.items():  # exact, up to the last group of equal sentences
        assert abs(sizes[name] - share * 300) < max(counts.values())


@pytest.mark.parametrize(
    ("number", "shares", "expected"),
    [
        (1500, {"valid": 0.1, "test": 0.2}, {"valid": 150, "test": 300, "train": 1050}),
        (100, {"valid": 0.07}, {"valid": 7, "train": 93}),
        (1000, {"valid": 0.29, "test": 0.28}, {"valid": 290, "test": 280, "train": 430}),
    ],
    ids=str,
)
def test_the_numbers_of_a_small_corpus_are_exact(
    number: int, shares: dict[str, float], expected: dict[str, int]
) -> None:
    sentences = [f"sentence {index}" for index in range(number)]
    found = choose_holdout([make_source(sentences)], shares, 1)
    assert Counter(map(found.split_of, sentences)) == expected


def test_the_threshold_of_a_large_corpus_is_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdout, "SMALL_CORPUS", 1_000)
    text = make_text(4_000)
    found = choose_holdout(text.sources, {"valid": 0.05, "test": 0.1}, 1)
    assert found.thresholds == (int(0.05 * 2**64), int((0.05 + 0.1) * 2**64))
    sizes = Counter(map(found.split_of, text.sentences))
    # Within five standard deviations, for groups of two on average.
    assert sizes["valid"] == pytest.approx(200, abs=110)
    assert sizes["test"] == pytest.approx(400, abs=150)


def test_only_the_beginning_of_a_large_corpus_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holdout, "SMALL_CORPUS", 10)
    read: list[int] = []

    def stream(_: list[str]) -> Iterator[Row]:
        for number in range(100):
            read.append(number)
            yield str(number), "x"

    source = PairSource("a", "train", Direction("de", "en"), 1.0, (), (), ("a",), stream)
    choose_holdout([source], {"valid": 0.1}, 1)
    assert len(read) == 10


def test_case_and_white_space_do_not_matter() -> None:
    found = choose_holdout(make_text(200).sources, {"valid": 0.5}, 1)
    for meaning in range(200):
        ways = (f"go {meaning} now", f" GO\t{meaning}  Now")
        assert len({found.split_of(way) for way in ways}) == 1


def test_pairs_of_a_large_corpus_stay_in_their_split_when_others_are_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holdout, "SMALL_CORPUS", 100)
    text, more = make_text(300), make_text(600, seed=2)
    one = choose_holdout(text.sources, {"valid": 0.1}, 1)
    other = choose_holdout([*text.sources, *more.sources], {"valid": 0.1}, 1)
    assert [*map(one.split_of, text.sentences)] == [*map(other.split_of, text.sentences)]


def test_a_share_without_pairs_is_refused() -> None:
    check_split_sizes({"train": 3, "valid": 1})
    with pytest.raises(DataError, match=r"data\.valid: 3 pairs are too few to hold out"):
        check_split_sizes({"train": 3, "valid": 0})
