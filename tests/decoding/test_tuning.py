import pytest
import torch
from conftest import KINDS, describe_kind, make_model
from test_beam import SOURCES

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.tuning import (
    LENGTH_PENALTIES,
    Trial,
    choose_best,
    search_with_penalties,
)

SETTINGS: list[dict[str, object]] = [
    {"beam_size": 1},
    {"beam_size": 3},
    {"beam_size": 6, "length_penalty_kind": "length", "batch_size": 2},
    {"beam_size": 4, "no_repeat_ngram": 1, "min_length_factor": 1.0},
    {"beam_size": 4, "coverage_penalty": 0.4},
]


@pytest.mark.parametrize("kind", KINDS, ids=describe_kind)
@pytest.mark.parametrize("keys", SETTINGS, ids=str)
def test_one_search_finds_what_a_search_with_each_length_penalty_finds(
    kind: dict[str, object], keys: dict[str, object]
) -> None:
    if kind.get("context", "attention") == "initial" and "coverage_penalty" in keys:
        return  # a coverage penalty needs attention
    model = make_model(kind, scale=8.0)
    config = Decoding.model_validate(keys)
    for source in SOURCES:
        batch = collate_src([source])
        (found,) = search_with_penalties(model, *batch, config, None, 0, LENGTH_PENALTIES)
        for alpha, hypothesis in zip(LENGTH_PENALTIES, found, strict=True):
            ((expected,),) = beam_search(
                model, *batch, config.model_copy(update={"length_penalty": alpha})
            )
            assert hypothesis.token_ids == expected.token_ids
            assert hypothesis.score == expected.score
            if expected.attention_weights is not None:
                assert hypothesis.attention_weights is not None
                assert torch.equal(hypothesis.attention_weights, expected.attention_weights)


def test_length_penalties_change_translations() -> None:
    # Otherwise the test above would prove nothing.
    model = make_model({"context": "attention"}, scale=8.0)
    config = Decoding(beam_size=6)
    found = search_with_penalties(model, *collate_src(SOURCES), config, None, 0, LENGTH_PENALTIES)
    assert any(len({tuple(one.token_ids) for one in of_sentence}) > 1 for of_sentence in found)


def trials(*scores: list[float]) -> list[Trial]:
    return [Trial(size, row, 1.0) for size, row in enumerate(scores, start=1)]


def test_the_highest_score_wins() -> None:
    found = trials([30.0, 31.0, 30.0], [30.0, 30.0, 32.0])
    assert choose_best(found, [0.0, 1.0, 2.0], Decoding()) == (2, 2.0)


def test_of_equal_scores_the_smaller_beam_wins_then_the_penalty_closest_to_the_present_one() -> (
    None
):
    # 31.001 and 31.004 look equal in the table.
    found = trials([30.0, 30.0, 30.0], [31.001, 30.0, 31.0], [30.0, 31.004, 30.0])
    assert choose_best(found, [0.0, 1.0, 1.4], Decoding()) == (2, 1.4)
    found = trials([30.0, 30.0, 30.0])
    assert choose_best(found, [0.0, 1.0, 1.4], Decoding()) == (1, 1.0)
