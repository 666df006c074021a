"""Dropout along sequences: other units at every position, or the same ones all along."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SequenceDropout(nn.Module):
    """Dropout that knows which positions belong to one sentence.

    Plain, every position is dropped on its own; variational, all positions of a sentence share
    one mask (Gal and Ghahramani 2016).
    """

    def __init__(self, probability: float, is_variational: bool) -> None:
        super().__init__()
        self.probability = probability
        self.is_variational = is_variational

    @property
    def shares_masks(self) -> bool:
        """Whether a sentence's positions must be given one mask now."""
        return self.is_variational and self.training and self.probability > 0

    def forward(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Drop units.

        Args:
            inputs: `(batch, length, feature)`; or `(tokens, feature)` of several sentences.
            rows: `(tokens,)` for the latter, which sentence each belongs to; None if each stands
                for one of its own.
        """
        if not self.shares_masks:
            return F.dropout(inputs, self.probability, self.training)
        if inputs.dim() == 3:
            return inputs * self.draw_mask(inputs[:, 0]).unsqueeze(1)
        if rows is None:
            return inputs * self.draw_mask(inputs)
        masks = self.draw_mask(inputs.new_empty(int(rows.max()) + 1, inputs.size(-1)))
        return inputs * masks[rows]

    def draw_mask(self, like: Tensor) -> Tensor:
        """One mask a sentence, `(batch, feature)`: 0, or what keeps the expectation."""
        return F.dropout(torch.ones_like(like), self.probability, self.training)
