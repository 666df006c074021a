"""Bahdanau's loop with its gradient derived by hand: training's fast path.

With s_i the state, x_i the word's share of the gates, K = 2 U the memory's keys, H its values and
b the recurrent bias, a step of Bahdanau's decoder (and of the bottom layer of GNMT's) computes

    [q; R] = [2 W; V] s_{i-1} + [0; b]     query and recurrent gates, in one product
    y_j    = sigmoid(K_j + q)              tanh but for a shift, as in `AdditiveScorer`
    a      = softmax_j(2 v . y_j)          over the real source tokens
    c_i    = sum_j a_j H_j
    s_i    = cell(x_i + C c_i, R, s_{i-1})

Autograd would find the gradient of each weight anew at each step, reading all of it to add to it.
Here the loop backwards finds only the gradients of what comes out of the products,

    dx_i, dR       by the cell
    dc_i   = C' dx_i + what the features gave
    da_j   = H_j . dc_i,   de = a (da - sum_j a_j da_j)
    u_j    = de_j y_j (1 - y_j)
    dq     = 2 v sum_j u_j
    ds     = [2 W; V]' [dq; dR] + the cell's own share

and after it one product over all steps gives each weight's: d[2 W; V] = sum_i [dq; dR] s_{i-1}',
dC = sum_i dx_i c_i', dH_j = sum_i a_j dc_i; likewise dK_j = 2 v sum_i u_j, dv = 2 sum_ij de_j y_j.
Under autocast products and scores are in its type, states and the softmax in that of the weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from s2s_cli.kernels.cells import Cell, CellGradients, State

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_softmax_backward = torch.ops.aten._softmax_backward_data


class Given(NamedTuple):
    """What goes in, but for the state; in the products' type where it is multiplied."""

    gates: Tensor  # (tgt_len, batch, gates * hidden): x
    keys: Tensor  # (batch, src_len, attention): 2 U
    values: Tensor  # (batch, src_len, value): H
    bias: Tensor  # (batch, src_len): 0, minus infinity at padding
    from_state: Tensor  # (attention + gates * hidden, hidden): [2 W; V]
    recurrent_bias: Tensor  # (gates * hidden,): b
    from_context: Tensor  # (gates * hidden, value): C
    score: Tensor  # (attention,): v


Loop = Callable[[type[Cell], Given, State], tuple[Tensor, Tensor]]
"""Gives outputs `(tgt_len, batch, hidden)` and contexts `(tgt_len, batch, value)`, and their
gradients when they are asked for."""


def fused_loop(cell: type[Cell], given: Given, state: State) -> tuple[Tensor, Tensor]:
    """Run the loop, each kernel when it is its turn."""
    return _FusedLoop.apply(cell, *given, *state)  # type: ignore[no-any-return, no-untyped-call]


class Kept(NamedTuple):
    """What a step leaves for the way back."""

    state: State  # parts (batch, hidden), before the step
    scores: Tensor  # (batch, src_len, attention): y
    weights: Tensor  # (batch, src_len): a
    cell: tuple[Tensor, ...]


class Way(NamedTuple):
    """What the way there leaves for the way back; what is multiplied over all steps is in one."""

    steps: list[Kept]
    states: Tensor  # (tgt_len, batch, hidden): before each step, in the products' type
    contexts: Tensor  # (tgt_len, batch, value): c


def run_forwards(cell: type[Cell], given: Given, state: State) -> tuple[Tensor, Way]:
    """The outputs `(tgt_len, batch, hidden)`, and the way there, contexts among it."""
    dtype, width = given.keys.dtype, given.keys.size(-1)
    vector = (2 * given.score).to(dtype)
    from_state, from_context = given.from_state.t(), given.from_context.t()
    length, batch = given.gates.shape[:2]
    outputs = state[0].new_empty(length, *state[0].shape)
    states = torch.empty_like(outputs, dtype=dtype)
    contexts = given.values.new_empty(length, batch, given.values.size(-1))
    steps: list[Kept] = []
    for index, words in enumerate(given.gates):
        states[index] = state[0]
        product = states[index] @ from_state
        scores = (given.keys + product[:, None, :width]).sigmoid_()
        energies = (scores @ vector).to(given.bias.dtype) + given.bias
        weights = torch.softmax(energies, dim=-1)
        torch.bmm(weights[:, None].to(dtype), given.values, out=contexts[index][:, None])
        gates = torch.addmm(words, contexts[index], from_context).to(state[0].dtype)
        recurrent = product[:, width:] + given.recurrent_bias
        after, kept = cell.advance(gates, recurrent, state)
        steps.append(Kept(state, scores, weights, kept))
        outputs[index] = after[0]
        state = after
    return outputs, Way(steps, states, contexts)


def run_backwards(
    cell: type[Cell], given: Given, way: Way, d_outputs: Tensor, d_contexts: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of what was given, in its order, then those of the first state's parts."""
    back = _WayBack(given, way)
    d_state = tuple(torch.zeros_like(part) for part in way.steps[0].state)
    for index in reversed(range(len(way.steps))):
        step = way.steps[index]
        d_state = (d_state[0] + d_outputs[index], *d_state[1:])
        by_cell = cell.retreat(d_state, step.state, step.cell)
        through = back.step(index, by_cell, d_contexts[index])
        d_state = (by_cell.state[0] + through, *by_cell.state[1:])
    return (*back.finish(), *d_state)


class _FusedLoop(Function):
    @staticmethod
    def forward(ctx: Any, cell: type[Cell], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.cell, ctx.given = cell, Given(*tensors[: len(Given._fields)])
        outputs, ctx.way = run_forwards(cell, ctx.given, tensors[len(ctx.given) :])
        # Not the very tensor: what a node keeps must not be what it gives.
        return outputs, ctx.way.contexts.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_contexts: Tensor) -> tuple[Tensor | None, ...]:
        gradients = run_backwards(ctx.cell, ctx.given, ctx.way, d_outputs, d_contexts)
        # Who still holds the loss does not hold all of this.
        ctx.given = ctx.way = None
        return (None, *gradients)


class _WayBack:
    """The gradients, gathered from the last step to the first."""

    def __init__(self, given: Given, way: Way) -> None:
        self.given, self.way = given, way
        self.factor = 2 * given.score
        self.d_keys = torch.zeros_like(given.keys)
        self.d_score = torch.zeros_like(given.score)
        self.d_scores = torch.empty_like(given.keys)
        self.d_gates = torch.empty_like(given.gates)
        self.d_products = given.gates.new_empty(*given.gates.shape[:2], len(given.from_state))
        self.d_contexts = torch.empty_like(way.contexts)

    def step(self, index: int, by_cell: CellGradients, d_context: Tensor) -> Tensor:
        """Take in a step; give the state's gradient `(batch, hidden)` through the products."""
        given, step, dtype = self.given, self.way.steps[index], self.given.keys.dtype
        d_gates, d_product = self.d_gates[index], self.d_products[index]
        torch.cat(by_cell.gates, dim=-1, out=d_gates)
        d_context = torch.addmm(d_context, d_gates, given.from_context, out=self.d_contexts[index])
        d_weights = torch.bmm(given.values, d_context[:, :, None])[:, :, 0]
        d_energies = _softmax_backward(
            d_weights.to(step.weights.dtype), step.weights, -1, step.weights.dtype
        ).to(dtype)
        _sigmoid_backward(
            d_energies[:, :, None].expand_as(step.scores), step.scores, grad_input=self.d_scores
        )
        self.d_keys += self.d_scores
        self.d_score += d_energies.view(-1) @ step.scores.view(-1, len(self.d_score))
        d_query = self.d_scores.sum(1) * self.factor
        torch.cat([d_query, *by_cell.recurrent], dim=-1, out=d_product)
        return (d_product @ given.from_state).to(step.state[0].dtype)

    def finish(self) -> tuple[Tensor | None, ...]:
        """The gradients of all that was given, in its order."""
        given, way = self.given, self.way
        dtype, width = given.keys.dtype, given.keys.size(-1)
        d_products, d_gates = self.d_products.flatten(0, 1), self.d_gates.flatten(0, 1)
        weights = torch.stack([step.weights.to(dtype) for step in way.steps], 2)
        return (
            self.d_gates,
            (self.d_keys * self.factor).to(dtype),
            torch.bmm(weights, self.d_contexts.transpose(0, 1)),
            None,
            d_products.t() @ way.states.flatten(0, 1),
            d_products.sum(0)[width:].to(given.recurrent_bias.dtype),
            d_gates.t() @ way.contexts.flatten(0, 1),
            2 * self.d_score,
        )
