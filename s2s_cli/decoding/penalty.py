"""What hypotheses of different lengths are ranked by (Wu et al. 2016, GNMT, equation 14)."""

import torch
from torch import Tensor

LENGTH_PENALTIES = {
    "gnmt": lambda length: (5 + length) / 6,
    "length": float,
}
"""The length penalty at alpha 1; each grows with the length."""

LEAST_COVERAGE = 1e-10
"""A word without any attention counts as one with so much: log(0) could not be ranked."""


def length_penalty(length: int, alpha: float, kind: str = "gnmt") -> float:
    """lp(Y): ((5 + |Y|) / 6) ** alpha, or of the kind `length` |Y| ** alpha; eos is counted."""
    return float(LENGTH_PENALTIES[kind](length) ** alpha)


def first_coverage(src_lengths: Tensor, src_len: int, num_tags: int = 0) -> Tensor:
    """Coverage before the first step `(batch, src_len)`: 0 at words, 1 where there is none.

    Language tags, eos and padding need no attention, so they start out covered.

    Args:
        src_lengths: `(batch,)` on the CPU, tags and eos counted.
        src_len: of the longest source.
        num_tags: at the beginning of each source.
    """
    positions = torch.arange(src_len)
    is_word = (positions >= num_tags) & (positions < (src_lengths - 1).unsqueeze(1))
    return 1 - is_word.float()


def coverage_penalty(coverage: Tensor, beta: float) -> Tensor:
    """cp(X; Y) = beta * sum_i log(min(sum_j p_ij, 1)), `(rows,)`: never above 0.

    Args:
        coverage: sum_j p_ij `(rows, src_len)`, attention over the source summed over the target.
        beta: its weight.
    """
    return beta * coverage.clamp(min=LEAST_COVERAGE, max=1).log().sum(-1)
