"""What training minimises, and what validation measures with the reference as input."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch
from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.kernels.cross_entropy import projected_loss
from s2s_cli.model.seq2seq import Seq2Seq

MAX_EXPONENT = 700.0
"""exp of more is no float64."""


class TokenMeasures(NamedTuple):
    """Averages over real target tokens, eos counted."""

    loss: float
    """Negative log-likelihood, nats per token."""
    perplexity: float
    """exp(loss)."""
    accuracy: float
    """Share of tokens, 0 to 1, that are the likeliest ones after the reference's beginning."""


NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The types of 16 bits, by the precision that names them."""


def token_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy summed over tokens, in nats.

    Args:
        logits: `(tokens, vocab)`, real positions only.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly (Szegedy et al. 2016).
    """
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


def batch_loss(model: Seq2Seq, batch: Batch, config: Training, forcing: float = 1.0) -> Tensor:
    """What training minimises, summed over the batch's target tokens, in nats.

    Args:
        model: in training mode.
        batch: on the model's device.
        config: label smoothing, precision and kernels.
        forcing: chance that a decoder input is the reference token.
    """
    targets = batch.tgt_out[batch.tgt_mask]
    with autocast(config, batch.src.device):
        readouts = _read(model, batch, forcing)
        if config.kernels != "plain":
            return projected_loss(readouts, *model.projection, targets, config.label_smoothing)
        logits = model.project(readouts)
    return token_loss(logits.float(), targets, config.label_smoothing)


def autocast(config: Training, device: torch.device) -> torch.autocast:
    """Matrix products in 16 bits while the block runs, if the recipe says so."""
    dtype = NARROW.get(config.precision)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def _read(model: Seq2Seq, batch: Batch, forcing: float) -> Tensor:
    """Readouts `(tokens, readout)` of a batch's real positions."""
    if forcing >= 1:
        return model.read(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    # Drawn on the CPU, so that every device sees the same draws.
    forced = torch.rand(batch.tgt_in.shape) < forcing
    return model.read_sampled(
        batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, forced.to(batch.src.device)
    )


@torch.inference_mode()
def measure_tokens(model: Predictor, batches: Iterable[Batch]) -> TokenMeasures:
    """Loss, perplexity and accuracy of a model in evaluation mode over some batches.

    As `decoding.pairs` scores them: among the tokens that a search may choose.
    """
    loss, correct, num_tokens = 0.0, 0, 0
    for batch in batches:
        logits = forbid_markers(model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask))
        targets = batch.tgt_out[batch.tgt_mask]
        loss += token_loss(logits, targets).item()
        correct += int((logits.argmax(-1) == targets).sum().item())
        num_tokens += batch.num_tokens
    mean = loss / num_tokens
    return TokenMeasures(mean, math.exp(min(mean, MAX_EXPONENT)), correct / num_tokens)
