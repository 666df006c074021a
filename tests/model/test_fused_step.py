from types import SimpleNamespace

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch.nn import functional as F

from s2s_cli.config import Decoding
from s2s_cli.data.batch import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.errors import ConfigError
from s2s_cli.model.fused_step import FusedStep, can_fuse_step, prepare_search
from s2s_cli.model.packed import PackedWeight, can_reorder, fill_rows, pack
from s2s_cli.model.recurrent import select_rows

ONE_LAYER: list[dict[str, object]] = [
    {"cell": cell, "context": "attention", "num_layers": 1, **more}
    for cell in ("rnn", "gru", "lstm")
    for more in (
        {"readout": "linear"},
        {"readout": "tanh", "layer_norm": True},
        {"readout": "maxout", "tied": "output", "decoder": {"embed_size": 7}},
    )
]
FUSED_KINDS = [kind for kind in (*ALL_KINDS, *ONE_LAYER) if can_fuse_step(make_config(kind))]
SOURCES = [[4, 5, 6, 7, 8], [9], [6, 4, 4]]


@pytest.mark.parametrize("table_entries", [0, 1 << 26])
@pytest.mark.parametrize("kind", FUSED_KINDS, ids=describe_kind)
def test_a_fused_step_is_a_plain_one(
    kind: dict[str, object], table_entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.model.fused_step.TABLE_ENTRIES", table_entries)
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
def test_a_search_finds_the_same_by_fused_steps(beam_size: int) -> None:
    model, config = make_model({"context": "attention"}), Decoding(beam_size=beam_size)
    sources = torch.randint(4, 10, (20, 7)).tolist()
    plain = beam_search(model, *collate_src(sources), config)
    fused = beam_search(FusedStep(model), *collate_src(sources), config)
    for ours, theirs in zip(fused, plain, strict=True):
        assert [found.token_ids for found in ours] == [found.token_ids for found in theirs]
        assert ours[0].score == pytest.approx(theirs[0].score, rel=1e-5)


@pytest.mark.parametrize(("precision", "most"), [("bf16", 1e-2), ("int8", 3e-2)])
def test_packed_products_are_near(precision: str, most: float) -> None:
    weight, inputs, bias = torch.randn(40, 30), torch.randn(2, 9, 30), torch.randn(40)
    packed = pack(weight, precision)  # type: ignore[arg-type]
    exact = F.linear(inputs, weight, bias)
    found = F.linear(inputs, packed, bias)
    assert found.dtype == torch.float32
    assert type(found) is torch.Tensor
    assert 0 < (found - exact).norm() / exact.norm() < most
    alone = F.linear(inputs[1, 3], packed, bias)
    torch.testing.assert_close(alone, found[1, 3], rtol=1e-6, atol=1e-6)


def test_what_is_no_product_sees_a_packed_matrix_as_it_was() -> None:
    weight = torch.randn(6, 5)
    packed, tokens = pack(weight, "int8"), torch.tensor([3, 0])
    assert torch.equal(F.embedding(tokens, packed), weight[tokens])
    assert F.linear(torch.zeros(1, 5), packed).count_nonzero() == 0  # a row of zeros, too


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("kind", ALL_KINDS[::7], ids=describe_kind)
def test_every_kind_searches_in_fewer_bits(kind: dict[str, object], precision: str) -> None:
    torch.manual_seed(2)
    model, sources = make_model(kind), collate_src(SOURCES)
    with torch.inference_mode():
        state, memory = model.encode(*sources)
        exact, _, _ = model.step(torch.tensor([2, 2, 2]), state, memory)
    config = Decoding.model_validate({"precision": precision})
    ready = prepare_search(model, make_config(kind), config)
    with torch.inference_mode():
        state, memory = ready.encode(*sources)
        logits, _, _ = ready.step(torch.tensor([2, 2, 2]), state, memory)
    assert 0 < (logits - exact).norm() / exact.norm() < 0.05
    assert beam_search(ready, *sources, config)


def test_plain_kernels_step_as_the_model_was_trained() -> None:
    kind: dict[str, object] = {"context": "attention"}
    model, config = make_model(kind), make_config(kind)
    assert isinstance(prepare_search(model, config, Decoding()), FusedStep)
    assert prepare_search(model, config, Decoding(kernels="plain")) is model
    assert not isinstance(model.output.projection.weight, PackedWeight)
    other = make_config({"context": "attention", "attention": "general"})
    assert prepare_search(model, other, Decoding()) is model
    assert isinstance(model.output.projection.weight, PackedWeight)


@pytest.mark.skipif(not can_reorder(), reason="no oneDNN here, or none that takes its own order")
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 63, 65, 131, 320])
def test_a_reordered_matrix_multiplies_as_the_matrix_itself(rows: int) -> None:
    weight, inputs, bias = torch.randn(70, 30), torch.randn(rows, 30), torch.randn(70)
    packed = pack(weight, "float32")
    assert isinstance(packed, PackedWeight)
    for added in (None, bias):
        torch.testing.assert_close(F.linear(inputs, packed, added), F.linear(inputs, weight, added))


def test_without_the_order_of_onednn_the_plain_product_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("s2s_cli.model.packed.can_reorder", lambda: False)
    weight, inputs, bias = torch.randn(6, 5), torch.randn(4, 5), torch.randn(6)
    assert type(pack(weight, "float32")) is torch.Tensor
    narrow = F.linear(inputs, pack(weight, "bf16"), bias)
    torch.testing.assert_close(narrow, F.linear(inputs, weight, bias), rtol=2e-2, atol=5e-2)


@pytest.mark.parametrize("operator", [None, lambda *_: torch.ones(3, 16)], ids=["missing", "wrong"])
def test_operators_that_are_missing_or_wrong_are_not_used(
    monkeypatch: pytest.MonkeyPatch, operator: object
) -> None:
    can_reorder.cache_clear()
    operators = SimpleNamespace(_reorder_linear_weight=lambda weight, _: weight)
    if operator is not None:
        operators._linear_pointwise = operator
    monkeypatch.setattr("torch.ops.mkldnn", operators)
    assert not can_reorder()
    can_reorder.cache_clear()


def test_few_numbers_of_rows_come_up_and_none_grows_by_more_than_a_seventh() -> None:
    filled = {number: len(fill_rows(torch.zeros(number, 2))) for number in range(1, 513)}
    assert all(filled[number] == number for number in range(1, 9))
    assert len(set(filled.values())) <= 8 + 8 * 5
    assert all(filled[n] - n < max(8, n / 7) for n in filled)
    assert fill_rows(torch.ones(10, 2))[10:].count_nonzero() == 0


def test_8_bits_are_for_the_cpu() -> None:
    model = make_model({"context": "initial"}).to("meta")
    with pytest.raises(ConfigError, match="no products in 8 bits on meta; choose bf16"):
        prepare_search(model, make_config({}), Decoding(precision="int8"))
