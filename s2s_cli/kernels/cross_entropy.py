"""Vocabulary projection, softmax and cross-entropy in one: training's dearest part, in blocks.

With readouts X, logits L = X W' + b and targets t, the loss of a token and its gradient are

    l  = logsumexp L - (1 - eps) L_t - eps mean L
    dL = softmax L - (1 - eps) [t] - eps / vocab

and dX = dL W, dW = dL' X, db = sum dL. All of it needs nothing that comes later, so a block of
tokens goes all the way while its logits are at hand: they are overwritten by their gradient, and
`(tokens, vocab)` is never held as a whole. Under autocast the products are in its type, the softmax
in float32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

BLOCK_LOGITS = 1 << 23
"""Logits held at a time: products large enough to be fast."""

CHUNK_LOGITS = 1 << 19
"""Logits that the softmax goes over at a time: they stay in the processor's cache."""

GPU_LOGITS = 1 << 26
"""Both on a GPU, which wants few large pieces of work."""


def projected_loss(
    readouts: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """As `token_loss(linear(readouts, weight, bias), targets, label_smoothing)`.

    Args:
        readouts: `(tokens, readout)`.
        weight: `(vocab, readout)`.
        bias: `(vocab,)`.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly.
    """
    kind = readouts.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        readouts = readouts.to(dtype)
    with torch.autocast(kind, enabled=False):
        return _ProjectedLoss.apply(readouts, weight, bias, targets, label_smoothing)  # type: ignore[no-any-return, no-untyped-call]


class _ProjectedLoss(Function):
    @staticmethod
    def forward(
        ctx: Any, readouts: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> Tensor:
        loss = torch.zeros((), dtype=bias.dtype, device=bias.device)
        d_readouts = torch.empty_like(readouts)
        d_weight, d_bias = None, torch.zeros_like(bias)
        matrix = weight.to(readouts.dtype)
        sizes = (GPU_LOGITS,) * 2 if bias.is_cuda else (BLOCK_LOGITS, CHUNK_LOGITS)
        block, chunk = (max(1, most // len(bias)) for most in sizes)
        for first in range(0, len(readouts), block):
            part = slice(first, first + block)
            logits = readouts[part] @ matrix.t()
            chunks = torch.split(logits, chunk), torch.split(targets[part], chunk)
            for some, wanted in zip(*chunks, strict=True):
                gradient, losses = _differentiate(some.to(bias.dtype) + bias, wanted, smoothing)
                loss += losses.sum()
                d_bias += gradient.sum(0)
                some.copy_(gradient)
            torch.mm(logits, matrix, out=d_readouts[part])
            share = (logits.t() @ readouts[part]).to(weight.dtype)
            d_weight = share if d_weight is None else d_weight.add_(share)
        if d_weight is None:  # no tokens at all
            d_weight = torch.zeros_like(weight)
        ctx.save_for_backward(d_readouts, d_weight, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * d_loss for gradient in ctx.saved_tensors), None, None)


def _differentiate(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The loss of each token `(tokens,)`, and the gradient in the place of the logits."""
    places = targets.unsqueeze(1)
    wanted = logits.gather(1, places)
    mean = logits.mean(1, keepdim=True) if smoothing else wanted
    highest = logits.amax(1, keepdim=True)
    total = logits.sub_(highest).exp_().sum(1, keepdim=True)
    losses = highest + total.log() - (1 - smoothing) * wanted - smoothing * mean
    gradient = logits.mul_(1 / total)
    if smoothing:
        gradient -= smoothing / gradient.size(1)
    return gradient.scatter_add_(1, places, torch.full_like(wanted, smoothing - 1)), losses
