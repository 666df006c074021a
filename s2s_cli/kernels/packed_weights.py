"""Matrices prepared once for many products with few rows, as a search computes them.

Every product would otherwise convert the matrix to bfloat16, or reorder it into the layout that
oneDNN reads. The original matrix stays in memory next to the prepared one: packing saves time, not
memory.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Precision = Literal["float32", "bf16", "int8"]
Multiply = Callable[[Tensor, Tensor | None], Tensor]
"""From inputs `(..., in)` and a bias `(out,)` to `(..., out)`."""


class PackedWeight(Tensor):
    """A matrix `(out, in)` whose `F.linear(inputs, matrix, bias)` uses the prepared product.

    `bf16` multiplies in bfloat16. `int8` rounds each row of the matrix to 8 bits once, and each row
    of the inputs at every product. Each row is scaled by its own greatest entry, so that a sentence
    does not depend on the others in its batch. Every operation but `F.linear` sees the original
    matrix, so a tied table can still be looked up.
    """

    product: Multiply

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Redirect `F.linear`; compute everything else with the original matrix."""
        if func is F.linear and isinstance(args[1], cls):
            bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
            return args[1].product(args[0], bias)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def pack(weight: Tensor, precision: Precision) -> Tensor:
    """Prepare a matrix `(out, in)` for products in some precision.

    Args:
        weight: as trained. It is returned as it is where `float32` cannot be prepared.
        precision: `int8` on CPUs only.
    """
    weight = weight.detach()
    if precision == "int8":
        return _with_product(weight, _multiply_int8(weight))
    converted = weight if precision == "float32" else weight.to(torch.bfloat16)
    if (
        weight.device.type == "cpu"
        and converted.dtype in ONEDNN_TYPES
        and can_reorder(converted.dtype)
    ):
        return _with_product(weight, _multiply_reordered(converted))
    return weight if converted is weight else _with_product(weight, _multiply_converted(converted))


def _with_product(weight: Tensor, multiply: Multiply) -> Tensor:
    packed = weight.as_subclass(PackedWeight)
    packed.product = multiply
    return packed


ONEDNN_TYPES = (torch.float32, torch.bfloat16)
"""Types for which oneDNN has products."""


@cache
def can_reorder(dtype: torch.dtype) -> bool:
    """Whether oneDNN's products with reordered matrices work here, found out by trying.

    Not every processor supports bfloat16, and the operators are not part of PyTorch's public
    interface.
    """
    weight = torch.linspace(-1, 1, 70 * 30).view(70, 30).to(dtype)
    inputs, bias = torch.linspace(-1, 1, 20 * 30).view(20, 30), torch.linspace(-1, 1, 70)
    try:
        product = _multiply_reordered(weight)(inputs, bias)
    except (AttributeError, RuntimeError):
        return False
    exact = F.linear(inputs, weight.to(inputs.dtype), bias)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    return bool((product - exact).norm() <= tolerance * exact.norm())


def _multiply_reordered(weight: Tensor) -> Multiply:
    """The product by the operators that PyTorch uses for frozen models."""
    dtype = weight.dtype
    reordered = torch.ops.mkldnn._reorder_linear_weight(weight, TYPICAL_ROWS)

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows = inputs.reshape(-1, inputs.size(-1))
        padded = pad_rows(rows.to(dtype))
        # A bias of another type is added after the product, so that it is not rounded.
        inner_bias = bias if inputs.dtype == dtype else None
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            padded, reordered, inner_bias, "none", [], ""
        )
        product = product[: len(rows)].to(inputs.dtype)
        if bias is not None and inner_bias is None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], len(weight))

    return multiply


def _multiply_converted(weight: Tensor) -> Multiply:
    """PyTorch's own product in the type of `weight`."""

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        product = F.linear(inputs.to(weight.dtype), weight).to(inputs.dtype)
        return product if bias is None else product.add_(bias)

    return multiply


def _multiply_int8(weight: Tensor) -> Multiply:
    rounded, scales = _round_rows(weight)
    # Cloned, because `contiguous` keeps the strides of a matrix with one column, and with those
    # `_int_mm` would read beyond its end.
    transposed = rounded.t().clone(memory_format=torch.contiguous_format)

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows, row_scales = _round_rows(inputs.reshape(-1, inputs.size(-1)))
        sums = torch._int_mm(rows, transposed)  # exact, in 32 bits
        product = sums.to(inputs.dtype).mul_(row_scales).mul_(scales.t())
        if bias is not None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], len(weight))

    return multiply


TYPICAL_ROWS = 64
"""Number of rows for which oneDNN chooses the layout of a matrix; other numbers work as well."""

FEW_ROWS = 8
"""So few rows are not padded; more are padded to a multiple of at least this number."""

MANY_ROWS = 512
"""More rows than these do not come from a step of a search, and are not padded."""


def pad_rows(rows: Tensor) -> Tensor:
    """Append zeros up to a multiple of 8 rows; of 16 from 128 rows on, of 32 from 256 rows on.

    oneDNN compiles a kernel for each number of rows and caches only a few. A search has fewer rows
    from step to step; with padding it meets few numbers, and each compiled kernel serves several
    steps.

    Args:
        rows: `(rows, in)`.

    Returns:
        `(rows or more, in)`.
    """
    number = len(rows)
    multiple = max(FEW_ROWS, 1 << number.bit_length() >> 4)
    missing = -number % multiple
    if not missing or not FEW_ROWS < number <= MANY_ROWS:
        return rows
    return F.pad(rows, (0, 0, 0, missing))


def _round_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as 8-bit integers `(rows, columns)`, and the value of one unit in each `(rows, 1)`."""
    greatest = matrix.abs().amax(dim=1, keepdim=True)
    scales = greatest.clamp_(min=torch.finfo(matrix.dtype).tiny) / 127
    return (matrix / scales).round_().to(torch.int8), scales
