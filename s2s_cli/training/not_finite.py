"""A loss that is not finite: which pairs of an update are to blame, and what to say of it."""

import torch

from s2s_cli.config import Training
from s2s_cli.data.batching import collate
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.loop import Progress
from s2s_cli.training.loss import batch_loss
from s2s_cli.training.validate import Material


@torch.no_grad()
def find_not_finite(
    model: Seq2Seq, material: Material, progress: Progress, config: Training
) -> list[int]:
    """The pairs of an update whose own loss is not finite; all of them if none is by itself."""
    device = next(model.parameters()).device
    pairs = material.pairs_of(progress.position.epoch)
    model.eval()
    found = [
        index
        for index in progress.pairs
        if not bool(batch_loss(model, collate([pairs[index]]).to(device), config).isfinite())
    ]
    return found or list(progress.pairs)


def explain_skipped(progress: Progress, number: int, most: int) -> str:
    """Why a training ends: more of an epoch's updates were left out than are allowed.

    Args:
        progress: the last of them.
        number: how many there were.
        most: how many are allowed.
    """
    return (
        f"the loss or its gradient is not finite in {number} "
        f"update{'s'[: number > 1]} of epoch {progress.position.epoch + 1} "
        f"(training.max_skipped {most}), update {progress.position.step:,} the last; none of them "
        "reached the weights, and the last saved state is whole; look at the pairs named above, "
        f"lower training.learning_rate ({progress.learning_rate:g}), or train in float32"
    )
