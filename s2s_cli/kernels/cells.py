"""One step of a recurrent cell, and its gradient.

A cell receives two sums and the state before the step. The gates g = W x + b_i come from its inputs
and the recurrent gates R = V h + b_h from its state; both are `(batch, gates * hidden)`. It
computes in the type of the state, with torch.nn's formulas. `backward` is for the loops over time
in this folder, which run without autograd.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""What a cell carries from step to step: `(h,)` for a plain RNN or a GRU, `(h, c)` for an LSTM.

Each tensor is `(batch, hidden)` for one layer and `(batch, layers, hidden)` for a stack.
"""

SavedCell = tuple[Tensor, ...]
"""Tensors that a cell's forward pass saves for its backward pass."""

NUM_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
NUM_STATE_TENSORS = {"rnn": 1, "gru": 1, "lstm": 2}


class CellGradients(NamedTuple):
    """Gradients of a cell's inputs."""

    gates: tuple[Tensor, ...]  # slices of (batch, gates * hidden), in order
    recurrent: tuple[Tensor, ...]  # likewise
    state: State  # each (batch, hidden), without the gradient that flows through `recurrent`


class Cell(Protocol):
    """A cell's forward and backward pass."""

    @staticmethod
    def forward(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, SavedCell]:
        """The state after the step, and what `backward` needs."""
        ...

    @staticmethod
    def backward(d_state: State, state: State, saved: SavedCell) -> CellGradients:
        """From the gradient of the state after the step to those of the inputs.

        Args:
            d_state: gradient of the state after the step.
            state: the state before the step.
            saved: what `forward` returned.
        """
        ...


class ElmanCell:
    """Elman 1990: h' = tanh(g + R)."""

    @staticmethod
    def forward(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, SavedCell]:
        """The state after the step, and what `backward` needs."""
        del state
        hidden = tanh(gates + recurrent)
        # Detached: an autograd node that holds its own output is a reference cycle.
        return (hidden,), (hidden.detach(),)

    @staticmethod
    def backward(d_state: State, state: State, saved: SavedCell) -> CellGradients:
        """By d tanh = 1 - tanh^2."""
        d_gates = torch.ops.aten.tanh_backward(d_state[0], saved[0])
        return CellGradients((d_gates,), (d_gates,), (torch.zeros_like(state[0]),))


class GRUCell:
    """Cho et al. 2014, in the form of torch.nn.GRU.

    r, z = sigmoid(g + R), n = tanh(g_n + r R_n); h' = (1 - z) n + z h.
    """

    @staticmethod
    def forward(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, SavedCell]:
        """The state after the step, and what `backward` needs."""
        size = state[0].size(-1)
        reset_update = torch.sigmoid(gates[:, : 2 * size] + recurrent[:, : 2 * size])
        reset, update = reset_update.chunk(2, dim=-1)
        remembered = recurrent[:, 2 * size :]
        candidate = tanh(torch.addcmul(gates[:, 2 * size :], reset, remembered))
        hidden = torch.lerp(candidate, state[0], update)
        return (hidden,), (reset_update, remembered, candidate)

    @staticmethod
    def backward(d_state: State, state: State, saved: SavedCell) -> CellGradients:
        """By dn = (1 - z) dh', dz = (h - n) dh', dh = z dh', dr = R_n d(g_n + r R_n)."""
        reset_update, remembered, candidate = saved
        reset, update = reset_update.chunk(2, dim=-1)
        d_hidden = d_state[0] * update
        d_candidate = torch.ops.aten.tanh_backward(d_state[0] - d_hidden, candidate)
        d_outer = torch.cat([d_candidate * remembered, d_state[0] * (state[0] - candidate)], dim=-1)
        d_outer = torch.ops.aten.sigmoid_backward(d_outer, reset_update)
        return CellGradients((d_outer, d_candidate), (d_outer, d_candidate * reset), (d_hidden,))


class LSTMCell:
    """Hochreiter and Schmidhuber 1997, with a forget gate, in torch.nn.LSTM's order i f j o.

    i, f, o = sigmoid(g + R), j = tanh(g + R); c' = f c + i j; h' = o tanh(c').
    """

    @staticmethod
    def forward(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, SavedCell]:
        """The state after the step, and what `backward` needs."""
        size = state[0].size(-1)
        total = gates + recurrent
        in_forget = torch.sigmoid(total[:, : 2 * size])
        cell_input, out_gate = tanh(total[:, 2 * size : 3 * size]), total[:, 3 * size :].sigmoid()
        in_gate, forget = in_forget.chunk(2, dim=-1)
        cell = torch.addcmul(forget * state[1], in_gate, cell_input)
        tanh_cell = tanh(cell)
        return (out_gate * tanh_cell, cell), (in_forget, cell_input, out_gate, tanh_cell)

    @staticmethod
    def backward(d_state: State, state: State, saved: SavedCell) -> CellGradients:
        """By do = tanh(c') dh' and dc' += o (1 - tanh(c')^2) dh', then through c'."""
        in_forget, cell_input, out_gate, tanh_cell = saved
        in_gate, forget = in_forget.chunk(2, dim=-1)
        d_cell = d_state[1] + torch.ops.aten.tanh_backward(d_state[0] * out_gate, tanh_cell)
        d_in_forget = torch.cat([d_cell * cell_input, d_cell * state[1]], dim=-1)
        d_gates = (
            torch.ops.aten.sigmoid_backward(d_in_forget, in_forget),
            torch.ops.aten.tanh_backward(d_cell * in_gate, cell_input),
            torch.ops.aten.sigmoid_backward(d_state[0] * tanh_cell, out_gate),
        )
        return CellGradients(d_gates, d_gates, (torch.zeros_like(tanh_cell), d_cell * forget))


CELLS: dict[str, type[Cell]] = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


def cast_state(state: State, dtype: torch.dtype) -> State:
    """The state in another floating-point type."""
    return tuple(tensor.to(dtype) for tensor in state)


def tanh(x: Tensor) -> Tensor:
    """As 2 sigmoid(2x) - 1, which takes a third of the time on CPUs (`benchmarks.products`).

    The absolute error is at most 1e-7, so tiny results lose relative precision.
    """
    return torch.tanh(x) if x.is_cuda else 2 * torch.sigmoid(2 * x) - 1
