"""Attention: which part of the source matters now."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.model.recurrent import select_rows


class Memory(NamedTuple):
    """What the decoder may look at: one encoded batch, computed once."""

    values: Tensor  # (batch, src_len, value)
    keys: Tensor  # (batch, src_len, attention)
    mask: Tensor  # (batch, src_len), True at real tokens

    def select(self, rows: Tensor) -> "Memory":
        """The memory of some sentences of the batch."""
        return Memory(*select_rows(self, rows))


class AdditiveAttention(nn.Module):
    """The scorer of Bahdanau et al. 2014: e_ij = v . tanh(W s_{i-1} + U h_j).

    Computed as 2 v . sigmoid(2 (W s + U h)): since tanh(x) = 2 sigmoid(2x) - 1, this differs from
    e_ij by the sum of v, the same for all j, which the softmax over j does not see. On CPUs
    torch's sigmoid is many times faster than its tanh.
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.key = nn.Linear(value_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size))

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """Project the keys U h_j, once for a whole batch.

        Args:
            values: the encoder's outputs `(batch, src_len, value)`.
            mask: `(batch, src_len)`, True at real tokens.
        """
        return Memory(values, 2 * self.key(values), mask)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Average the memory, weighted by its relevance to `query`.

        Args:
            query: `(batch * beam, query)`, the decoder's last hidden states; the beam's rows of
                one sentence stand together and share its memory.
            memory: what `remember` returned, of `batch` rows.

        Returns:
            context: `(batch * beam, value)`.
            weights: `(batch * beam, src_len)`; rows sum to 1, padding gets exactly 0.
        """
        batch = memory.keys.size(0)
        queries = 2 * self.query(query).view(batch, -1, 1, memory.keys.size(-1))
        energies = torch.sigmoid(memory.keys.unsqueeze(1) + queries) @ (2 * self.score)
        energies = energies.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
        weights = torch.softmax(energies, dim=-1)  # (batch, beam, src_len)
        context = weights @ memory.values  # (batch, beam, value)
        return context.flatten(0, 1), weights.flatten(0, 1)
