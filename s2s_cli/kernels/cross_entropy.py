"""Vocabulary projection, softmax and cross-entropy in one pass, in blocks of tokens.

With readouts X, logits L = X W' + b and targets t, the loss of a token and its gradient are

    l  = logsumexp L - (1 - eps) L_t - eps mean L
    dL = softmax L - (1 - eps) onehot(t) - eps / vocab

and dX = dL W, dW = dL' X, db = sum dL. The loss is the last step of the forward pass, so its
gradient can be computed there as well: for each block of tokens the forward pass overwrites the
logits with their gradient and multiplies that into dX and dW, and the backward pass only scales. A
whole `(tokens, vocab)` matrix never exists. Under autocast the products use its type, the softmax
uses the type of the bias.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

BLOCK_LOGITS = 1 << 23
"""Logits in memory at a time on a CPU: enough that the products are fast."""

CHUNK_LOGITS = 1 << 19
"""Logits that the softmax processes at a time on a CPU: few enough for the processor's cache."""

GPU_LOGITS = 1 << 26
"""Both numbers on a GPU, which is fastest with a few large operations."""


def linear_cross_entropy(
    readouts: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of `linear(readouts, weight, bias)`, summed over tokens, in nats.

    Args:
        readouts: `(tokens, readout)`.
        weight: `(vocab, readout)`.
        bias: `(vocab,)`.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly (Szegedy et al. 2016).
    """
    device_type = readouts.device.type
    if torch.is_autocast_enabled(device_type):
        readouts = readouts.to(torch.get_autocast_dtype(device_type))
    with torch.autocast(device_type, enabled=False):
        return _LinearCrossEntropy.apply(readouts, weight, bias, targets, label_smoothing)  # type: ignore[no-any-return, no-untyped-call]


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any, readouts: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> Tensor:
        loss = torch.zeros((), dtype=bias.dtype, device=bias.device)
        d_readouts = torch.empty_like(readouts)
        d_weight, d_bias = None, torch.zeros_like(bias)
        matrix = weight.to(readouts.dtype)
        limits = (GPU_LOGITS,) * 2 if bias.is_cuda else (BLOCK_LOGITS, CHUNK_LOGITS)
        block_size, chunk_size = (max(1, limit // len(bias)) for limit in limits)
        for first in range(0, len(readouts), block_size):
            block = slice(first, first + block_size)
            logits = readouts[block] @ matrix.t()
            chunks = torch.split(logits, chunk_size), torch.split(targets[block], chunk_size)
            for chunk, chunk_targets in zip(*chunks, strict=True):
                d_chunk, losses = _differentiate(
                    chunk.to(bias.dtype) + bias, chunk_targets, smoothing
                )
                loss += losses.sum()
                d_bias += d_chunk.sum(0)
                chunk.copy_(d_chunk)
            d_logits = logits
            torch.mm(d_logits, matrix, out=d_readouts[block])
            share = (d_logits.t() @ readouts[block]).to(weight.dtype)
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
    """Gradient `(tokens, vocab)`, in the memory of the logits, and losses `(tokens, 1)`."""
    indices = targets.unsqueeze(1)
    target_logits = logits.gather(1, indices)
    mean = logits.mean(1, keepdim=True) if smoothing else target_logits
    highest = logits.amax(1, keepdim=True)
    total = logits.sub_(highest).exp_().sum(1, keepdim=True)
    losses = highest + total.log() - (1 - smoothing) * target_logits - smoothing * mean
    gradient = logits.mul_(1 / total)
    if smoothing:
        gradient -= smoothing / gradient.size(1)
    targets_share = torch.full_like(target_logits, smoothing - 1)
    return gradient.scatter_add_(1, indices, targets_share), losses
