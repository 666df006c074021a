"""Reading the source sentence."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from s2s_cli.config import Model
from s2s_cli.model.recurrent import RNN_CLASSES, State, as_state, stack_layers


class Encoding(NamedTuple):
    """A batch of source sentences, read."""

    outputs: Tensor  # (batch, src_len, hidden), zeros at padding
    mask: Tensor  # (batch, src_len), True at real tokens
    state: State  # parts (batch, layers, hidden): each layer after its last real token


class Encoder(nn.Module):
    """Embeddings and a stack of recurrent layers; padding is never read."""

    def __init__(self, config: Model, vocab_size: int, pad_id: int) -> None:
        super().__init__()
        directions = 2 if config.bidirectional else 1
        self.embedding = nn.Embedding(vocab_size, config.embed_size, padding_idx=pad_id)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            RNN_CLASSES[config.cell](
                config.hidden_size if layer else config.embed_size,
                config.hidden_size // directions,
                batch_first=True,
                bidirectional=config.bidirectional,
            )
            for layer in range(config.num_layers)
        )

    def forward(self, src: Tensor, src_lengths: Tensor) -> Encoding:
        """Encode a batch.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row, at least 1.
        """
        embedded = self.dropout(self.embedding(src))
        # Packed, because the backward direction must not start in the padding.
        packed = pack_padded_sequence(embedded, src_lengths, batch_first=True, enforce_sorted=False)
        states = []
        for index, layer in enumerate(self.layers):
            if index:
                packed = _map_packed(self.dropout, packed)
            packed, last = layer(packed)
            # (directions, batch, size) -> (batch, directions * size)
            states.append(tuple(part.transpose(0, 1).flatten(1) for part in as_state(last)))
        outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=src.size(1))
        positions = torch.arange(src.size(1))
        mask = (positions < src_lengths.unsqueeze(1)).to(src.device)
        return Encoding(outputs, mask, stack_layers(states))


def _map_packed(module: nn.Module, packed: PackedSequence) -> PackedSequence:
    return packed._replace(data=module(packed.data))
