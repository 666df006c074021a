"""What a search sees of a model: `encode` and `step`, of one network or of an ensemble."""

from typing import Any, Protocol

import torch
from torch import Tensor

from s2s_cli.kernels.cells import State
from s2s_cli.text.vocabulary import BOS_ID, PAD_ID


class SourceMemory(Protocol):
    """What a model remembers of a batch of sources, beside its state."""

    def select(self, rows: Tensor) -> "SourceMemory":
        """The memory of some sentences of the batch."""
        ...


class Predictor(Protocol):
    """Foretells the next token; `Seq2Seq` is one, `Ensemble` another."""

    @property
    def training(self) -> bool:
        """Whether dropout drops."""
        ...

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, SourceMemory | None]:
        """Read the source.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
        """
        ...

    def step(self, token: Tensor, state: State, memory: Any) -> tuple[Tensor, State, Tensor | None]:
        """Logits `(batch * beam, vocab)`, the state after the step, attention if there is any.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence stand together.
            state: parts whose first size is `batch * beam`.
            memory: what `encode` returned, of `batch` rows.
        """
        ...

    def __call__(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, /
    ) -> Any:
        """Logits `(tokens, vocab)` of whole targets, the real positions row by row."""
        ...

    def train(self, mode: bool) -> Any:
        """Set whether dropout drops."""
        ...


def forbid_markers(logits: Tensor) -> Tensor:
    """Padding and bos are never predicted: their logits become -inf, in place."""
    # Not by a list of both, which a GPU would have to be sent.
    logits[:, PAD_ID] = -torch.inf
    logits[:, BOS_ID] = -torch.inf
    return logits


class Untagged:
    """A model that never predicts tags of languages.

    They stand in its target vocabulary only because the source has the same one.
    """

    def __init__(self, model: Predictor, tag_ids: list[int]) -> None:
        self.model = model
        self._tag_ids = torch.tensor(tag_ids, dtype=torch.long)

    @property
    def training(self) -> bool:
        """As the model's."""
        return self.model.training

    def train(self, mode: bool) -> Any:
        """Set whether dropout drops."""
        return self.model.train(mode)

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, SourceMemory | None]:
        """Read the source, as the model does."""
        return self.model.encode(src, src_lengths)

    def step(self, token: Tensor, state: State, memory: Any) -> tuple[Tensor, State, Tensor | None]:
        """The model's step; the logits `(batch * beam, vocab)` of tags are -inf."""
        logits, state, weights = self.model.step(token, state, memory)
        return self._forbid(logits), state, weights

    def __call__(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, /
    ) -> Tensor:
        """The model's logits `(tokens, vocab)`; those of tags are -inf."""
        return self._forbid(self.model(src, src_lengths, tgt_in, tgt_mask))

    def _forbid(self, logits: Tensor) -> Tensor:
        self._tag_ids = self._tag_ids.to(logits.device)
        return logits.index_fill_(1, self._tag_ids, -torch.inf)
