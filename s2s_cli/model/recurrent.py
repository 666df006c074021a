"""Where GRU and LSTM meet: one state type, one layer, whole sequences or single steps."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]
"""Carried from step to step: `(h,)` for a GRU, `(h, c)` for an LSTM.

A layer's parts are `(batch, hidden)`; a stack's are `(batch, layers, hidden)`.
"""

RNN_CLASSES: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
NUM_GATES = {"gru": 3, "lstm": 4}


class RecurrentLayer(nn.Module):
    """One unidirectional layer that runs over a sequence at once, or step by step, alike.

    Single-layer modules only: between layers stands our own dropout, because cuDNN's keeps a
    random state that no seed restores.
    """

    def __init__(self, cell: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn = RNN_CLASSES[cell](input_size, hidden_size, batch_first=True)
        self._advance = {"gru": _advance_gru, "lstm": _advance_lstm}[cell]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run over a whole sequence.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: parts `(batch, hidden)`.

        Returns:
            outputs: `(batch, tgt_len, hidden)`.
            state: the parts after the last step.
        """
        first = tuple(part.unsqueeze(0).contiguous() for part in state)
        outputs, last = self.rnn(inputs, first if len(first) > 1 else first[0])
        return outputs, tuple(part[0] for part in as_state(last))

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs' share of the gates, `(..., gates * hidden)`; needs no state, so any time."""
        return F.linear(inputs, self.rnn.weight_ih_l0, self.rnn.bias_ih_l0)  # type: ignore[arg-type]

    def step(self, gates: Tensor, state: State) -> State:
        """Advance one step.

        Args:
            gates: what `project` returned, `(batch, gates * hidden)`; more may be added to it.
            state: parts `(batch, hidden)`.
        """
        recurrent = F.linear(state[0], self.rnn.weight_hh_l0, self.rnn.bias_hh_l0)  # type: ignore[arg-type]
        return self._advance(gates, recurrent, state)


class RecurrentStack(nn.Module):
    """Layers on top of each other, with dropout between them."""

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.bottom = RecurrentLayer(cell, input_size, hidden_size)
        self.above = nn.ModuleList(
            RecurrentLayer(cell, hidden_size, hidden_size) for _ in range(num_layers - 1)
        )

    def _numbered_above(self) -> Iterator[tuple[int, RecurrentLayer]]:
        return enumerate(cast("Iterable[RecurrentLayer]", self.above), start=1)

    def forward(self, inputs: Tensor, state: State) -> Tensor:
        """Run over a whole sequence, layer by layer.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: parts `(batch, layers, hidden)`.

        Returns:
            outputs of the top layer, `(batch, tgt_len, hidden)`.
        """
        outputs: Tensor = self.bottom(inputs, layer_of(state, 0))[0]
        for index, layer in self._numbered_above():
            outputs, _ = layer(self.dropout(outputs), layer_of(state, index))
        return outputs

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs' share of the bottom layer's gates, `(..., gates * hidden)`."""
        return self.bottom.project(inputs)

    def step(self, gates: Tensor, state: State) -> State:
        """Advance every layer one step.

        Args:
            gates: of the bottom layer, `(batch, gates * hidden)`.
            state: parts `(batch, layers, hidden)`.
        """
        states = [self.bottom.step(gates, layer_of(state, 0))]
        for index, layer in self._numbered_above():
            inputs = self.dropout(states[-1][0])
            states.append(layer.step(layer.project(inputs), layer_of(state, index)))
        return stack_layers(states)


def top_of(state: State) -> Tensor:
    """The top layer's hidden state `(batch, hidden)`: what a decoder step puts out."""
    return state[0][:, -1]


def as_state(hidden: Tensor | State) -> State:
    """What an `nn.GRU` or an `nn.LSTM` returns as its last state, in one type."""
    return (hidden,) if isinstance(hidden, Tensor) else hidden


def layer_of(state: State, index: int) -> State:
    """One layer of a stack's state, parts `(batch, hidden)`."""
    return tuple(part[:, index] for part in state)


def stack_layers(states: list[State]) -> State:
    """Layers' states as a stack's, parts `(batch, layers, hidden)`."""
    return tuple(torch.stack(parts, dim=1) for parts in zip(*states, strict=True))


def select_rows(state: State, rows: Tensor) -> State:
    """Reorder, repeat or drop rows of the batch: parts keep their shape but for the first size."""
    return tuple(part.index_select(0, rows) for part in state)


def _advance_gru(gates: Tensor, recurrent: Tensor, state: State) -> State:
    """Cho et al. 2014 as torch.nn.GRU has it: n = tanh(Wx + r (Uh)), h' = (1 - z) n + z h."""
    size = state[0].size(-1)
    reset, update = torch.sigmoid(gates[..., : 2 * size] + recurrent[..., : 2 * size]).chunk(
        2, dim=-1
    )
    candidate = _tanh(gates[..., 2 * size :] + reset * recurrent[..., 2 * size :])
    return (torch.lerp(candidate, state[0], update),)


def _advance_lstm(gates: Tensor, recurrent: Tensor, state: State) -> State:
    """Hochreiter and Schmidhuber 1997 with forget gate, in torch.nn.LSTM's order i f g o."""
    in_gate, forget, cell_input, out_gate = (gates + recurrent).chunk(4, dim=-1)
    cell = torch.sigmoid(forget) * state[1] + torch.sigmoid(in_gate) * _tanh(cell_input)
    return torch.sigmoid(out_gate) * _tanh(cell), cell


def _tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2 sigmoid(2x) - 1; on CPUs torch's sigmoid is much faster than its tanh."""
    return torch.tanh(x) if x.is_cuda else 2 * torch.sigmoid(2 * x) - 1
