"""Ensembles: several models that predict as one."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.kernels.cells import State


class EnsembleMemory(NamedTuple):
    """The members' memories of a batch of sources."""

    memories: tuple[Any, ...]
    num_parts: tuple[int, ...]
    """How many parts of the ensemble's state belong to each member."""

    def select(self, rows: Tensor) -> "EnsembleMemory":
        """The memories of some sentences of the batch."""
        selected = (None if memory is None else memory.select(rows) for memory in self.memories)
        return self._replace(memories=tuple(selected))


class Ensemble(nn.Module):
    """Averages the probabilities of its members at each step.

    The members have the same vocabularies and may differ in everything else. The ensemble's state
    is the parts of all members' states in one tuple, so a search reorders it like one model's.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        """Combine models.

        Args:
            members: each of them a `Predictor`.
        """
        super().__init__()
        self.members = nn.ModuleList(members)
        self.train(members[0].training)  # A new module starts in training mode.

    def _predictors(self) -> Iterable[Predictor]:
        return cast("Iterable[Predictor]", self.members)

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, EnsembleMemory]:
        """Encode a batch of sources with every member.

        Args:
            src: `(batch, src_len)` token ids, padded at the end.
            src_lengths: `(batch,)` on the CPU.
        """
        encoded = [member.encode(src, src_lengths) for member in self._predictors()]
        state = tuple(part for own_state, _ in encoded for part in own_state)
        memories = tuple(memory for _, memory in encoded)
        return state, EnsembleMemory(memories, tuple(len(own_state) for own_state, _ in encoded))

    def step(
        self, token: Tensor, state: State, memory: EnsembleMemory
    ) -> tuple[Tensor, State, Tensor | None]:
        """Predict the next token.

        Args:
            token: `(batch * beam,)`, the last token.
            state: the parts of the members' states.
            memory: what `encode` returned.

        Returns:
            logits: log of the mean probability, `(batch * beam, vocab)`.
            state: after the step.
            attention_weights: `(batch * beam, src_len)`, mean over the members with attention;
                None if there are none.
        """
        all_logits: list[Tensor] = []
        all_weights: list[Tensor] = []
        parts: list[Tensor] = []
        first = 0
        for member, own_memory, num_parts in zip(self._predictors(), *memory, strict=True):
            own_state = state[first : first + num_parts]
            logits, own_state, weights = member.step(token, own_state, own_memory)
            all_logits.append(logits)
            parts.extend(own_state)
            if weights is not None:
                all_weights.append(weights)
            first += num_parts
        mean_weights = torch.stack(all_weights).mean(0) if all_weights else None
        return _average(all_logits), tuple(parts), mean_weights

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Log of the mean probabilities of whole targets, `(tokens, vocab)`, as in `Seq2Seq`."""
        return _average(
            [member(src, src_lengths, tgt_in, tgt_mask) for member in self._predictors()]
        )


def _average(logits: list[Tensor]) -> Tensor:
    """Log of the mean of the members' probabilities; padding and bos get -inf."""
    log_probs = torch.stack([forbid_markers(each).log_softmax(-1) for each in logits])
    return log_probs.logsumexp(0) - math.log(len(logits))
