"""Vocabulary projection, softmax and the loss in one pass, in blocks of tokens.

With readouts X, logits L = X W' + b and targets t, the cross-entropy of a token and its gradient
are

    l  = logsumexp L - (1 - eps) L_t - eps mean L
    dL = softmax L - (1 - eps) onehot(t) - eps / vocab

and dX = dL W, dW = dL' X, db = sum dL. The loss is the last step of the forward pass, so its
gradient can be computed there as well: for each block of tokens the forward pass overwrites the
logits with their gradient and multiplies that into dX and dW, and the backward pass only scales. A
whole `(tokens, vocab)` matrix never exists. Under autocast the products use its type, the softmax
uses the type of the bias.

Consistency training compares two views of every token. With p = softmax L of one view, q of the
other, and d = log p - log q, the divergence KL(p || q) = sum p d has the gradients

    p (d - KL(p || q))   for the logits of p
    q - p                for the logits of q
"""

from typing import Any, NamedTuple

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


class ViewWeights(NamedTuple):
    """Weights of the loss of two views of the same tokens."""

    cross_entropy: tuple[float, float]
    """Of each view's cross-entropy."""
    divergence: tuple[float, float]
    """Of KL(first || second) and KL(second || first)."""


def linear_cross_entropy(
    readouts: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    views: ViewWeights | None = None,
) -> Tensor:
    """Cross-entropy of `linear(readouts, weight, bias)`, summed over tokens, in nats.

    Args:
        readouts: `(tokens, readout)`; with two views `(2 * tokens, readout)`, one after the other.
        weight: `(vocab, readout)`.
        bias: `(vocab,)`.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly (Szegedy et al. 2016).
        views: for two views, the weights of their cross-entropies and divergences.
    """
    device_type = readouts.device.type
    if torch.is_autocast_enabled(device_type):
        readouts = readouts.to(torch.get_autocast_dtype(device_type))
    with torch.autocast(device_type, enabled=False):
        return _LinearCrossEntropy.apply(readouts, weight, bias, targets, label_smoothing, views)  # type: ignore[no-any-return, no-untyped-call]


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any,
        readouts: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        views: ViewWeights | None,
    ) -> Tensor:
        loss = torch.zeros((), dtype=bias.dtype, device=bias.device)
        d_readouts = torch.empty_like(readouts)
        d_weight, d_bias = None, torch.zeros_like(bias)
        matrix = weight.to(readouts.dtype)
        num_tokens, num_views = len(targets), 1 if views is None else 2
        limits = (GPU_LOGITS,) * 2 if bias.is_cuda else (BLOCK_LOGITS, CHUNK_LOGITS)
        block_size, chunk_size = (max(1, limit // (num_views * len(bias))) for limit in limits)
        for first in range(0, num_tokens, block_size):
            block = slice(first, min(first + block_size, num_tokens))
            by_view = [
                slice(block.start + shift, block.stop + shift)
                for shift in range(0, num_views * num_tokens, num_tokens)
            ]
            logits = [readouts[rows] @ matrix.t() for rows in by_view]
            chunks = zip(*(torch.split(view, chunk_size) for view in logits), strict=True)
            for pair, chunk_targets in zip(
                chunks, torch.split(targets[block], chunk_size), strict=True
            ):
                wide = [chunk.to(bias.dtype) + bias for chunk in pair]
                if views is None:
                    d_first, losses = _differentiate(wide[0], chunk_targets, smoothing)
                    gradients = [d_first]
                else:
                    gradients, losses = _differentiate_views(
                        (wide[0], wide[1]), chunk_targets, smoothing, views
                    )
                loss += losses.sum()
                for chunk, gradient in zip(pair, gradients, strict=True):
                    d_bias += gradient.sum(0)
                    chunk.copy_(gradient)
            for d_logits, rows in zip(logits, by_view, strict=True):
                torch.mm(d_logits, matrix, out=d_readouts[rows])
                share = (d_logits.t() @ readouts[rows]).to(weight.dtype)
                d_weight = share if d_weight is None else d_weight.add_(share)
        if d_weight is None:  # no tokens at all
            d_weight = torch.zeros_like(weight)
        ctx.save_for_backward(d_readouts, d_weight, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        return (*(gradient * d_loss for gradient in ctx.saved_tensors), None, None, None)


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


def _differentiate_views(
    logits: tuple[Tensor, Tensor], targets: Tensor, smoothing: float, weights: ViewWeights
) -> tuple[list[Tensor], Tensor]:
    """Gradients of two views, each `(tokens, vocab)`, and losses `(tokens, 1)`."""
    indices = targets.unsqueeze(1)
    logs = [view.log_softmax(1) for view in logits]
    shares = [view.exp() for view in logs]
    difference = logs[0] - logs[1]  # d; that of the second view is -d
    losses = torch.zeros_like(indices, dtype=difference.dtype)
    gradients = []
    for number, (cross, own, other) in enumerate(
        zip(weights.cross_entropy, weights.divergence, weights.divergence[::-1], strict=True)
    ):
        sign, share = 1 - 2 * number, shares[number]
        divergence = sign * (share * difference).sum(1, keepdim=True)
        # own KL(p || q): own p (d - KL); other KL(q || p): other (p - q); cross-entropy: cross p
        gradient = difference * (own * sign)
        gradient += cross + other - own * divergence
        gradient *= share
        if other:
            gradient -= other * shares[1 - number]
        if cross:
            target_logs = logs[number].gather(1, indices)
            losses -= cross * (1 - smoothing) * target_logs
            if smoothing:
                losses -= cross * smoothing * logs[number].mean(1, keepdim=True)
                gradient -= cross * smoothing / gradient.size(1)
            gradient.scatter_add_(1, indices, torch.full_like(target_logs, cross * (smoothing - 1)))
        losses += own * divergence
        gradients.append(gradient)
    return gradients, losses
