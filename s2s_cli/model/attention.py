"""Attention: the memory of a source batch, scorers, and the weighted average.

A scorer computes an energy e_ij for decoder state s_i and encoder output h_j; the softmax over j
gives the attention weights, and the average of the outputs with these weights is the context.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.layers import select_rows


class Memory(NamedTuple):
    """What attention needs of an encoded batch, computed once."""

    values: Tensor  # (batch, src_len, value)
    keys: Tensor  # (batch, src_len, attention)
    mask: Tensor  # (batch, src_len), True at real tokens

    def select(self, rows: Tensor) -> "Memory":
        """The memory of these sentences of the batch."""
        return Memory(*select_rows(self, rows))


class AdditiveScorer(nn.Module):
    """Bahdanau et al. 2014: e_ij = v . tanh(W s_{i-1} + U h_j).

    Computed as 2 v . sigmoid(2 (W s + U h)). Since tanh(x) = 2 sigmoid(2x) - 1, this differs from
    e_ij by the sum of v, which is the same for all j and so cancels in the softmax. On CPUs torch's
    tanh takes 6 times as long as its sigmoid (`python -m benchmarks.products`).
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.key = nn.Linear(value_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size))

    def project_keys(self, values: Tensor) -> Tensor:
        """The keys 2 U h_j, `(batch, src_len, attention)`."""
        return 2 * self.key(values)  # type: ignore[no-any-return]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """From queries `(batch, queries, query)` to energies `(batch, queries, src_len)`."""
        return self.compute_energies(2 * self.query(query), keys)

    def compute_energies(self, projected: Tensor, keys: Tensor) -> Tensor:
        """From 2 W s, `(batch, queries, attention)`, to energies `(batch, queries, src_len)`."""
        sums = keys.unsqueeze(1) + projected.unsqueeze(2)
        return sums.sigmoid_() @ (2 * self.score)


class GeneralScorer(nn.Module):
    """Luong et al. 2015, general: e_ij = s_i . W h_j."""

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        del attention_size
        self.key = nn.Linear(value_size, query_size, bias=False)

    def project_keys(self, values: Tensor) -> Tensor:
        """The keys W h_j, `(batch, src_len, query)`."""
        return self.key(values)  # type: ignore[no-any-return]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """From queries `(batch, queries, query)` to energies `(batch, queries, src_len)`."""
        return query @ keys.transpose(1, 2)


class DotScorer(nn.Module):
    """Luong et al. 2015, dot: e_ij = s_i . h_j, without parameters; both must have one width."""

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        del query_size, value_size, attention_size
        self.factor = 1.0

    def project_keys(self, values: Tensor) -> Tensor:
        """The keys, which are the values times a constant, `(batch, src_len, value)`."""
        return values * self.factor

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """From queries `(batch, queries, query)` to energies `(batch, queries, src_len)`."""
        return query @ keys.transpose(1, 2)


class ScaledDotScorer(DotScorer):
    """Vaswani et al. 2017: e_ij = s_i . h_j / sqrt(width), which bounds the energies' variance."""

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__(query_size, value_size, attention_size)
        self.factor = 1 / math.sqrt(query_size)


Scorer = AdditiveScorer | GeneralScorer | DotScorer
SCORERS: dict[str, type[Scorer]] = {
    "additive": AdditiveScorer,
    "general": GeneralScorer,
    "dot": DotScorer,
    "scaled_dot": ScaledDotScorer,
}


class Attention(nn.Module):
    """A scorer, a softmax over the real tokens, and the weighted average of the memory."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        query, value = config.decoder_sizes.hidden, config.encoder_sizes.hidden
        self.scorer = SCORERS[config.attention](query, value, config.attention_size)

    def make_memory(self, values: Tensor, mask: Tensor) -> Memory:
        """Project the keys, once for a whole batch.

        Args:
            values: the encoder's outputs `(batch, src_len, value)`.
            mask: `(batch, src_len)`, True at real tokens.
        """
        return Memory(values, self.scorer.project_keys(values), mask)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Average the memory, weighted by its relevance to `query`.

        Args:
            query: `(batch * queries, query)`, decoder states; the rows of one sentence (the
                hypotheses of its beam, or its target positions) are adjacent and share its memory.
            memory: what `make_memory` returned, of `batch` rows.

        Returns:
            context: `(batch * queries, value)`.
            attention_weights: `(batch * queries, src_len)`; rows sum to 1, padding gets exactly 0.
        """
        queries = query.view(memory.keys.size(0), -1, query.size(-1))
        return attend(self.scorer(queries, memory.keys), memory)


def attend(energies: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """Context and attention weights, as `Attention`, from energies `(batch, queries, src_len)`."""
    energies = energies.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
    attention_weights = torch.softmax(energies, dim=-1)  # (batch, queries, src_len)
    context = attention_weights @ memory.values  # (batch, queries, value)
    return context.flatten(0, 1), attention_weights.flatten(0, 1)
