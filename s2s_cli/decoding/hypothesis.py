"""What a search finds, and the trace of how it got there."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
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
        self._steps: list[tuple[Tensor, Tensor]] = []
        self._fetched: list[tuple[list[int], npt.NDArray[np.float32]]] = []

    def add(self, parents: Tensor, weights: Tensor | None) -> None:
        """Note a step; without attention there is nothing to note.

        Args:
            parents: rows of the step before that its rows continue, `(rows,)`.
            weights: attention `(rows, src_len)` with which their tokens were chosen.
        """
        if weights is not None:
            self._steps.append((parents, weights))

    def read(self, finished: Finished) -> Hypothesis:
        """The hypothesis with its attention, if the model has any."""
        if not self._steps:
            return finished.hypothesis
        steps = self._fetch()
        row, weights = finished.row, []
        for parents, attention in steps[finished.step :: -1]:
            weights.append(attention[row])
            row = parents[row]
        return finished.hypothesis._replace(weights=torch.from_numpy(np.stack(weights[::-1])))

    def _fetch(self) -> list[tuple[list[int], npt.NDArray[np.float32]]]:
        """All steps where single entries are cheap to ask for."""
        for parents, weights in self._steps[len(self._fetched) :]:
            self._fetched.append((parents.tolist(), weights.cpu().numpy()))
        return self._fetched
