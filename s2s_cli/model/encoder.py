"""Reading the source sentence."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from s2s_cli.config import Model
from s2s_cli.kernels.cells import NUM_PARTS, State
from s2s_cli.kernels.rnn_layer import can_fuse_layer, run_packed
from s2s_cli.model.layers import (
    RNN_CLASSES,
    SequenceDropout,
    as_state,
    call_layer,
    make_norms,
    normalize,
    stack_layers,
    top_of,
)


class Encoding(NamedTuple):
    """A batch of source sentences, read."""

    outputs: Tensor  # (batch, src_len, hidden), zeros at padding
    mask: Tensor  # (batch, src_len), True at real tokens
    state: State  # parts (batch, layers, hidden): each layer after its last real token


class Encoder(nn.Module):
    """A stack of recurrent layers, in one direction or both; padding is never read."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        directions = 2 if config.bidirectional else 1
        sizes = config.encoder_sizes
        self.reverse_source = config.reverse_source
        self.residual = config.residual
        self.cell = config.cell
        self.is_fused = True
        self.dropout = SequenceDropout(config.dropout, config.variational)
        self.layers = nn.ModuleList(
            RNN_CLASSES[config.cell](
                sizes.hidden if layer else sizes.embed,
                sizes.hidden // directions,
                batch_first=True,
                bidirectional=config.bidirectional,
            )
            for layer in range(sizes.layers)
        )
        # Where only the last state is used, what the top layer puts out is read by nobody.
        is_read = config.context == "attention" or config.decoder_start == "mean"
        num_norms = sizes.layers if is_read else sizes.layers - 1
        self.norms = make_norms(num_norms if config.layer_norm else 0, sizes.hidden)

    def forward(self, embedded: Tensor, src_lengths: Tensor) -> Encoding:
        """Encode a batch.

        Args:
            embedded: source tokens `(batch, src_len, embed)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row, eos counted, at least 1.
        """
        if self.reverse_source:
            embedded = reverse_words(embedded, src_lengths)
        # Packed, because the backward direction must not start in the padding.
        packed = pack_padded_sequence(embedded, src_lengths, batch_first=True, enforce_sorted=False)
        rows = _rows_of(packed) if self.dropout.shares_masks else None
        states = []
        for index, layer in enumerate(self.layers):
            inputs = packed.data
            given = self.dropout(inputs, rows) if index else inputs
            packed, last = self._run(layer, packed._replace(data=given))
            outputs = packed.data + inputs if self.residual and index else packed.data
            packed = packed._replace(data=normalize(self.norms, index, outputs))
            # (directions, batch, size) -> (batch, directions * size)
            states.append(tuple(part.transpose(0, 1).flatten(1) for part in last))
        outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=embedded.size(1))
        if self.reverse_source:  # back, so that attention speaks of the words where they stand
            outputs = reverse_words(outputs, src_lengths)
        positions = torch.arange(embedded.size(1))
        mask = (positions < src_lengths.unsqueeze(1)).to(embedded.device)
        return Encoding(outputs, mask, stack_layers(states))

    def _run(self, layer: nn.Module, packed: PackedSequence) -> tuple[PackedSequence, State]:
        """A layer's outputs, and its last state, parts `(directions, batch, size)`."""
        if self.is_fused and can_fuse_layer(self.cell, packed.data):
            outputs, state = run_packed(layer, self.cell, packed)  # type: ignore[arg-type]
            return packed._replace(data=outputs), state
        packed, last = call_layer(layer, packed)
        return packed, as_state(last)


def reverse_words(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Each sentence from its last word to its first; its eos, and padding, stay in place.

    Args:
        sequences: `(batch, src_len, feature)`.
        lengths: `(batch,)`, eos counted.
    """
    positions = torch.arange(sequences.size(1)).expand(len(lengths), -1)
    mirrored = lengths.unsqueeze(1) - 2 - positions
    order = torch.where(mirrored < 0, positions, mirrored).to(sequences.device)
    return sequences.gather(1, order.unsqueeze(-1).expand_as(sequences))


def _rows_of(packed: PackedSequence) -> Tensor:
    """Which sentence each entry of a packed batch belongs to, in the packed order."""
    return torch.cat([torch.arange(int(size)) for size in packed.batch_sizes]).to(
        packed.data.device
    )


class LastBridge(nn.Module):
    """Begin where the encoder ended, layer by layer (Sutskever et al. 2014)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        del config

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        return encoding.state


class MeanBridge(nn.Module):
    """Every layer's hidden state begins at the mean of the encoder's outputs; cells at zero."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_parts = NUM_PARTS[config.cell]
        self.num_layers = config.decoder_sizes.layers

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        lengths = encoding.mask.sum(dim=1, keepdim=True)
        mean = encoding.outputs.sum(dim=1) / lengths  # outputs at padding are zero
        hidden = mean.unsqueeze(1).expand(-1, self.num_layers, -1)
        return (hidden, *(torch.zeros_like(hidden) for _ in range(1, self.num_parts)))


class ZeroBridge(nn.Module):
    """Begin at zero: whatever the decoder knows of the source it is told at each step."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_parts = NUM_PARTS[config.cell]
        self.sizes = config.decoder_sizes

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        outputs = encoding.outputs
        zeros = outputs.new_zeros(outputs.size(0), self.sizes.layers, self.sizes.hidden)
        return (zeros,) * self.num_parts


class DenseBridge(nn.Module):
    """A projection of the encoder's top state for each layer: s_0 = tanh(W h) (Bahdanau 2014).

    An LSTM's cells begin at a projection of the top cell, without the tanh: a cell has no bounds.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        width = config.encoder_sizes.hidden
        self.sizes = config.decoder_sizes
        self.projections = nn.ModuleList(
            nn.Linear(width, self.sizes.layers * self.sizes.hidden)
            for _ in range(NUM_PARTS[config.cell])
        )

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        shape = (-1, self.sizes.layers, self.sizes.hidden)
        hidden, *cells = (
            project(part[:, -1]).view(shape)
            for project, part in zip(self.projections, encoding.state, strict=True)
        )
        return (torch.tanh(hidden), *cells)


Bridge = LastBridge | MeanBridge | ZeroBridge | DenseBridge
BRIDGES: dict[str, type[Bridge]] = {
    "last": LastBridge,
    "mean": MeanBridge,
    "zero": ZeroBridge,
    "dense": DenseBridge,
}


def summary_of(encoding: Encoding) -> Tensor:
    """The vector c that stands for a sentence, `(batch, hidden)`: the top layer's last state."""
    return top_of(encoding.state)
