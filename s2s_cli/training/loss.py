"""The loss that training minimises, and the token measures of validation."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, send
from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.kernels.cross_entropy import linear_cross_entropy
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.consistency import consistency_loss, double, draw_kept_words, view_weights

AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The 16-bit type of each `training.precision` that has one."""

MAX_EXPONENT = 700.0
"""exp of a larger number overflows float64."""


class LossModule(nn.Module):
    """Forward pass and loss as one module, because DistributedDataParallel wraps one module."""

    def __init__(self, model: Seq2Seq, config: Training) -> None:
        """Take label smoothing, precision and kernels from `config`."""
        super().__init__()
        self.model = model
        self._config = config

    def forward(self, batch: Batch, forcing: float = 1.0) -> Tensor:
        """Compute the loss of a batch, summed over its target tokens, in nats.

        Args:
            batch: on the model's device.
            forcing: probability that a decoder input is the reference token.
        """
        model, config, device = self.model, self._config, batch.src.device
        targets = batch.tgt_out[batch.tgt_mask]
        weights = view_weights(config)
        src, src_lengths, tgt_in, _, tgt_mask, _ = batch if weights is None else double(batch)
        with autocast(config, device):
            if forcing >= 1:
                kept = draw_kept_words(src, config), draw_kept_words(tgt_in, config)
                readouts = model.compute_readouts(src, src_lengths, tgt_in, tgt_mask, kept)
            else:
                # Drawn on the CPU, so that every device gets the same draws.
                forced = send(torch.rand(tgt_in.shape) < forcing, device)
                readouts = model.compute_sampled_readouts(
                    src, src_lengths, tgt_in, tgt_mask, forced
                )
            if model.output.is_fused:
                smoothing = config.label_smoothing
                return linear_cross_entropy(
                    readouts, *model.projection, targets, smoothing, weights
                )
            logits = model.project(readouts).float()
        if weights is None:
            return token_loss(logits, targets, config.label_smoothing)
        return consistency_loss(logits, targets, config.label_smoothing, weights)


def autocast(config: Training, device: torch.device) -> torch.autocast:
    """Compute matrix products in 16 bits inside the block, if the recipe says so."""
    dtype = AUTOCAST_TYPES.get(config.precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def token_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy summed over tokens, in nats.

    Args:
        logits: `(tokens, vocab)`, real positions only.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly (Szegedy et al. 2016).
    """
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


class TokenMeasures(NamedTuple):
    """Averages over real target tokens, eos included."""

    loss: float
    """Negative log-likelihood, nats per token."""
    perplexity: float
    """exp(loss)."""
    accuracy: float
    """Share of tokens, 0 to 1, that are the most probable after the reference prefix."""


@torch.inference_mode()
def measure_tokens(model: Predictor, batches: Iterable[Batch]) -> TokenMeasures:
    """Measure a model in evaluation mode with the reference as decoder input.

    Like `score_pairs`, it considers only tokens that a search may choose.
    """
    loss, num_correct, num_tokens = 0.0, 0, 0
    for batch in batches:
        logits = forbid_markers(model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask))
        targets = batch.tgt_out[batch.tgt_mask]
        loss += token_loss(logits, targets).item()
        num_correct += int((logits.argmax(-1) == targets).sum().item())
        num_tokens += batch.num_tokens
    mean = loss / num_tokens
    return TokenMeasures(mean, math.exp(min(mean, MAX_EXPONENT)), num_correct / num_tokens)
