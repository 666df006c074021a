"""Weights for searching: matrices made ready for the products that `linear` asks for.

A search multiplies few rows with the same matrices again and again. So they are rounded and brought
into the order that oneDNN reads once, and not for every product. The matrix itself stays beside
what was made of it: this is for speed, and takes more memory, not less.
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

    linear: Multiply

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Products go their own way."""
        if func is F.linear and isinstance(args[1], cls):
            bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
            return args[1].linear(args[0], bias)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def pack(weight: Tensor, precision: Precision) -> Tensor:
    """A matrix `(out, in)` for products in some precision.

    Args:
        weight: in float32; else it stays as it is for products of its own precision.
        precision: `int8` on CPUs only.
    """
    weight = weight.detach()
    by_onednn = weight.device.type == "cpu" and weight.dtype == torch.float32 and can_reorder()
    if precision == "float32" and not by_onednn:
        return weight
    packed = weight.as_subclass(PackedWeight)
    if precision == "int8":
        packed.linear = _in_8_bits(weight)
    else:
        narrow = weight if precision == "float32" else weight.to(torch.bfloat16)
        packed.linear = _by_onednn(narrow) if by_onednn else _by_pytorch(narrow)
    return packed


def pack_products(model: nn.Module, precision: Precision) -> None:
    """Pack all matrices that a model's search multiplies with, in place; it trains no more.

    Args:
        model: on its device.
        precision: of the products.
    """
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.dim() == 2:
                delattr(module, name)
                setattr(module, name, pack(weight, precision))


@cache
def can_reorder() -> bool:
    """Whether oneDNN is here and takes matrices that were reordered; tried, not guessed."""
    weight, inputs = torch.linspace(-1, 1, 512).view(16, 32), torch.linspace(-1, 1, 96).view(3, 32)
    try:
        found = _by_onednn(weight)(inputs, None)
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(found, F.linear(inputs, weight), rtol=1e-4, atol=1e-4)


def _by_onednn(weight: Tensor) -> Multiply:
    """By PyTorch's own operators for frozen models; without them oneDNN reorders each time."""
    reordered = torch.ops.mkldnn._reorder_linear_weight(weight, USUAL_ROWS)

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows = inputs.reshape(-1, inputs.size(-1))
        filled = fill_rows(rows.to(weight.dtype))
        inner = None if inputs.dtype != weight.dtype else bias
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            filled, reordered, inner, "none", [], ""
        )
        product = product[: len(rows)].to(inputs.dtype)
        if bias is not None and inner is None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], -1)

    return multiply


def _by_pytorch(weight: Tensor) -> Multiply:
    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        product = F.linear(inputs.to(weight.dtype), weight).to(inputs.dtype)
        return product if bias is None else product.add_(bias)

    return multiply


def _in_8_bits(weight: Tensor) -> Multiply:
    narrow, scales = _round(weight)
    transposed = narrow.t().contiguous()

    def multiply(inputs: Tensor, bias: Tensor | None) -> Tensor:
        rows, row_scales = _round(inputs.reshape(-1, inputs.size(-1)))
        sums = torch._int_mm(rows, transposed)  # exact, in 32 bits
        product = sums.to(inputs.dtype).mul_(row_scales).mul_(scales.t())
        if bias is not None:
            product.add_(bias)
        return product.view(*inputs.shape[:-1], -1)

    return multiply


USUAL_ROWS = 64
"""For how many rows oneDNN chooses the order of a matrix; it serves from 1 to 320 rows alike."""

FEW_ROWS = 8


def fill_rows(rows: Tensor) -> Tensor:
    """Rows, and below them so many of zeros that few numbers of rows come up: `(more rows, in)`.

    oneDNN makes a kernel for every number of rows that it meets, which takes longer than to
    multiply an eighth more of them. A search loses rows from step to step.
    """
    number = len(rows)
    step = max(FEW_ROWS, 1 << number.bit_length() >> 4)
    missing = -number % step
    if number <= FEW_ROWS or not missing:
        return rows
    return F.pad(rows, (0, 0, 0, missing))


def _round(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in 8 bits `(rows, columns)`, and what a unit of it is worth `(rows, 1)`."""
    greatest = matrix.abs().amax(dim=1, keepdim=True)
    scales = greatest.clamp_(min=torch.finfo(matrix.dtype).tiny) / 127
    return (matrix / scales).round_().to(torch.int8), scales
