import time

import pytest

from benchmarks.kernels import Comparison, compare_search, compare_training, measure
from s2s_cli.recipe import load_recipe

TINY = {
    "model.embed_size": 4,
    "model.hidden_size": 6,
    "model.attention_size": 5,
    "vocab.max_size": 20,
    "training.batch_size": 2,
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_comparison_runs(precision: str) -> None:
    config = load_recipe("de-en", TINY.items()).config
    compared = [*compare_training(config, precision), *compare_search(config, precision)]
    for comparison in compared:
        assert all(ratio > 0 for ratio in measure(comparison, 1, time.perf_counter))
    assert "training step: all" in [comparison.name for comparison in compared]


def test_a_speed_up_is_off_over_on_and_the_first_round_does_not_count() -> None:
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    comparison = Comparison("", "float32", lambda: work(3.0), lambda: work(2.0))
    assert measure(comparison, 2, lambda: now) == [1.5, 1.5]
