"""Token ids to vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.model.dropout import SequenceDropout


class Embedding(nn.Module):
    """A table of word vectors, with dropout of their units and of whole words."""

    def __init__(self, config: Model, vocab_size: int, embed_size: int, pad_id: int) -> None:
        super().__init__()
        empty = torch.empty(vocab_size, embed_size)
        self.table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            empty, freeze=False, padding_idx=pad_id
        )
        # A model to be loaded is built without numbers; asked to draw them all the same, PyTorch
        # would import its compiler.
        if not empty.is_meta:
            self.table.reset_parameters()
        probability = config.dropout if config.embed_dropout is None else config.embed_dropout
        self.dropout = SequenceDropout(probability, config.variational)
        self.word_dropout = config.word_dropout

    def forward(self, token_ids: Tensor) -> Tensor:
        """From `(batch, length)` to `(batch, length, embed)`."""
        return self.dropout(self._drop_words(self.table(token_ids)))  # type: ignore[no-any-return]

    def embed_step(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """From `(batch,)`, one token a sentence, to `(batch, embed)`.

        Args:
            token_ids: `(batch,)`.
            mask: what `draw_mask` returned at the sentences' start.
        """
        embedded = self._drop_words(self.table(token_ids))
        return self.dropout(embedded) if mask is None else embedded * mask

    def draw_mask(self, token_ids: Tensor) -> Tensor | None:
        """A mask `(batch, embed)` for all steps of `(batch,)` sentences, if they share one."""
        if not self.dropout.shares_masks:
            return None
        return self.dropout.draw_mask(self.table.weight.new_empty(len(token_ids), self.width))

    @property
    def width(self) -> int:
        """Of a vector."""
        return self.table.embedding_dim

    def _drop_words(self, embedded: Tensor) -> Tensor:
        if not (self.training and self.word_dropout):
            return embedded
        return embedded * F.dropout(torch.ones_like(embedded[..., :1]), self.word_dropout)
