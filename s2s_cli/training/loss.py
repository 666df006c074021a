"""What training minimises, and what validation measures with the reference as input."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s_cli.data.batch import Batch
from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.errors import S2SError

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


def token_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy summed over tokens, in nats.

    Args:
        logits: `(tokens, vocab)`, real positions only.
        targets: `(tokens,)` token ids.
        label_smoothing: probability mass spread evenly (Szegedy et al. 2016).
    """
    return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


@torch.inference_mode()
def measure_tokens(model: Predictor, batches: Iterable[Batch]) -> TokenMeasures:
    """Loss, perplexity and accuracy of a model in evaluation mode over some batches.

    As `decoding.pairs` scores them: among the tokens that a search may choose.

    Raises:
        S2SError: the loss is not finite.
    """
    loss, correct, num_tokens = 0.0, 0, 0
    for batch in batches:
        logits = forbid_markers(model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask))
        targets = batch.tgt_out[batch.tgt_mask]
        loss += token_loss(logits, targets).item()
        correct += int((logits.argmax(-1) == targets).sum().item())
        num_tokens += batch.num_tokens
    mean = loss / num_tokens
    if not math.isfinite(mean):
        raise S2SError("the validation loss is not finite; lower training.learning_rate")
    return TokenMeasures(mean, math.exp(min(mean, MAX_EXPONENT)), correct / num_tokens)
