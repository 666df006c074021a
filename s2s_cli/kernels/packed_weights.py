"""Weights for searching: matrices made ready once for the products that `linear` asks for.

A search multiplies few rows with the same matrices again and again. Rounding a matrix, and bringing
it into the order in which oneDNN reads it, would otherwise be part of every product. The matrix
itself stays beside what was made of it: this is for speed, and takes more memory, not less.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Precision = Literal["float32", "bf16", "int8"]
Multiply = Callable[[Tensor, Tensor | None], Tensor]
"""From inputs `(..., in)` and a bias `(out,)` to `(..., out)`."""


class PackedWeight(Tensor):
    """A matrix `(out, in)` whose products `linear(x, matrix, bias)` are of some precision.

    `bf16` multiplies in bfloat16. `int8` rounds each row of the matrix to 8 bits once, and each
    row of inputs as it comes, by its own greatest entry, so that no sentence depends on others in
    its batch. All that is no product sees the matrix as it was: a tied table is still looked up.
    """

    product: Multiply

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Products go their own way."""
        if func is F.linear and isinstance(args[1], cls):
            bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
            return args[1].product(args[0], bias)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def pack(weight: Tensor, precision: Precision) -> Tensor:
    """A matrix `(out, in)` for products in some precision.

    Args:
        weight: as it was trained; what cannot be made ready for `float32` is given back.
        precision: `int8` on CPUs only.
    """
    weight = weight.detach()
    if precision == "int8":
        return _with_products(weight, _in_8_bits(weight))
    ready = weight if precision == "float32" else weight.to(torch.bfloat16)
    if weight.device.type == "cpu" and ready.dtype in TYPES and can_reorder(ready.dtype):
        return _with_products(weight, _by_onednn(ready))
    return weight if ready is weight else _with_products(weight, _by_pytorch(ready))


def _with_products(weight: Tensor, multiply: Multiply) -> Tensor:
    packed = weight.as_subclass(PackedWeight)
    packed.product = multiply
    return packed


def pack_products(model: nn.Module, precision: Precision) -> None:
    """Pack all matrices that a model's search multiplies with, in place.

    For one precision, once: what was packed is no parameter any more. It cannot be trained, moved,
    copied or packed anew.

    Args:
        model: on its device.
        precision: of the products.
    """
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.dim() != 2:
                continue
            packed = pack(weight, precision)
            if isinstance(packed, PackedWeight):
                delattr(module, name)
                setattr(module, name, packed)


TYPES = (torch.float32, torch.bfloat16)
"""For which oneDNN has products."""


@cache
def can_reorder(dtype: torch.dtype) -> bool:
    """Whether oneDNN is here and takes matrices of this type that were reordered; it is tried.

    Of bfloat16 not every processor has enough, and the operators are not PyTorch's public ones.
    """
    weight = torch.linspace(-1, 1, 70 * 30).view(70, 30).to(dtype)
    inputs, bias = torch.linspace(-1, 1, 20 * 30).view(20, 30), torch.linspace(-1, 1, 70)
    try:
        found = _by_onednn(weight)(inputs, bias)
    except (AttributeError, RuntimeError):
        return False
    exact = F.linear(inputs, weight.to(inputs.dtype), bias)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    return bool((found - exact).norm() <= tolerance * exact.norm())


def _by_onednn(weight: Tensor) -> Multiply:
    """By the operators that PyTorch has for models it froze."""
    dtype = weight.dtype
    reordered = torch.ops.mkldnn._reorder_linear_weight(weight, USUAL_ROWS)

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows = inputs.reshape(-1, inputs.size(-1))
        filled = fill_rows(rows.to(dtype))
        added = bias if inputs.dtype == dtype else None  # else behind the product, not rounded
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            filled, reordered, added, "none", [], ""
        )
        product = product[: len(rows)].to(inputs.dtype)
        if bias is not None and added is None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], len(weight))

    return multiply


def _by_pytorch(weight: Tensor) -> Multiply:
    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        product = F.linear(inputs.to(weight.dtype), weight).to(inputs.dtype)
        return product if bias is None else product.add_(bias)

    return multiply


def _in_8_bits(weight: Tensor) -> Multiply:
    narrow, scales = _round(weight)
    # Cloned, because `contiguous` keeps the strides of a matrix with one column, by which `_int_mm`
    # would read beyond its end.
    transposed = narrow.t().clone(memory_format=torch.contiguous_format)

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows, row_scales = _round(inputs.reshape(-1, inputs.size(-1)))
        sums = torch._int_mm(rows, transposed)  # exact, in 32 bits
        product = sums.to(inputs.dtype).mul_(row_scales).mul_(scales.t())
        if bias is not None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], len(weight))

    return multiply


USUAL_ROWS = 64
"""For how many rows oneDNN chooses the order of a matrix; any number can be multiplied with it."""

FEW_ROWS = 8
"""So few rows are not filled up; more of them to a multiple of these at least."""

MANY_ROWS = 512
"""More rows than these come from no step of a search, and are not filled up."""


def fill_rows(rows: Tensor) -> Tensor:
    """Rows, and below them zeros up to a multiple of 8; of 16 from 128 rows on, 32 from 256 on.

    oneDNN makes a kernel for every number of rows that it meets, and keeps few. A search loses rows
    from step to step: so few numbers come up, and their kernels serve for several steps.

    Args:
        rows: `(number, in)`.

    Returns:
        `(number or more, in)`.
    """
    number = len(rows)
    step = max(FEW_ROWS, 1 << number.bit_length() >> 4)
    missing = -number % step
    if not missing or not FEW_ROWS < number <= MANY_ROWS:
        return rows
    return F.pad(rows, (0, 0, 0, missing))


def _round(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in 8 bits `(rows, columns)`, and what a unit of it is worth `(rows, 1)`."""
    greatest = matrix.abs().amax(dim=1, keepdim=True)
    scales = greatest.clamp_(min=torch.finfo(matrix.dtype).tiny) / 127
    return (matrix / scales).round_().to(torch.int8), scales
