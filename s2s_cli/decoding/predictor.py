"""All that a search needs of a model: `encode` and `step`, of one network or of an ensemble."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from s2s_cli.kernels.cells import State
from s2s_cli.text.vocabulary import BOS_ID, PAD_ID


class Predictor(Protocol):
    """Predicts the next token; `Seq2Seq` is one, `Ensemble` another."""

    @property
    def training(self) -> bool:
        """Whether the model is in training mode, with dropout."""
        ...

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, Any]:
        """Encode a batch of sources.

        Args:
            src: `(batch, src_len)` token ids, padded at the end.
            src_lengths: `(batch,)` on the CPU.

        Returns:
            state: parts whose first size is `batch`.
            memory: what the steps need of the sources. It is None, or has a method
                `select(rows)` that returns the memory of some sentences.
        """
        ...

    def step(self, token: Tensor, state: State, memory: Any) -> tuple[Tensor, State, Tensor | None]:
        """Predict the next token.

        Args:
            token: `(batch * beam,)`, the last token; the rows of one sentence are adjacent.
            state: parts whose first size is `batch * beam`.
            memory: what `encode` returned, for `batch` sentences.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            attention_weights: `(batch * beam, src_len)`, or None.
        """
        ...

    def __call__(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, /
    ) -> Any:
        """Logits `(tokens, vocab)` of whole targets, the real positions row by row."""
        ...

    def train(self, mode: bool) -> Any:
        """Switch between training mode and evaluation mode."""
        ...


@contextmanager
def evaluation_mode(model: Predictor) -> Iterator[None]:
    """Switch a model to evaluation mode for a block, then back to the mode it was in."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)


def forbid_markers(logits: Tensor) -> Tensor:
    """Set the logits `(rows, vocab)` of padding and bos to -inf, in place."""
    # One at a time: a list of both would have to be copied to a GPU.
    logits[:, PAD_ID] = -torch.inf
    logits[:, BOS_ID] = -torch.inf
    return logits


class MaskedModel:
    """A model that never predicts some tokens.

    Language tags are in a target vocabulary only because it is shared with the source, so no
    translation may contain them.
    """

    def __init__(self, model: Predictor, forbidden_ids: Sequence[int]) -> None:
        self.model = model
        self._forbidden_ids = torch.tensor(forbidden_ids, dtype=torch.long)

    @property
    def training(self) -> bool:
        """Whether the model is in training mode."""
        return self.model.training

    def train(self, mode: bool) -> Any:
        """Switch the model between training mode and evaluation mode."""
        return self.model.train(mode)

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, Any]:
        """Encode a batch of sources, as the model does."""
        return self.model.encode(src, src_lengths)

    def step(self, token: Tensor, state: State, memory: Any) -> tuple[Tensor, State, Tensor | None]:
        """Predict the next token; the logits `(batch * beam, vocab)` of some tokens are -inf."""
        logits, state, attention_weights = self.model.step(token, state, memory)
        return self._mask(logits), state, attention_weights

    def __call__(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, /
    ) -> Tensor:
        """Logits `(tokens, vocab)` of whole targets; those of some tokens are -inf."""
        return self._mask(self.model(src, src_lengths, tgt_in, tgt_mask))

    def _mask(self, logits: Tensor) -> Tensor:
        self._forbidden_ids = self._forbidden_ids.to(logits.device)
        return logits.index_fill_(1, self._forbidden_ids, -torch.inf)
