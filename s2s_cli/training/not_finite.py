"""Which pairs of an update are to blame for a loss that is not finite."""

import torch

from s2s_cli.config import Training
from s2s_cli.data.batch import collate
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
