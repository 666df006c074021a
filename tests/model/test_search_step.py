import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_model

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.model.kernel_selection import has_search_step
from s2s_cli.model.layers import select_rows
from s2s_cli.model.search_step import FusedStep

ONE_LAYER: list[dict[str, object]] = [
    {"cell": cell, "context": "attention", "num_layers": 1, **more}
    for cell in ("rnn", "gru", "lstm")
    for more in (
        {"readout": "linear"},
        {"readout": "tanh", "layer_norm": "output"},
        {"readout": "maxout", "tied": "output", "decoder": {"embed_size": 7}},
    )
]
FUSED_KINDS = [
    kind for kind in (*ALL_KINDS, *ONE_LAYER) if has_search_step(make_model(kind).decoder)
]
SOURCES = [[4, 5, 6, 7, 8], [9], [6, 4, 4]]


@pytest.mark.parametrize("table_entries", [0, 1 << 26])
@pytest.mark.parametrize("kind", FUSED_KINDS, ids=describe_kind)
def test_a_fused_step_equals_a_plain_one(
    kind: dict[str, object], table_entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.model.search_step.MAX_TABLE_ENTRIES", table_entries)
    model = make_model(kind).double()
    fused = FusedStep(model)
    rows = torch.tensor([0, 0, 1, 1, 2, 2])  # beams of two
    with torch.inference_mode():
        state, memory = model.encode(*collate_src(SOURCES))
        ours = theirs = select_rows(state, rows)
        for token in (torch.tensor([2] * 6), torch.arange(3, 9), torch.tensor([9, 9, 3, 0, 5, 4])):
            logits, ours, weights = fused.step(token, ours, memory)
            expected, theirs, expected_weights = model.step(token, theirs, memory)
            torch.testing.assert_close(logits, expected)
            torch.testing.assert_close(weights, expected_weights)
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_search_by_fused_steps_finds_the_same(beam_size: int) -> None:
    model, config = make_model({"context": "attention"}), Decoding(beam_size=beam_size)
    sources = torch.randint(4, 10, (20, 7)).tolist()
    plain = beam_search(model, *collate_src(sources), config)
    fused = beam_search(FusedStep(model), *collate_src(sources), config)
    for ours, theirs in zip(fused, plain, strict=True):
        assert [found.token_ids for found in ours] == [found.token_ids for found in theirs]
        assert ours[0].score == pytest.approx(theirs[0].score, rel=1e-5)
