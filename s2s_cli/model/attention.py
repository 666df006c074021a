"""Attention: which part of the source matters now."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.layers import select_rows


class Memory(NamedTuple):
    """What the decoder may look at: one encoded batch, computed once."""

    values: Tensor  # (batch, src_len, value)
    keys: Tensor  # (batch, src_len, attention)
    mask: Tensor  # (batch, src_len), True at real tokens

    def select(self, rows: Tensor) -> "Memory":
        """The memory of some sentences of the batch."""
        return Memory(*select_rows(self, rows))


class AdditiveScorer(nn.Module):
    """Bahdanau et al. 2014: e_ij = v . tanh(W s_{i-1} + U h_j).

    Computed as 2 v . sigmoid(2 (W s + U h)): since tanh(x) = 2 sigmoid(2x) - 1, this differs from
    e_ij by the sum of v, the same for all j, which the softmax over j does not see. On CPUs
    torch's tanh takes 6 times as long as its sigmoid (`python -m benchmarks.products`).
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.key = nn.Linear(value_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size))

    def project(self, values: Tensor) -> Tensor:
        """The keys 2 U h_j, `(batch, src_len, attention)`, once for a whole batch."""
        return 2 * self.key(values)  # type: ignore[no-any-return]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Energies `(batch, queries, src_len)` of `query` `(batch, queries, query)`."""
        return self.compare(2 * self.query(query), keys)

    def compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Energies `(batch, queries, src_len)` of 2 W s, `(batch, queries, attention)`."""
        sums = keys.unsqueeze(1) + queries.unsqueeze(2)
        return sums.sigmoid_() @ (2 * self.score)


class GeneralScorer(nn.Module):
    """Luong et al. 2015, general: e_ij = s_i . W h_j."""

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        del attention_size
        self.key = nn.Linear(value_size, query_size, bias=False)

    def project(self, values: Tensor) -> Tensor:
        """The keys W h_j, `(batch, src_len, query)`, once for a whole batch."""
        return self.key(values)  # type: ignore[no-any-return]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Energies `(batch, queries, src_len)` of `query` `(batch, queries, query)`."""
        return query @ keys.transpose(1, 2)


class DotScorer(nn.Module):
    """Luong et al. 2015, dot: e_ij = s_i . h_j; nothing is learnt, so both must be as wide."""

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        del query_size, value_size, attention_size
        self.factor = 1.0

    def project(self, values: Tensor) -> Tensor:
        """The values are the keys."""
        return values * self.factor

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Energies `(batch, queries, src_len)` of `query` `(batch, queries, query)`."""
        return query @ keys.transpose(1, 2)


class ScaledDotScorer(DotScorer):
    """Vaswani et al. 2017: e_ij = s_i . h_j / sqrt(width), so that wide states stay moderate."""

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
    """A scorer, a softmax over the real tokens, and the average of the memory."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        query, value = config.decoder_sizes.hidden, config.encoder_sizes.hidden
        self.scorer = SCORERS[config.attention](query, value, config.attention_size)

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """Project the keys, once for a whole batch.

        Args:
            values: the encoder's outputs `(batch, src_len, value)`.
            mask: `(batch, src_len)`, True at real tokens.
        """
        return Memory(values, self.scorer.project(values), mask)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Average the memory, weighted by its relevance to `query`.

        Args:
            query: `(batch * queries, query)`, decoder states; the rows of one sentence (the
                hypotheses of its beam, or its target positions) stand together and share its
                memory.
            memory: what `remember` returned, of `batch` rows.

        Returns:
            context: `(batch * queries, value)`.
            weights: `(batch * queries, src_len)`; rows sum to 1, padding gets exactly 0.
        """
        queries = query.view(memory.keys.size(0), -1, query.size(-1))
        return average(self.scorer(queries, memory.keys), memory)


def average(energies: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
    """What `Attention` gives, from energies `(batch, queries, src_len)`."""
    energies = energies.masked_fill(~memory.mask.unsqueeze(1), -torch.inf)
    weights = torch.softmax(energies, dim=-1)  # (batch, queries, src_len)
    context = weights @ memory.values  # (batch, queries, value)
    return context.flatten(0, 1), weights.flatten(0, 1)
