"""Weights for searching: matrices rounded to fewer bits for the products that `linear` asks for.

What was rounded stays beside it: this is for speed, and takes somewhat more memory, not less.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Precision = Literal["float32", "bf16", "int8"]


class PackedWeight(Tensor):
    """A matrix `(out, in)` whose products `linear(x, matrix, bias)` are of lower precision.

    `bf16` multiplies in bfloat16. `int8` rounds each row of the matrix to 8 bits once, and each
    row of inputs as it comes, by its own greatest entry, so that no sentence depends on others in
    its batch. All that is no product sees the matrix as it was: a tied table is still looked up.
    """

    multiply: Any
    """From inputs `(..., in)` to `(..., out)`."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Products go their own way."""
        if func is F.linear and isinstance(args[1], cls):
            bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
            product = args[1].multiply(args[0])
            return product if bias is None else product.add_(bias)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


def pack(weight: Tensor, precision: Precision) -> Tensor:
    """A matrix `(out, in)` for products in some precision.

    Args:
        weight: in float32.
        precision: `int8` on CPUs only.
    """
    weight = weight.detach()
    if precision == "float32":
        return weight
    packed = weight.as_subclass(PackedWeight)
    packed.multiply = _in_bfloat16(weight) if precision == "bf16" else _in_8_bits(weight)
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


def _in_bfloat16(weight: Tensor) -> Any:
    narrow = weight.to(torch.bfloat16)

    def multiply(inputs: Tensor) -> Tensor:
        return F.linear(inputs.to(torch.bfloat16), narrow).to(inputs.dtype)

    return multiply


def _in_8_bits(weight: Tensor) -> Any:
    narrow, scales = _round(weight)
    transposed = narrow.t().contiguous()

    def multiply(inputs: Tensor) -> Tensor:
        rows, row_scales = _round(inputs.reshape(-1, inputs.size(-1)))
        sums = torch._int_mm(rows, transposed)  # exact, in 32 bits
        product = sums.to(inputs.dtype).mul_(row_scales).mul_(scales.t())
        return product.view(*inputs.shape[:-1], -1)

    return multiply


def _round(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Each row in 8 bits `(rows, columns)`, and what a unit of it is worth `(rows, 1)`."""
    greatest = matrix.abs().amax(dim=1, keepdim=True)
    scales = greatest.clamp_(min=torch.finfo(matrix.dtype).tiny) / 127
    return (matrix / scales).round_().to(torch.int8), scales
