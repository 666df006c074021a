"""The encoder's loop over time, for layers that torch.nn does not have.

A packed batch has the sentences in order of length, the longest first, and so at each position a
known number of them. The forward direction drops sentences from its state where they end; the
backward direction starts at the end of the longest sentence and adds each other one where that
sentence ends. No step reads padding, and none is spent on it.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from s2s_cli.kernels.cells import State
from s2s_cli.model.recurrent_layer import RecurrentLayer


class PackedLayer(nn.Module):
    """A layer of the encoder in one direction or both, with the interface of torch.nn's layers."""

    def __init__(self, directions: Sequence[RecurrentLayer]) -> None:
        """Make the layer.

        Args:
            directions: the layer that reads forwards and, if there is one, that reads backwards.
        """
        super().__init__()
        self.directions = nn.ModuleList(directions)

    def forward(self, packed: PackedSequence) -> tuple[PackedSequence, State]:
        """Run over a batch, each sentence from a state of zeros.

        Returns:
            outputs: `(tokens, directions * hidden)`, packed.
            state: after the last token that a direction reads, each `(directions, batch, hidden)`.
        """
        all_outputs, states = [], []
        for run, layer in zip((run_forwards, run_backwards), self.directions, strict=False):
            outputs, state = run(cast("RecurrentLayer", layer), packed)
            all_outputs.append(outputs)
            states.append(state)
        last = tuple(torch.stack(tensors) for tensors in zip(*states, strict=True))
        if packed.unsorted_indices is not None:
            last = tuple(tensor.index_select(1, packed.unsorted_indices) for tensor in last)
        return packed._replace(data=torch.cat(all_outputs, dim=-1)), last


def run_forwards(layer: RecurrentLayer, packed: PackedSequence) -> tuple[Tensor, State]:
    """Run a layer from the first token of each sentence to the last.

    Returns:
        outputs: `(tokens, hidden)`.
        state: after the last token, each `(batch, hidden)`, the longest sentence first.
    """
    sizes = packed.batch_sizes.tolist()
    state, outputs, ended = layer.zero_state(sizes[0]), [], []
    for gates in torch.split(layer.project(packed.data), sizes):
        if len(gates) < len(state[0]):
            ended.append(tuple(tensor[len(gates) :] for tensor in state))
            state = tuple(tensor[: len(gates)] for tensor in state)
        state = layer.step(gates, state)
        outputs.append(state[0])
    shortest_last = zip(state, *reversed(ended), strict=True)
    return torch.cat(outputs), tuple(torch.cat(tensors) for tensors in shortest_last)


def run_backwards(layer: RecurrentLayer, packed: PackedSequence) -> tuple[Tensor, State]:
    """Run a layer from the last token of each sentence to the first; returns as `run_forwards`."""
    sizes = packed.batch_sizes.tolist()
    state, outputs = layer.zero_state(sizes[-1]), []
    for gates in reversed(torch.split(layer.project(packed.data), sizes)):
        if len(gates) > len(state[0]):
            added = layer.zero_state(len(gates) - len(state[0]))
            state = tuple(torch.cat(tensors) for tensors in zip(state, added, strict=True))
        state = layer.step(gates, state)
        outputs.append(state[0])
    return torch.cat(outputs[::-1]), state
