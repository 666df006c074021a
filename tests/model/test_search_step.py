from itertools import product
from types import SimpleNamespace

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch.nn import functional as F

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.ensemble import Ensemble
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.packed_weights import PackedWeight, can_reorder, fill_rows, pack
from s2s_cli.model.layers import select_rows
from s2s_cli.model.search_step import FusedStep, can_fuse_step, prepare_search

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
    monkeypatch.setattr("s2s_cli.model.search_step.TABLE_ENTRIES", table_entries)
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


@pytest.mark.parametrize(
    ("precision", "rounding"), [("float32", 0), ("bf16", 2**-8), ("int8", 1e-6)]
)
def test_packed_products_are_right_whatever_the_sizes(precision: str, rounding: float) -> None:
    for num_out, num_in, num_rows in product((1, 2, 3, 16, 17), (1, 2, 3, 16, 17), (0, 1, 2, 9)):
        # Whole numbers whose greatest is 127, in every row: what goes in is rounded nowhere.
        weight = torch.randint(-126, 127, (num_out, num_in)).float()
        inputs = torch.randint(-126, 127, (num_rows, num_in)).float()
        weight[:, 0], inputs[:, 0] = 127, -127
        packed = pack(weight, precision)  # type: ignore[arg-type]
        for layout in (inputs, inputs.t().contiguous().t()):
            found, exact = F.linear(layout, packed), F.linear(inputs, weight)
            torch.testing.assert_close(found, exact, rtol=rounding, atol=0)


def test_a_model_prepared_for_searching_never_trains() -> None:
    kind: dict[str, object] = {"context": "attention"}
    sources = collate_src(SOURCES)
    fused = prepare_search(make_model(kind).train(), make_config(kind), Decoding())
    assert not fused.training
    ensemble = Ensemble([fused])
    assert not ensemble.training
    ensemble.train()
    assert not any(module.training for module in fused.modules())
    torch.testing.assert_close(fused.encode(*sources), fused.encode(*sources), rtol=0, atol=0)


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


@pytest.mark.parametrize("kind", ALL_KINDS, ids=describe_kind)
def test_every_kind_searches_as_it_was_trained(kind: dict[str, object]) -> None:
    model, sources = make_model(kind), collate_src(SOURCES)
    tokens, targets = torch.tensor([2, 7, 5]), torch.randint(4, 10, (3, 4))
    mask = torch.tensor([4, 2, 3]).unsqueeze(1) > torch.arange(4)
    with torch.inference_mode():
        state, memory = model.encode(*sources)
        expected = *model.step(tokens, state, memory), model(*sources, targets, mask)
    ready = prepare_search(model, make_config(kind), Decoding())
    with torch.inference_mode():
        state, memory = ready.encode(*sources)
        found = *ready.step(tokens, state, memory), ready(*sources, targets, mask)
    torch.testing.assert_close(found, expected)


def test_what_a_search_multiplies_with_is_reordered_where_that_can_be() -> None:
    kind: dict[str, object] = {"context": "attention", "attention": "general"}
    model = make_model(kind)
    prepare_search(model, make_config(kind), Decoding())
    is_packed = isinstance(model.output.projection.weight, PackedWeight)
    assert is_packed == can_reorder(torch.float32)
    assert is_packed != ("output.projection.weight" in dict(model.named_parameters()))


@pytest.mark.parametrize("shape", [(1,), (8,), (9,), (65,), (131,), (600,), (3, 50), ()])
def test_a_reordered_matrix_multiplies_as_the_matrix_itself(shape: tuple[int, ...]) -> None:
    weight, inputs, bias = torch.randn(70, 30), torch.randn(*shape, 30), torch.randn(70)
    packed = pack(weight, "float32")
    for added in (None, bias):
        torch.testing.assert_close(F.linear(inputs, packed, added), F.linear(inputs, weight, added))


class Operators:
    """oneDNN's as they may be elsewhere."""

    refuses: tuple[torch.dtype, ...] = ()

    def _reorder_linear_weight(self, weight: torch.Tensor, rows: int) -> torch.Tensor:
        if weight.dtype in self.refuses:
            raise RuntimeError("bf16 path needs the cpu support avx512bw")
        return weight

    def _linear_pointwise(
        self, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *rest: object
    ) -> torch.Tensor:
        return F.linear(rows, weight, bias)


class Narrow(Operators):
    """On a processor that lacks what bfloat16 needs."""

    refuses = (torch.bfloat16,)


class Wrong(Operators):
    """They give something else."""

    def _linear_pointwise(
        self, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *rest: object
    ) -> torch.Tensor:
        return 1.1 * F.linear(rows, weight, bias)


@pytest.mark.parametrize(
    ("operators", "expected"),
    [(Operators(), (True, True)), (Narrow(), (True, False))]
    + [(wrong, (False, False)) for wrong in (Wrong(), SimpleNamespace())],
    ids=["all", "no bfloat16", "wrong", "none"],
)
def test_matrices_are_reordered_where_it_was_seen_to_work(
    operators: object, expected: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    can_reorder.cache_clear()
    try:
        monkeypatch.setattr("torch.ops.mkldnn", operators)
        assert (can_reorder(torch.float32), can_reorder(torch.bfloat16)) == expected
        weight, inputs, bias = torch.randn(6, 5), torch.randn(4, 5), torch.randn(6)
        packed, narrow = pack(weight, "float32"), pack(weight, "bf16")
        assert isinstance(packed, PackedWeight) == expected[0]
        exact = F.linear(inputs, weight, bias)
        torch.testing.assert_close(F.linear(inputs, packed, bias), exact)
        torch.testing.assert_close(F.linear(inputs, narrow, bias), exact, rtol=2e-2, atol=5e-2)
    finally:
        can_reorder.cache_clear()


def test_few_numbers_of_rows_come_up() -> None:
    filled = {number: len(fill_rows(torch.zeros(number, 2))) for number in range(1, 600)}
    assert all(filled[number] == number for number in (*range(1, 9), *range(513, 600)))
    assert all(filled[n] % 8 == 0 and 0 <= filled[n] - n < 8 for n in range(9, 128))
    assert all(filled[n] % 16 == 0 and 0 <= filled[n] - n < n / 8 for n in range(128, 513))
    assert len({filled[number] for number in range(5, 321, 5)}) == 26  # of a beam of 5
    assert fill_rows(torch.ones(10, 2))[10:].count_nonzero() == 0


def test_8_bits_are_for_the_cpu() -> None:
    model = make_model({"context": "initial"}).to("meta")
    with pytest.raises(ConfigError, match="no products in 8 bits on meta; choose bf16"):
        prepare_search(model, make_config({}), Decoding(precision="int8"))
