from pathlib import Path

import pytest

from benchmarks.flops import Shape, bound, forward_flops, shape_of, training_flops
from benchmarks.work import FIGURES, Sizes, Work


def test_the_operations_of_a_tiny_model_are_those_counted_by_hand() -> None:
    shape = Shape(embed=2, hidden=4, attention=3, vocab=5, ratio=1.0, src_len=2.0)
    encoder = 2 * (2 * 6 * (2 + 2))  # two directions: 6 gates of width 2 from word 2 and state 2
    keys = query = 2 * 4 * 3
    scores, context = 2 * (2 * 3), 2 * (2 * 4)  # over two source words
    decoder = 2 * 12 * (2 + 4 + 4)  # 12 gates from word, context and state
    readout = 2 * 4 * (4 + 2 + 4)
    output = 2 * 4 * 5
    by_hand = encoder + keys + query + scores + context + decoder + readout + output
    assert by_hand == 96 + 48 + 28 + 240 + 80 + 40
    assert forward_flops(shape) == by_hand
    assert training_flops(shape) == 3 * by_hand


def test_half_the_source_halves_what_depends_on_it_alone() -> None:
    shape = Shape(embed=2, hidden=4, attention=3, vocab=5, ratio=1.0, src_len=2.0)
    assert forward_flops(shape) - forward_flops(shape._replace(ratio=0.5)) == (96 + 24) / 2


def test_the_bound_is_the_rate_over_the_operations() -> None:
    shape = Shape(embed=2, hidden=4, attention=3, vocab=5, ratio=1.0, src_len=2.0)
    assert bound(shape, gflops=1.596e-6) == pytest.approx(1596 / training_flops(shape))


def test_the_shape_counts_the_markers_and_both_ends_of_the_text() -> None:
    work = Work(Path(), "t", Sizes(), FIGURES, 10, (80, 100), (7, 9), "")
    assert shape_of(work) == (256, 512, 512, 9 + 4, 0.8, 8.0)
