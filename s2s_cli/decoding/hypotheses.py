"""Finished hypotheses: their attention weights, and the penalties that rank them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.errors import S2SError


class Hypothesis(NamedTuple):
    """A finished translation of one sentence."""

    token_ids: list[int]
    """Without bos and eos."""
    log_prob: float
    """Sum of the tokens' log-probabilities, eos included, in nats."""
    score: float
    """`log_prob` divided by the length penalty, plus the coverage penalty; ranks hypotheses."""
    is_complete: bool
    """False if the length limit forced its eos."""
    row: int
    """The row of the search in which it ended."""
    coverage_penalty: float = 0.0
    """The coverage penalty in `score`."""
    attention_weights: Tensor | None = None
    """Attention of each token, eos included: `(tgt_len, src_len)` on the CPU."""


class Trace:
    """The attention weights of each step of a search, with back pointers.

    A search reorders its rows at every step. To reorder all attention weights so far as well would
    take time quadratic in the length. So the trace keeps the weights of each step as they were, and
    for each row the row of the step before that it continues. The weights of a hypothesis are read
    from its end.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, Tensor]] = []
        self._fetched: list[tuple[list[int], npt.NDArray[np.float32]]] = []

    def add(self, parents: Tensor, attention_weights: Tensor | None) -> None:
        """Record a step; does nothing for a model without attention.

        Args:
            parents: `(rows,)`, for each row the row of the step before that it continues.
            attention_weights: `(rows, src_len)`, with which the rows' tokens were predicted.
        """
        if attention_weights is not None:
            self._steps.append((parents, attention_weights))

    def add_attention(self, hypothesis: Hypothesis) -> Hypothesis:
        """The hypothesis with its attention weights, if the model has attention."""
        if not self._steps:
            return hypothesis
        steps = self._fetch()
        row, weights = hypothesis.row, []
        for parents, attention in steps[len(hypothesis.token_ids) :: -1]:
            weights.append(attention[row])
            row = parents[row]
        return hypothesis._replace(attention_weights=torch.from_numpy(np.stack(weights[::-1])))

    def _fetch(self) -> list[tuple[list[int], npt.NDArray[np.float32]]]:
        """All steps, as lists and arrays: reading single entries of tensors is slow."""
        for parents, weights in self._steps[len(self._fetched) :]:
            self._fetched.append((parents.tolist(), weights.cpu().numpy()))
        return self._fetched


LENGTH_PENALTIES = {
    "gnmt": lambda length: (5 + length) / 6,
    "length": float,
}
"""The length penalty at alpha 1; each grows with the length."""

MIN_COVERAGE = 1e-10
"""Coverage of a word without any attention, because log(0) cannot be ranked."""


def length_penalty(length: int, alpha: float, kind: str = "gnmt") -> float:
    """lp(Y) of Wu et al. 2016: ((5 + |Y|) / 6) ** alpha, or |Y| ** alpha for the kind `length`.

    The length |Y| counts eos.
    """
    return float(LENGTH_PENALTIES[kind](length) ** alpha)


def score_hypothesis(
    log_prob: float, num_tokens: int, coverage_penalty: float, config: Decoding
) -> float:
    """The score s(Y, X) of Wu et al. 2016, which ranks hypotheses: log P / lp(Y) + cp(X; Y).

    Args:
        log_prob: log P(Y | X).
        num_tokens: |Y|, eos counted.
        coverage_penalty: cp(X; Y), weighted.
        config: the length penalty.
    """
    divisor = length_penalty(num_tokens, config.length_penalty, config.length_penalty_kind)
    return log_prob / divisor + coverage_penalty


def coverage_penalty(coverage: Tensor, beta: float) -> Tensor:
    """cp(X; Y) of Wu et al. 2016: beta * sum_i log(min(sum_j p_ij, 1)), never above 0.

    Args:
        coverage: `(rows, src_len)`, sum_j p_ij: attention weights summed over the target tokens.
        beta: the weight of the penalty.

    Returns:
        `(rows,)`.
    """
    return beta * coverage.clamp(min=MIN_COVERAGE, max=1).log().sum(-1)


def init_coverage(src_lengths: Tensor, src_len: int, num_tags: int = 0) -> Tensor:
    """Coverage before the first step, `(batch, src_len)`: 0 at words, 1 elsewhere.

    Language tags, eos and padding need no attention, so they count as covered.

    Args:
        src_lengths: `(batch,)` on the CPU, tags and eos counted.
        src_len: length of the longest source.
        num_tags: number of language tags at the beginning of each source.
    """
    positions = torch.arange(src_len)
    is_word = (positions >= num_tags) & (positions < (src_lengths - 1).unsqueeze(1))
    return 1 - is_word.float()


def check_finished(finished: list[list[Hypothesis]]) -> None:
    """Check that every sentence has a translation.

    Raises:
        S2SError: one has none, because the model's scores are NaN.
    """
    if not all(finished):
        raise S2SError(
            "the model's scores are not numbers (NaN), so no translation is the best; use another "
            "checkpoint, or train again with a lower training.learning_rate"
        )
