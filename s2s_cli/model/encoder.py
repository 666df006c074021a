"""The encoder, and the bridges that make the decoder's first state from what it returns."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from s2s_cli.config import Model
from s2s_cli.kernels.cells import NUM_STATE_TENSORS, State
from s2s_cli.model.layers import (
    SequenceDropout,
    apply_norm,
    make_norms,
    stack_layers,
)
from s2s_cli.model.packed_layer import PackedLayer
from s2s_cli.model.recurrent_layer import RNN_CLASSES, RecurrentLayer, as_state, call_rnn


class Encoding(NamedTuple):
    """The encoder's outputs and last states for a batch of source sentences."""

    outputs: Tensor  # (batch, src_len, hidden), zeros at padding
    mask: Tensor  # (batch, src_len), True at real tokens
    state: State  # each (batch, layers, hidden): every layer after its last real token


class Encoder(nn.Module):
    """A stack of recurrent layers in one direction or both, which never reads padding."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.encoder_sizes
        self.reverse_source = config.reverse_source
        self.residual = config.residual
        self.dropout = SequenceDropout(config.dropout, config.variational)
        self.layers = nn.ModuleList(
            make_layer(config, sizes.hidden if index else sizes.embed)
            for index in range(sizes.layers)
        )
        # A model that uses only the last state ignores the outputs of the top layer.
        is_top_used = config.context == "attention" or config.decoder_start == "mean"
        num_norms = sizes.layers if is_top_used else sizes.layers - 1
        self.norms = make_norms(num_norms, sizes.hidden, config.layer_norm)

    def forward(self, embedded: Tensor, src_lengths: Tensor) -> Encoding:
        """Encode a batch.

        Args:
            embedded: source tokens `(batch, src_len, embed)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row, eos included, at least 1.
        """
        if self.reverse_source:
            embedded = reverse_words(embedded, src_lengths)
        # Packed, because the backward direction must not start in the padding.
        packed = pack_padded_sequence(embedded, src_lengths, batch_first=True, enforce_sorted=False)
        rows = _packed_rows(packed) if self.dropout.shares_masks else None
        states = []
        for index, layer in enumerate(self.layers):
            inputs = packed.data
            dropped = self.dropout(inputs, rows) if index else inputs
            packed, last = self._run_layer(layer, packed._replace(data=dropped))
            outputs = packed.data + inputs if self.residual and index else packed.data
            packed = packed._replace(data=apply_norm(self.norms, index, outputs))
            # (directions, batch, size) -> (batch, directions * size)
            states.append(tuple(tensor.transpose(0, 1).flatten(1) for tensor in last))
        outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=embedded.size(1))
        if self.reverse_source:  # restore the order, so that attention weights match the source
            outputs = reverse_words(outputs, src_lengths)
        positions = torch.arange(embedded.size(1))
        mask = (positions < src_lengths.unsqueeze(1)).to(embedded.device)
        return Encoding(outputs, mask, stack_layers(states))

    def _run_layer(self, layer: nn.Module, packed: PackedSequence) -> tuple[PackedSequence, State]:
        """A layer's outputs, and its last state, each `(directions, batch, size)`."""
        packed, last = call_rnn(layer, packed)
        return packed, as_state(last)


def make_layer(config: Model, input_size: int) -> nn.Module:
    """A layer of the encoder: torch.nn's, or a `PackedLayer` where torch.nn has none."""
    sizes, directions = config.encoder_sizes, 2 if config.bidirectional else 1
    hidden_size = sizes.hidden // directions
    if sizes.depth == 1 and config.layer_norm != "cell":
        return RNN_CLASSES[config.cell](
            input_size, hidden_size, batch_first=True, bidirectional=config.bidirectional
        )
    return PackedLayer(
        [
            RecurrentLayer(config.cell, input_size, hidden_size, sizes.depth, config.layer_norm)
            for _ in range(directions)
        ]
    )


def reverse_words(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sentence; its eos and padding stay in place.

    Args:
        sequences: `(batch, src_len, feature)`.
        lengths: `(batch,)`, eos included.
    """
    positions = torch.arange(sequences.size(1)).expand(len(lengths), -1)
    mirrored = lengths.unsqueeze(1) - 2 - positions
    order = torch.where(mirrored < 0, positions, mirrored).to(sequences.device)
    return sequences.gather(1, order.unsqueeze(-1).expand_as(sequences))


def _packed_rows(packed: PackedSequence) -> Tensor:
    """The sentence that each packed token belongs to, `(tokens,)`, numbered in the packed order."""
    return torch.cat([torch.arange(int(size)) for size in packed.batch_sizes]).to(
        packed.data.device
    )


class LastBridge(nn.Module):
    """Start each layer at the last state of the encoder's layer (Sutskever et al. 2014)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        del config

    def forward(self, encoding: Encoding) -> State:
        """The first state, each `(batch, layers, hidden)`."""
        return encoding.state


class MeanBridge(nn.Module):
    """Start the hidden state of every layer at the mean of the encoder's outputs, cells at zero."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_tensors = NUM_STATE_TENSORS[config.cell]
        self.num_layers = config.decoder_sizes.layers

    def forward(self, encoding: Encoding) -> State:
        """The first state, each `(batch, layers, hidden)`."""
        lengths = encoding.mask.sum(dim=1, keepdim=True)
        mean = encoding.outputs.sum(dim=1) / lengths  # outputs at padding are zero
        hidden = mean.unsqueeze(1).expand(-1, self.num_layers, -1)
        return (hidden, *(torch.zeros_like(hidden) for _ in range(1, self.num_tensors)))


class ZeroBridge(nn.Module):
    """Start at zero: the decoder sees the source at its steps only."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_tensors = NUM_STATE_TENSORS[config.cell]
        self.sizes = config.decoder_sizes

    def forward(self, encoding: Encoding) -> State:
        """The first state, each `(batch, layers, hidden)`."""
        outputs = encoding.outputs
        zeros = outputs.new_zeros(outputs.size(0), self.sizes.layers, self.sizes.hidden)
        return (zeros,) * self.num_tensors


class DenseBridge(nn.Module):
    """Start each layer at a projection of the encoder's top state: s_0 = tanh(W h).

    From Bahdanau et al. 2014. An LSTM's cells start at a projection of the top cell, without the
    tanh, since cells are not bounded.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        width = config.encoder_sizes.hidden
        self.sizes = config.decoder_sizes
        self.projections = nn.ModuleList(
            nn.Linear(width, self.sizes.layers * self.sizes.hidden)
            for _ in range(NUM_STATE_TENSORS[config.cell])
        )

    def forward(self, encoding: Encoding) -> State:
        """The first state, each `(batch, layers, hidden)`."""
        shape = (-1, self.sizes.layers, self.sizes.hidden)
        hidden, *cells = (
            project(tensor[:, -1]).view(shape)
            for project, tensor in zip(self.projections, encoding.state, strict=True)
        )
        return (torch.tanh(hidden), *cells)


Bridge = LastBridge | MeanBridge | ZeroBridge | DenseBridge
BRIDGES: dict[str, type[Bridge]] = {
    "last": LastBridge,
    "mean": MeanBridge,
    "zero": ZeroBridge,
    "dense": DenseBridge,
}
