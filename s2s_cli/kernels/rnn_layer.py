"""A recurrent layer over whole sequences, with a hand-written backward pass, for training on CPUs.

On a CPU, PyTorch's loop over a packed batch computes the gradient of the recurrent weight V again
at every step, and writes the gradient of each step's inputs into a tensor as large as all inputs.
Let R_i = V s_{i-1} + b be the recurrent gates of step i. The backward loop here computes only dx_i,
dR_i and ds_{i-1}, by the cell. Afterwards one product over all steps gives the weight's gradient:

    dV = sum_i dR_i s_{i-1}',   db = sum_i dR_i

On GPUs cuDNN does the same.

Sequences are packed as in `PackedSequence`: sorted by length, the longest first, and all first
tokens before all second tokens. Step i reads the next `batch_sizes[i]` rows. From the first token
to the last, the batch shrinks where sequences end. In the reverse direction it grows: a shorter
sequence joins at its last token.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from s2s_cli.kernels.cells import CELLS, NUM_STATE_TENSORS, Cell, SavedCell, State, cast_state

LayerWeights = Sequence[Tensor]
"""Of one direction of a layer, in the order of `nn.RNNBase.all_weights`: `(gates * hidden, input)`,
`(gates * hidden, hidden)`, and two biases `(gates * hidden,)`."""


class Packing(NamedTuple):
    """Where a packed batch has its steps, and in which order a layer runs over them."""

    batch_sizes: tuple[int, ...]
    """Number of sequences that have a token at each step; never grows."""
    is_reverse: bool
    """From the last token to the first."""

    def steps(self) -> list[tuple[int, int]]:
        """First row and number of rows of each step, in the layer's order."""
        starts = accumulate(self.batch_sizes, initial=0)
        steps = list(zip(starts, self.batch_sizes, strict=False))
        return steps[::-1] if self.is_reverse else steps


def run_packed(
    cell: str, directions: Sequence[LayerWeights], packed: PackedSequence
) -> tuple[Tensor, State]:
    """Run a layer in one or both directions over a packed batch, from a state of zeros.

    Args:
        cell: `rnn`, `gru` or `lstm`.
        directions: weights of the forward and, if there is one, of the reverse direction.
        packed: the inputs.

    Returns:
        outputs: packed, `(tokens, directions * hidden)`.
        state: each `(directions, batch, hidden)`, in the order of the batch.
    """
    batch_sizes = tuple(packed.batch_sizes.tolist())
    recurrent_weight = directions[0][1]
    zeros = recurrent_weight.new_zeros(batch_sizes[0], recurrent_weight.size(1))
    first = (zeros,) * NUM_STATE_TENSORS[cell]
    results = [
        run_layer(cell, weights, packed.data, Packing(batch_sizes, bool(number)), first)
        for number, weights in enumerate(directions)
    ]
    outputs = torch.cat([outputs for outputs, _ in results], dim=-1)
    lasts = [last for _, last in results]
    state = tuple(torch.stack(tensors) for tensors in zip(*lasts, strict=True))
    if packed.unsorted_indices is not None:
        state = tuple(tensor.index_select(1, packed.unsorted_indices) for tensor in state)
    return outputs, state


def run_sequences(
    cell: str, weights: LayerWeights, inputs: Tensor, state: State
) -> tuple[Tensor, State]:
    """Run a layer over sequences of equal length.

    Args:
        cell: `rnn`, `gru` or `lstm`.
        weights: of the layer's only direction.
        inputs: `(batch, length, input)`.
        state: first state, each `(batch, hidden)`.

    Returns:
        outputs: `(batch, length, hidden)`.
        state: after the last step.
    """
    batch, length = inputs.shape[:2]
    packing = Packing((batch,) * length, is_reverse=False)
    packed = inputs.transpose(0, 1).flatten(0, 1)
    outputs, last = run_layer(cell, weights, packed, packing, state)
    return outputs.view(length, batch, -1).transpose(0, 1), last


def run_layer(
    cell: str, weights: LayerWeights, inputs: Tensor, packing: Packing, state: State
) -> tuple[Tensor, State]:
    """Run one direction of a layer over packed sequences; differentiable.

    Args:
        cell: `rnn`, `gru` or `lstm`.
        weights: of this direction.
        inputs: packed, `(tokens, input)`.
        packing: how the rows are packed, and the direction.
        state: first state, each `(batch, hidden)`, the longest sequence first.

    Returns:
        outputs: packed, `(tokens, hidden)`.
        state: after each sequence's last step, each `(batch, hidden)`.
    """
    input_weight, recurrent_weight, input_bias, recurrent_bias = weights
    gates = F.linear(inputs, input_weight, input_bias)
    with torch.autocast(inputs.device.type, enabled=False):
        outputs, *last = _RNNLayer.apply(  # type: ignore[no-untyped-call]
            CELLS[cell],
            packing,
            gates,
            recurrent_weight.to(gates.dtype),
            recurrent_bias,
            *cast_state(state, recurrent_bias.dtype),
        )
    return outputs, tuple(last)


class SavedLayerStep(NamedTuple):
    """Tensors saved by one step of the forward pass."""

    state: State  # each (rows, hidden), before the step
    cell: SavedCell


class _RNNLayer(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: type[Cell],
        packing: Packing,
        gates: Tensor,
        weight: Tensor,
        *bias_and_state: Tensor,
    ) -> tuple[Tensor, ...]:
        bias, *first = bias_and_state
        steps, saved = packing.steps(), []
        outputs = first[0].new_empty(len(gates), first[0].size(1))
        state = tuple(tensor[: steps[0][1]] for tensor in first)
        ended: list[State] = []  # last states of ended sequences, the shortest first
        for start, num_rows in steps:
            if packing.is_reverse:
                state = _append(state, _slice(tuple(first), len(state[0]), num_rows))
            elif num_rows < len(state[0]):
                ended.append(_slice(state, num_rows, len(state[0])))
                state = _slice(state, 0, num_rows)
            recurrent = (state[0].to(weight.dtype) @ weight.t()).to(bias.dtype) + bias
            step_gates = gates[start : start + num_rows].to(bias.dtype)
            new_state, saved_by_cell = cell.forward(step_gates, recurrent, state)
            saved.append(SavedLayerStep(state, saved_by_cell))
            outputs[start : start + num_rows] = new_state[0]
            state = new_state
        for rows in reversed(ended):
            state = _append(state, rows)
        ctx.cell, ctx.packing, ctx.weight, ctx.saved = cell, packing, weight, saved
        ctx.dtype = gates.dtype
        return outputs, *state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, *d_last: Tensor) -> tuple[Tensor | None, ...]:
        weight, steps = ctx.weight, ctx.packing.steps()
        num_gates = weight.size(0)
        d_gates = torch.empty(len(d_outputs), num_gates, dtype=ctx.dtype)
        d_recurrent = torch.empty(len(d_outputs), num_gates, dtype=weight.dtype)
        states = torch.empty(len(d_outputs), weight.size(1), dtype=weight.dtype)
        d_state = tuple(tensor[: steps[-1][1]] for tensor in d_last)
        started: list[State] = []  # gradients of first states, the shortest sequences first
        for (start, num_rows), step in zip(reversed(steps), reversed(ctx.saved), strict=True):
            rows = slice(start, start + num_rows)
            if not ctx.packing.is_reverse:
                d_state = _append(d_state, _slice(d_last, len(d_state[0]), num_rows))
            elif num_rows < len(d_state[0]):
                started.append(_slice(d_state, num_rows, len(d_state[0])))
                d_state = _slice(d_state, 0, num_rows)
            d_state = (d_state[0] + d_outputs[rows], *d_state[1:])
            of_cell = ctx.cell.backward(d_state, step.state, step.cell)
            torch.cat(of_cell.gates, dim=-1, out=d_gates[rows])
            torch.cat(of_cell.recurrent, dim=-1, out=d_recurrent[rows])
            states[rows] = step.state[0]
            through_product = (d_recurrent[rows] @ weight).to(d_outputs.dtype)
            d_state = (of_cell.state[0] + through_product, *of_cell.state[1:])
        for d_started in reversed(started):
            d_state = _append(d_state, d_started)
        d_bias = d_recurrent.sum(0, dtype=d_outputs.dtype)
        return None, None, d_gates, d_recurrent.t() @ states, d_bias, *d_state


def _slice(state: State, first: int, last: int) -> State:
    return tuple(tensor[first:last] for tensor in state)


def _append(state: State, rows: State) -> State:
    """The state with more rows after its own."""
    if not len(rows[0]):
        return state
    return tuple(torch.cat(tensors) for tensors in zip(state, rows, strict=True))
