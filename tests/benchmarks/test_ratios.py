import pytest

from benchmarks.ratios import figures, ratios, shares, spread


def test_a_ratio_is_of_neighbours_and_above_one_where_ours_is_better() -> None:
    assert ratios({0: 4.0, 1: 9.0, 2: 6.0}, {0: 2.0, 1: 3.0, 2: 1.0}) == (2.0, 3.0, 6.0, 3)
    assert ratios({0: 4.0}, {0: 2.0}, is_better_high=False) == (0.5, 0.5, 0.5, 1)


def test_only_repetitions_that_both_have_count() -> None:
    assert ratios({0: 4.0, 1: 9.0}, {1: 3.0, 2: 1.0}) == (3.0, 3.0, 3.0, 1)
    assert ratios({0: 4.0}, {}) is None


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    assert spread([4.0, 1.0, 2.0, 10.0]) == (1.0, 3.0, 10.0, 4)


def translated(part: str, seconds: float, sentences: int, tokens: int) -> dict[str, object]:
    return {
        **{"kind": "translate", "system": "s2s", "repetition": 0, "search": "beam5", "part": part},
        **{"wall_seconds": seconds, "sentences": sentences, "tokens": tokens},
    }


def test_without_loading_is_the_time_of_a_single_sentence_less() -> None:
    found = figures([translated("all", 12.0, 101, 1210), translated("one", 2.0, 1, 10)])
    assert found["beam5, with loading"] == {"s2s": {0: pytest.approx(101 / 12)}}
    assert found["beam5, without"] == {"s2s": {0: pytest.approx(100 / 10)}}
    assert found["beam5 tokens"] == {"s2s": {0: pytest.approx(1200 / 10)}}


def test_noise_that_eats_the_difference_gives_no_figure() -> None:
    found = figures([translated("all", 2.0, 101, 1210), translated("one", 2.5, 1, 10)])
    assert found["beam5, with loading"]
    assert not found["beam5, without"]


def test_the_share_takes_the_rate_of_its_own_repetition() -> None:
    rates = {0: {"float32": 100.0}, 1: {"float32": 200.0}}
    # 40 MFLOP a token: 2,500 tokens/s at 100 GFLOP/s, 5,000 at 200.
    found = shares({0: 1250.0, 1: 1250.0, 2: 1.0}, rates, "float32", 40.0)
    assert found == (0.25, 0.375, 0.5, 2)
