from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from s2s_cli.kernels.packed_weights import PackedWeight, can_reorder, pack, pad_rows


@pytest.mark.parametrize(("precision", "most"), [("bf16", 1e-2), ("int8", 3e-2)])
def test_packed_products_are_close_to_exact_ones(precision: str, most: float) -> None:
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
def test_packed_products_of_any_size_are_right(precision: str, rounding: float) -> None:
    for num_out, num_in, num_rows in product((1, 2, 3, 16, 17), (1, 2, 3, 16, 17), (0, 1, 2, 9)):
        # Integers with a maximum of 127 in every row, which no precision rounds.
        weight = torch.randint(-126, 127, (num_out, num_in)).float()
        inputs = torch.randint(-126, 127, (num_rows, num_in)).float()
        weight[:, 0], inputs[:, 0] = 127, -127
        packed = pack(weight, precision)  # type: ignore[arg-type]
        for layout in (inputs, inputs.t().contiguous().t()):
            found, exact = F.linear(layout, packed), F.linear(inputs, weight)
            torch.testing.assert_close(found, exact, rtol=rounding, atol=0)


def test_other_operations_see_the_original_matrix() -> None:
    weight = torch.randn(6, 5)
    packed, tokens = pack(weight, "int8"), torch.tensor([3, 0])
    assert torch.equal(F.embedding(tokens, packed), weight[tokens])
    assert F.linear(torch.zeros(1, 5), packed).count_nonzero() == 0  # a row of zeros, too


@pytest.mark.parametrize("shape", [(1,), (8,), (9,), (65,), (131,), (600,), (3, 50), ()])
def test_a_reordered_matrix_gives_the_same_products(shape: tuple[int, ...]) -> None:
    weight, inputs, bias = torch.randn(70, 30), torch.randn(*shape, 30), torch.randn(70)
    packed = pack(weight, "float32")
    for added in (None, bias):
        torch.testing.assert_close(F.linear(inputs, packed, added), F.linear(inputs, weight, added))


class Operators:
    """Stand-ins for oneDNN's operators on another machine."""

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
    """A processor without bfloat16."""

    refuses = (torch.bfloat16,)


class Wrong(Operators):
    """Operators whose results are wrong."""

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
def test_matrices_are_reordered_only_where_a_trial_succeeds(
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


def test_padding_leaves_few_different_numbers_of_rows() -> None:
    filled = {number: len(pad_rows(torch.zeros(number, 2))) for number in range(1, 600)}
    assert all(filled[number] == number for number in (*range(1, 9), *range(513, 600)))
    assert all(filled[n] % 8 == 0 and 0 <= filled[n] - n < 8 for n in range(9, 128))
    assert all(filled[n] % 16 == 0 and 0 <= filled[n] - n < n / 8 for n in range(128, 513))
    assert len({filled[number] for number in range(5, 321, 5)}) == 26  # of a beam of 5
    assert pad_rows(torch.ones(10, 2))[10:].count_nonzero() == 0
