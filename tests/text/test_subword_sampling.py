import math
from collections import Counter
from itertools import combinations, pairwise

import pytest
from corpora import learn_subwords

from s2s_cli.text.subword_sampling import (
    SubwordSampler,
    drop_merges,
    make_lattice,
    split_symbols,
)
from s2s_cli.text.subwords import Subwords

LINES = [
    "the lowest tower is lower than the newest one",
    "a newer and wider window shows the widest view",
    "who knows the way to the slowest train",
]
SENTENCES = [[*line.split(), "魑魅"] for line in LINES]
"""With a word that has no pieces."""


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def subwords(request: pytest.FixtureRequest) -> Subwords:
    return learn_subwords(str(request.param), [line.split() for line in LINES * 5], 80, 1.0)


def test_a_draw_depends_on_its_seed_alone(subwords: Subwords) -> None:
    pieces = subwords.segment(SENTENCES[0])
    one, other = SubwordSampler(subwords, 0.3), SubwordSampler(subwords, 0.3)
    draws = [one.draw(pieces, seed) for seed in range(50)]
    assert [other.draw(pieces, seed) for seed in reversed(range(50))] == draws[::-1]
    assert len(set(map(tuple, draws))) > 10


def test_a_draw_does_not_depend_on_the_segmentation_it_starts_from(subwords: Subwords) -> None:
    sampler, pieces = SubwordSampler(subwords, 0.3), subwords.segment(SENTENCES[0])
    for seed in range(20):
        assert sampler.draw(sampler.draw(pieces, seed), 7) == sampler.draw(pieces, 7)


def test_every_draw_spells_the_same_words_in_pieces_of_the_model(subwords: Subwords) -> None:
    sampler = SubwordSampler(subwords, 0.2)
    for words in SENTENCES:
        for seed in range(50):
            drawn = sampler.draw(subwords.segment(words), seed)
            assert subwords.join(drawn) == words
            assert {piece for piece in drawn if piece not in subwords.scores} <= {"魑魅"}


def test_without_chance_a_draw_is_what_sentencepiece_finds_likeliest(subwords: Subwords) -> None:
    certain = SubwordSampler(subwords, 0.0 if subwords.kind == "bpe" else 300.0)
    for words in [*SENTENCES, ["towers", "魑", "win魅dow"]]:
        assert certain.draw(subwords.segment(words), 1) == subwords.segment(words)


def test_dropping_every_merge_leaves_characters() -> None:
    scores = {"▁": -3.0, "a": -4.0, "b": -5.0, "ab": 0.0, "▁a": -1.0}
    assert drop_merges("▁ab", scores, 1.0, lambda: 0.999) == ["▁", "a", "b"]
    assert drop_merges("▁ab", scores, 0.5, lambda: 0.5) == ["▁", "ab"]
    chances = iter([0.6, 0.4, 0.6])  # ▁a stays, ab is dropped; then there is no more to merge
    assert drop_merges("▁ab", scores, 0.5, lambda: next(chances)) == ["▁a", "b"]


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_unigram_draws_follow_the_smoothed_probabilities_of_all_segmentations(
    alpha: float,
) -> None:
    word = "abcab"
    log_probs = {"a": -2.0, "b": -2.5, "c": -1.5, "ab": -1.0, "bc": -3.0, "abc": -2.0, "ca": -4.0}
    weights: dict[tuple[str, ...], float] = {}
    for num_cuts in range(len(word)):
        for cuts in combinations(range(1, len(word)), num_cuts):
            ends = [0, *cuts, len(word)]
            pieces = tuple(word[a:b] for a, b in pairwise(ends))
            if all(piece in log_probs for piece in pieces):
                weights[pieces] = math.exp(alpha * sum(log_probs[piece] for piece in pieces))
    lattice = make_lattice(word, log_probs, alpha, max_length=3, unknown=-14.0)

    def chance(pieces: tuple[str, ...]) -> float:
        """The product of the lattice's chances along one path, from its end."""
        product, end = 1.0, len(word)
        for piece in reversed(pieces):
            column = [0.0, *(reached for reached, _ in lattice[end])]
            at = [start for _, start in lattice[end]].index(end - len(piece))
            product *= column[at + 1] - column[at]
            end -= len(piece)
        return product

    total = sum(weights.values())
    for pieces, weight in weights.items():
        assert chance(pieces) == pytest.approx(weight / total)


def test_the_smaller_alpha_and_the_larger_dropout_cut_more(subwords: Subwords) -> None:
    pieces = [subwords.segment(words) for words in SENTENCES]

    def num_pieces(amount: float) -> int:
        sampler = SubwordSampler(subwords, amount)
        counts = Counter(
            len(sampler.draw(sentence, seed)) for sentence in pieces for seed in range(100)
        )
        return sum(length * count for length, count in counts.items())

    few, many = num_pieces(0.1), num_pieces(0.6)
    assert (few < many) if subwords.kind == "bpe" else (few > many)


def test_a_mark_of_spacing_is_no_character_of_its_own() -> None:
    scores = {"▁￭": -1.0, "▁￭.": -2.0, '"￭': -3.0, '▁"￭': -4.0}
    assert split_symbols("▁￭.", scores) == ["▁￭", "."]
    assert split_symbols('▁"￭', scores) == ["▁", '"￭']
    assert split_symbols("▁￭x￭", scores) == ["▁￭", "x", "￭"]
    assert split_symbols("▁ab", scores) == ["▁", "a", "b"]
    assert drop_merges("▁￭.", scores, 1.0, lambda: 0.0) == ["▁￭", "."]
    assert drop_merges("▁￭.", scores, 0.0, lambda: 0.5) == ["▁￭."]
