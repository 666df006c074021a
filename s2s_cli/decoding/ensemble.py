"""Several models that predict as one."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from s2s_cli.decoding.predictor import forbid_markers
from s2s_cli.kernels.cells import State
from s2s_cli.model.decoders import DecoderMemory
from s2s_cli.model.search_step import FusedStep
from s2s_cli.model.seq2seq import Seq2Seq


class EnsembleMemory(NamedTuple):
    """What the members remember of a batch of sources."""

    memories: tuple[DecoderMemory, ...]
    num_parts: tuple[int, ...]
    """How many parts of the common state are each member's."""

    def select(self, rows: Tensor) -> "EnsembleMemory":
        """The memory of some sentences of the batch."""
        selected = (None if memory is None else memory.select(rows) for memory in self.memories)
        return self._replace(memories=tuple(selected))


class Ensemble(nn.Module):
    """Averages its members' probabilities at each step.

    The members share vocabularies, and may differ in all else. Their states stand one after the
    other in one `State`, so that a search reorders them as it does one model's.
    """

    def __init__(self, members: Sequence[Seq2Seq | FusedStep]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.train(members[0].training)  # A new module trains; its members may not.

    def _members(self) -> Iterable[Seq2Seq | FusedStep]:
        return cast("Iterable[Seq2Seq | FusedStep]", self.members)

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, EnsembleMemory]:
        """Let every member read the source.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
        """
        encoded = [member.encode(src, src_lengths) for member in self._members()]
        states, memories = zip(*encoded, strict=True)
        state = tuple(part for own_state in states for part in own_state)
        return state, EnsembleMemory(memories, tuple(map(len, states)))

    def step(
        self, token: Tensor, state: State, memory: EnsembleMemory
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search.

        Args:
            token: last token `(batch * beam,)`.
            state: the members' states, one after the other.
            memory: what `encode` returned.

        Returns:
            logits: log of the average probability, `(batch * beam, vocab)`.
            state: after the step.
            weights: attention `(batch * beam, src_len)`, averaged over the members that have some.
        """
        logits: list[Tensor] = []
        parts: list[Tensor] = []
        weights: list[Tensor] = []
        first = 0
        for member, own_memory, num_parts in zip(self._members(), *memory, strict=True):
            own_state = state[first : first + num_parts]
            found = member.step(token, own_state, own_memory)
            logits.append(found[0])
            parts.extend(found[1])
            if found[2] is not None:
                weights.append(found[2])
            first += num_parts
        return _average(logits), tuple(parts), torch.stack(weights).mean(0) if weights else None

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Log of the average probabilities of whole targets, `(tokens, vocab)`; as `Seq2Seq`."""
        return _average([member(src, src_lengths, tgt_in, tgt_mask) for member in self._members()])


def _average(logits: list[Tensor]) -> Tensor:
    """Log of the mean of the members' probabilities, of the tokens that can be predicted."""
    log_probs = torch.stack([forbid_markers(each).log_softmax(-1) for each in logits])
    return log_probs.logsumexp(0) - math.log(len(logits))
