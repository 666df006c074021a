"""A recurrent layer over whole sequences with its gradient derived by hand: for training on CPUs.

PyTorch's own loop over a packed batch on a CPU finds the gradient of the recurrent weight anew at
each step, and writes that of each step's inputs into a tensor as large as all of them. Here, with R
the recurrent gates V s_{i-1} + b, the loop backwards finds dx_i, dR_i and ds_{i-1} by the cell, and
after it one product over all steps gives dV = sum_i dR_i s_{i-1}', db = sum_i dR_i. On GPUs cuDNN
does as much.

Sequences lie packed: sorted by length, the longest first, all first tokens before all second ones,
so that step i is the next `sizes[i]` rows. Forwards, rows end as sequences do; backwards (the other
direction of an encoder), rows begin where a shorter sequence has its last token.
"""

from itertools import accumulate
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from s2s_cli.kernels.cells import CELLS, NUM_PARTS, Cell, State, in_type

Rnn = nn.RNN | nn.GRU | nn.LSTM


class Course(NamedTuple):
    """How a layer goes over packed sequences."""

    sizes: tuple[int, ...]
    """Sequences that have a token at each step, falling."""
    is_reverse: bool
    """From the last token to the first."""

    def steps(self) -> list[tuple[int, int]]:
        """Each step's first row and number of rows, in the order in which the layer goes."""
        steps = list(zip(accumulate(self.sizes, initial=0), self.sizes, strict=False))
        return steps[::-1] if self.is_reverse else steps


def can_fuse_layer(cell: str, inputs: Tensor) -> bool:
    """Whether the gradient of a layer is worth deriving by hand here.

    Not on GPUs, and not of an LSTM in float32, for which PyTorch has oneDNN's.
    """
    is_cpu = inputs.device.type == "cpu"
    is_slow = cell != "lstm" or torch.is_autocast_enabled("cpu")
    return torch.is_grad_enabled() and is_cpu and is_slow


def run_packed(rnn: Rnn, cell: str, packed: PackedSequence) -> tuple[Tensor, State]:
    """Run all directions of a single-layer `rnn`, from zeros; as calling it.

    Args:
        rnn: whose weights are used.
        cell: its kind.
        packed: the inputs.

    Returns:
        outputs: packed, `(tokens, directions * hidden)`.
        state: parts `(directions, batch, hidden)`, in the order of the batch.
    """
    sizes = tuple(packed.batch_sizes.tolist())
    zeros = next(rnn.parameters()).new_zeros(sizes[0], rnn.hidden_size)
    first = (zeros,) * NUM_PARTS[cell]
    directions = (False, True) if rnn.bidirectional else (False,)
    courses = [Course(sizes, is_reverse) for is_reverse in directions]
    ways = [run_layer(rnn, cell, packed.data, course, first) for course in courses]
    outputs = torch.cat([outputs for outputs, _ in ways], dim=-1)
    state = tuple(torch.stack(parts) for parts in zip(*(last for _, last in ways), strict=True))
    if packed.unsorted_indices is not None:
        state = tuple(part.index_select(1, packed.unsorted_indices) for part in state)
    return outputs, state


def run_sequences(rnn: Rnn, cell: str, inputs: Tensor, state: State) -> tuple[Tensor, State]:
    """Run a single-layer `rnn` over sequences of one length.

    Args:
        rnn: of one direction.
        cell: its kind.
        inputs: `(batch, length, input)`.
        state: first state, parts `(batch, hidden)`.

    Returns:
        outputs: `(batch, length, hidden)`.
        state: after the last step.
    """
    batch, length = inputs.shape[:2]
    course = Course((batch,) * length, is_reverse=False)
    packed = inputs.transpose(0, 1).flatten(0, 1)
    outputs, last = run_layer(rnn, cell, packed, course, state)
    return outputs.view(length, batch, -1).transpose(0, 1), last


def run_layer(
    rnn: Rnn, cell: str, inputs: Tensor, course: Course, state: State
) -> tuple[Tensor, State]:
    """Run one direction of a single-layer `rnn` over packed sequences.

    Args:
        rnn: whose weights are used.
        cell: its kind.
        inputs: packed, `(tokens, input)`.
        course: how the rows are packed, and the direction.
        state: first state, parts `(batch, hidden)`, the longest sequence first.

    Returns:
        outputs: packed, `(tokens, hidden)`.
        state: after each sequence's last step, parts `(batch, hidden)`.
    """
    suffix = "_reverse" if course.is_reverse else ""
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    weight_ih, bias_ih, weight, bias = (cast("Tensor", getattr(rnn, n + suffix)) for n in names)
    gates = F.linear(inputs, weight_ih, bias_ih)
    with torch.autocast(inputs.device.type, enabled=False):
        outputs, *last = _FusedLayer.apply(  # type: ignore[no-untyped-call]
            CELLS[cell], course, gates, weight.to(gates.dtype), bias, *in_type(state, bias.dtype)
        )
    return outputs, tuple(last)


class _Kept(NamedTuple):
    """What a step leaves for the way back."""

    state: State  # parts (rows, hidden), before the step
    cell: tuple[Tensor, ...]


class _FusedLayer(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: type[Cell],
        course: Course,
        gates: Tensor,
        weight: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        bias, *first = rest
        steps, kept = course.steps(), []
        outputs = first[0].new_empty(len(gates), first[0].size(1))
        state = tuple(part[: steps[0][1]] for part in first)
        ended: list[State] = []  # the states of rows that ended, the shortest sequences first
        for start, number in steps:
            if course.is_reverse:
                state = _join(state, _rows(tuple(first), len(state[0]), number))
            elif number < len(state[0]):
                ended.append(_rows(state, number, len(state[0])))
                state = _rows(state, 0, number)
            recurrent = (state[0].to(weight.dtype) @ weight.t()).to(bias.dtype) + bias
            words = gates[start : start + number].to(bias.dtype)
            after, for_cell = cell.advance(words, recurrent, state)
            kept.append(_Kept(state, for_cell))
            outputs[start : start + number] = after[0]
            state = after
        for rows in reversed(ended):
            state = _join(state, rows)
        ctx.cell, ctx.course, ctx.weight, ctx.kept = cell, course, weight, kept
        ctx.dtype = gates.dtype
        return outputs, *state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, *d_last: Tensor) -> tuple[Tensor | None, ...]:
        weight, steps = ctx.weight, ctx.course.steps()
        num_gates = weight.size(0)
        d_gates = torch.empty(len(d_outputs), num_gates, dtype=ctx.dtype)
        d_recurrent = torch.empty(len(d_outputs), num_gates, dtype=weight.dtype)
        before = torch.empty(len(d_outputs), weight.size(1), dtype=weight.dtype)
        d_state = tuple(part[: steps[-1][1]] for part in d_last)
        begun: list[State] = []  # the gradients of first states, the shortest sequences first
        for (start, number), step in zip(reversed(steps), reversed(ctx.kept), strict=True):
            rows = slice(start, start + number)
            if not ctx.course.is_reverse:
                d_state = _join(d_state, _rows(d_last, len(d_state[0]), number))
            elif number < len(d_state[0]):
                begun.append(_rows(d_state, number, len(d_state[0])))
                d_state = _rows(d_state, 0, number)
            d_state = (d_state[0] + d_outputs[rows], *d_state[1:])
            by_cell = ctx.cell.retreat(d_state, step.state, step.cell)
            torch.cat(by_cell.gates, dim=-1, out=d_gates[rows])
            torch.cat(by_cell.recurrent, dim=-1, out=d_recurrent[rows])
            before[rows] = step.state[0]
            through = (d_recurrent[rows] @ weight).to(d_outputs.dtype)
            d_state = (by_cell.state[0] + through, *by_cell.state[1:])
        for rows_begun in reversed(begun):
            d_state = _join(d_state, rows_begun)
        d_bias = d_recurrent.sum(0, dtype=d_outputs.dtype)
        return None, None, d_gates, d_recurrent.t() @ before, d_bias, *d_state


def _rows(state: State, first: int, last: int) -> State:
    return tuple(part[first:last] for part in state)


def _join(state: State, more: State) -> State:
    """Rows with more rows below them."""
    if not len(more[0]):
        return state
    return tuple(torch.cat(parts) for parts in zip(state, more, strict=True))
