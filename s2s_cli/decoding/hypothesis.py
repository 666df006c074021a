"""What a search finds, and the trace of how it got there."""

from typing import NamedTuple

import torch
from torch import Tensor


class Hypothesis(NamedTuple):
    """One translation of one sentence."""

    token_ids: list[int]
    """Without bos and eos."""
    log_prob: float
    """Sum of the tokens' log-probabilities, eos included, in nats."""
    score: float
    """`log_prob` over the length penalty, plus the coverage penalty: what ranks hypotheses."""
    weights: Tensor | None
    """Attention of each token, eos included: `(tgt_len, src_len)` on the CPU."""
    is_complete: bool
    """False if its eos was forced by the length limit."""


class Finished(NamedTuple):
    """A hypothesis that has ended, with the place in the trace where its attention ends."""

    hypothesis: Hypothesis  # without weights
    step: int
    row: int


class Trace:
    """The attention of each step, with back pointers: a hypothesis's is read from its end.

    Rows are numbered as they were at their step; the search drops rows as sentences get done.
    """

    def __init__(self) -> None:
        self._parents: list[Tensor] = []
        self._weights: list[Tensor] = []

    def add(self, parents: Tensor, weights: Tensor | None) -> None:
        """Note a step; without attention there is nothing to note.

        Args:
            parents: rows of the step before that its rows continue, `(rows,)`.
            weights: attention `(rows, src_len)` with which their tokens were chosen.
        """
        if weights is not None:
            self._parents.append(parents)
            self._weights.append(weights)

    def read(self, finished: Finished) -> Hypothesis:
        """The hypothesis with its attention, if the model has any."""
        if not self._weights:
            return finished.hypothesis
        self._fetch()
        row, weights = finished.row, []
        for step in range(finished.step, -1, -1):
            weights.append(self._weights[step][row])
            row = int(self._parents[step][row])
        return finished.hypothesis._replace(weights=torch.stack(weights[::-1]))

    def _fetch(self) -> None:
        """Bring all steps to the processor, so that no entry has to be asked for by itself."""
        if self._weights[-1].device.type != "cpu":
            self._parents = [parents.cpu() for parents in self._parents]
            self._weights = [weights.cpu() for weights in self._weights]
