"""The cells: how gates and state become the next state, and the gradient of that.

A cell is told the gates (the inputs' share) and the recurrent gates (the state's share),
`(batch, gates * hidden)` both, and computes in the state's type, as torch.nn does. Its gradient
serves the loops that do without autograd.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""Carried from step to step: `(h,)` for a plain RNN or a GRU, `(h, c)` for an LSTM.

A layer's parts are `(batch, hidden)`; a stack's are `(batch, layers, hidden)`.
"""

NUM_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
NUM_PARTS = {"rnn": 1, "gru": 1, "lstm": 2}

Kept = tuple[Tensor, ...]
"""What the way forward leaves for the way back."""


class CellGradients(NamedTuple):
    """What the way back gives."""

    gates: tuple[Tensor, ...]  # parts of (batch, gates * hidden), side by side
    recurrent: tuple[Tensor, ...]  # likewise
    state: State  # parts (batch, hidden): the cell's own share, without that through `recurrent`


class Cell(Protocol):
    """A cell, forward and back."""

    @staticmethod
    def advance(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, Kept]:
        """The state after the step."""
        ...

    @staticmethod
    def retreat(gradient: State, state: State, kept: Kept) -> CellGradients:
        """From the gradient of the state after the step to those of what went in."""
        ...


class ElmanCell:
    """Elman 1990: h' = tanh(g + R)."""

    @staticmethod
    def advance(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, Kept]:
        """The state after the step."""
        del state
        hidden = tanh(gates + recurrent)
        # Detached: what a node keeps must not be what it gives, or each would hold the other.
        return (hidden,), (hidden.detach(),)

    @staticmethod
    def retreat(gradient: State, state: State, kept: Kept) -> CellGradients:
        """By d tanh = 1 - tanh^2."""
        inner = torch.ops.aten.tanh_backward(gradient[0], kept[0])
        return CellGradients((inner,), (inner,), (torch.zeros_like(state[0]),))


class GRUCell:
    """Cho et al. 2014 as torch.nn.GRU has it.

    r, z = sigmoid(g + R), n = tanh(g_n + r R_n); h' = (1 - z) n + z h.
    """

    @staticmethod
    def advance(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, Kept]:
        """The state after the step."""
        size = state[0].size(-1)
        both = torch.sigmoid(gates[:, : 2 * size] + recurrent[:, : 2 * size])
        reset, update = both.chunk(2, dim=-1)
        remembered = recurrent[:, 2 * size :]
        candidate = tanh(torch.addcmul(gates[:, 2 * size :], reset, remembered))
        return (torch.lerp(candidate, state[0], update),), (both, remembered, candidate)

    @staticmethod
    def retreat(gradient: State, state: State, kept: Kept) -> CellGradients:
        """By dn = (1 - z) dh', dz = (h - n) dh', dr = R_n dn behind the tanh, dh = z dh'."""
        both, remembered, candidate = kept
        reset, update = both.chunk(2, dim=-1)
        kept_share = gradient[0] * update
        inner = torch.ops.aten.tanh_backward(gradient[0] - kept_share, candidate)
        outer = torch.cat([inner * remembered, gradient[0] * (state[0] - candidate)], dim=-1)
        outer = torch.ops.aten.sigmoid_backward(outer, both)
        return CellGradients((outer, inner), (outer, inner * reset), (kept_share,))


class LSTMCell:
    """Hochreiter and Schmidhuber 1997, with forget gate, in torch.nn.LSTM's order i f j o.

    i, f, o = sigmoid(g + R), j = tanh(g + R); c' = f c + i j; h' = o tanh(c').
    """

    @staticmethod
    def advance(gates: Tensor, recurrent: Tensor, state: State) -> tuple[State, Kept]:
        """The state after the step."""
        size = state[0].size(-1)
        total = gates + recurrent
        both = torch.sigmoid(total[:, : 2 * size])
        cell_input, out_gate = tanh(total[:, 2 * size : 3 * size]), total[:, 3 * size :].sigmoid()
        in_gate, forget = both.chunk(2, dim=-1)
        cell = torch.addcmul(forget * state[1], in_gate, cell_input)
        shown = tanh(cell)
        return (out_gate * shown, cell), (both, cell_input, out_gate, shown)

    @staticmethod
    def retreat(gradient: State, state: State, kept: Kept) -> CellGradients:
        """By do = tanh(c') dh' and dc' += o (1 - tanh(c')^2) dh'; then through c'."""
        both, cell_input, out_gate, shown = kept
        in_gate, forget = both.chunk(2, dim=-1)
        cell = gradient[1] + torch.ops.aten.tanh_backward(gradient[0] * out_gate, shown)
        outer = torch.cat([cell * cell_input, cell * state[1]], dim=-1)
        total = (
            torch.ops.aten.sigmoid_backward(outer, both),
            torch.ops.aten.tanh_backward(cell * in_gate, cell_input),
            torch.ops.aten.sigmoid_backward(gradient[0] * shown, out_gate),
        )
        return CellGradients(total, total, (torch.zeros_like(shown), cell * forget))


CELLS: dict[str, type[Cell]] = {"rnn": ElmanCell, "gru": GRUCell, "lstm": LSTMCell}


def in_type(state: State, dtype: torch.dtype) -> State:
    """The same state, in another type of numbers."""
    return tuple(part.to(dtype) for part in state)


def tanh(x: Tensor) -> Tensor:
    """As 2 sigmoid(2x) - 1, which on CPUs takes a third of the time (`benchmarks.products`).

    It is off by 1e-7 at most, where x is tiny as well.
    """
    return torch.tanh(x) if x.is_cuda else 2 * torch.sigmoid(2 * x) - 1
