"""Consistency training: two different views of a sentence pair must give the same predictions.

Each batch is seen twice, in one forward pass over twice as many rows. Write p and q for the two
distributions of the next token, and CE for the cross-entropy with label smoothing.

R-Drop (Liang et al. 2021): the views differ in their dropout.

    loss = (CE(p) + CE(q)) / 2 + weight / 4 (KL(p || q) + KL(q || p))

SimCut (Gao et al. 2022): the second view also loses whole words, each with the same probability, in
the source and in the decoder's input.

    loss = CE(p) + weight KL(p || q)

All terms are sums over target tokens, and gradients flow through both views.
"""

import torch
from torch import Tensor

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, send
from s2s_cli.kernels.cross_entropy import ViewWeights

CUTTING = "simcut"


def view_weights(config: Training) -> ViewWeights | None:
    """Weights of the terms of the loss; None without consistency training."""
    weight = config.consistency_weight
    match config.consistency:
        case "rdrop":
            return ViewWeights(cross_entropy=(0.5, 0.5), divergence=(weight / 4, weight / 4))
        case "simcut":
            return ViewWeights(cross_entropy=(1.0, 0.0), divergence=(weight, 0.0))
        case _:
            return None


def double(batch: Batch) -> Batch:
    """A batch that has every row twice: first all rows for one view, then all for the other."""
    src, src_lengths, tgt_in, tgt_out, tgt_mask = (torch.cat([part, part]) for part in batch[:5])
    return Batch(src, src_lengths, tgt_in, tgt_out, tgt_mask, batch.num_tokens)


def draw_kept_words(tokens: Tensor, config: Training) -> Tensor | None:
    """Draw which words of a doubled batch keep their embeddings; None if all do.

    Args:
        tokens: `(2 * batch, length)`.
        config: `consistency` and `consistency_cut`.

    Returns:
        `(2 * batch, length)`, all True in the first half.
    """
    if config.consistency != CUTTING:
        return None
    # Drawn on the CPU, so that every device gets the same draws.
    kept = torch.rand(tokens.shape) >= config.consistency_cut
    kept[: len(tokens) // 2] = True
    return send(kept, tokens.device)


def consistency_loss(
    logits: Tensor, targets: Tensor, label_smoothing: float, weights: ViewWeights
) -> Tensor:
    """The loss of two views, summed over target tokens, in nats.

    Args:
        logits: `(2 * tokens, vocab)`, one view after the other.
        targets: `(tokens,)`.
        label_smoothing: probability mass spread evenly over the vocabulary.
        weights: of the terms.
    """
    views = logits.log_softmax(-1).chunk(2)
    loss = logits.new_zeros(())
    for view, other, cross, divergence in zip(views, views[::-1], *weights, strict=True):
        likelihood = view.gather(1, targets.unsqueeze(1)).sum()
        smooth = view.mean(-1).sum()
        loss = loss - cross * ((1 - label_smoothing) * likelihood + label_smoothing * smooth)
        loss = loss + divergence * (view.exp() * (view - other)).sum()
    return loss
