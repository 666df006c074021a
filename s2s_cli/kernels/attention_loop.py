"""The loop of Bahdanau's decoder over a whole target, with a hand-written backward pass.

The loop also runs the bottom layer of GNMT's decoder. Let s_i be the state, x_i the gates that come
from the word, K = 2 U h the keys and H the values of the memory, b the recurrent bias. Step i of
the forward pass computes

    [q; R] = [2 W; V] s_{i-1} + [0; b]     query and recurrent gates, in one product
    y_j    = sigmoid(K_j + q)              a shifted tanh, see `AdditiveScorer`
    a      = softmax_j(2 v . y_j)          over the real source tokens
    c_i    = sum_j a_j H_j
    s_i    = cell(x_i + C c_i, R, s_{i-1})

Autograd would compute the gradient of every weight at every step and add it to the sum so far,
which reads and writes whole matrices tgt_len times. Here the backward pass goes from the last step
to the first and computes the gradients of the products' results only:

    dx_i, dR       by the cell
    dc_i   = C' dx_i + the gradient that arrives at the output c_i
    da_j   = H_j . dc_i,   de = a (da - sum_j a_j da_j)
    u_j    = de_j y_j (1 - y_j)
    dq     = 2 v sum_j u_j
    ds     = [2 W; V]' [dq; dR] + the cell's own share

Afterwards one product over all steps gives the gradient of each weight,

    d[2 W; V] = sum_i [dq; dR] s_{i-1}',   dC = sum_i dx_i c_i',   dH_j = sum_i a_j dc_i,

and running sums give dK_j = 2 v sum_i u_j and dv = 2 sum_ij de_j y_j. Under autocast products and
scores use its type; states and the softmax use the type of the weights.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from s2s_cli.kernels.cells import Cell, CellGradients, SavedCell, State

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_softmax_backward = torch.ops.aten._softmax_backward_data


class LoopInputs(NamedTuple):
    """The loop's inputs, apart from the first state; factors of products have the same type."""

    gates: Tensor  # (tgt_len, batch, gates * hidden): x
    keys: Tensor  # (batch, src_len, attention): K
    values: Tensor  # (batch, src_len, value): H
    bias: Tensor  # (batch, src_len): 0 at real tokens, minus infinity at padding
    from_state: Tensor  # (attention + gates * hidden, hidden): [2 W; V]
    recurrent_bias: Tensor  # (gates * hidden,): b
    from_context: Tensor  # (gates * hidden, value): C
    score: Tensor  # (attention,): v


def run_attention_loop(cell: type[Cell], inputs: LoopInputs, state: State) -> tuple[Tensor, Tensor]:
    """Run the loop; differentiable.

    Args:
        cell: of the recurrent layer.
        inputs: everything but the state.
        state: first state, each `(batch, hidden)`.

    Returns:
        outputs: s, `(tgt_len, batch, hidden)`.
        contexts: c, `(tgt_len, batch, value)`.
    """
    return _AttentionLoop.apply(cell, *inputs, *state)  # type: ignore[no-any-return, no-untyped-call]


class SavedLoopStep(NamedTuple):
    """Tensors saved by one step of the forward pass."""

    state: State  # each (batch, hidden), before the step
    scores: Tensor  # (batch, src_len, attention): y
    attention_weights: Tensor  # (batch, src_len): a
    cell: SavedCell


class SavedLoop(NamedTuple):
    """Tensors saved by the forward pass; factors of products over all steps are contiguous."""

    steps: list[SavedLoopStep]
    states: Tensor  # (tgt_len, batch, hidden): before each step, in the products' type
    contexts: Tensor  # (tgt_len, batch, value): c


def forward_loop(cell: type[Cell], inputs: LoopInputs, state: State) -> tuple[Tensor, SavedLoop]:
    """Outputs `(tgt_len, batch, hidden)`, and what `backward_loop` needs, contexts included."""
    dtype, attention_size = inputs.keys.dtype, inputs.keys.size(-1)
    score = (2 * inputs.score).to(dtype)
    from_state, from_context = inputs.from_state.t(), inputs.from_context.t()
    tgt_len, batch = inputs.gates.shape[:2]
    outputs = state[0].new_empty(tgt_len, *state[0].shape)
    states = torch.empty_like(outputs, dtype=dtype)
    contexts = inputs.values.new_empty(tgt_len, batch, inputs.values.size(-1))
    steps: list[SavedLoopStep] = []
    for index, from_word in enumerate(inputs.gates):
        states[index] = state[0]
        product = states[index] @ from_state
        scores = (inputs.keys + product[:, None, :attention_size]).sigmoid_()
        energies = (scores @ score).to(inputs.bias.dtype) + inputs.bias
        weights = torch.softmax(energies, dim=-1)
        torch.bmm(weights[:, None].to(dtype), inputs.values, out=contexts[index][:, None])
        gates = torch.addmm(from_word, contexts[index], from_context).to(state[0].dtype)
        recurrent = product[:, attention_size:] + inputs.recurrent_bias
        new_state, saved = cell.forward(gates, recurrent, state)
        steps.append(SavedLoopStep(state, scores, weights, saved))
        outputs[index] = new_state[0]
        state = new_state
    return outputs, SavedLoop(steps, states, contexts)


def backward_loop(
    cell: type[Cell], inputs: LoopInputs, saved: SavedLoop, d_outputs: Tensor, d_contexts: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs, in their order, then those of the first state."""
    gradients = _LoopGradients(inputs, saved)
    d_state = tuple(torch.zeros_like(tensor) for tensor in saved.steps[0].state)
    for index in reversed(range(len(saved.steps))):
        step = saved.steps[index]
        d_state = (d_state[0] + d_outputs[index], *d_state[1:])
        of_cell = cell.backward(d_state, step.state, step.cell)
        through_products = gradients.add_step(index, of_cell, d_contexts[index])
        d_state = (of_cell.state[0] + through_products, *of_cell.state[1:])
    return (*gradients.finish(), *d_state)


class _AttentionLoop(Function):
    @staticmethod
    def forward(ctx: Any, cell: type[Cell], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.cell, ctx.inputs = cell, LoopInputs(*tensors[: len(LoopInputs._fields)])
        outputs, ctx.saved = forward_loop(cell, ctx.inputs, tensors[len(ctx.inputs) :])
        # Detached: an autograd node that holds its own output is a reference cycle.
        return outputs, ctx.saved.contexts.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs: Tensor, d_contexts: Tensor) -> tuple[Tensor | None, ...]:
        gradients = backward_loop(ctx.cell, ctx.inputs, ctx.saved, d_outputs, d_contexts)
        # A caller who still holds the loss must not hold these tensors as well.
        ctx.inputs = ctx.saved = None
        return (None, *gradients)


class _LoopGradients:
    """The gradients of the loop's inputs, summed up from the last step to the first."""

    def __init__(self, inputs: LoopInputs, saved: SavedLoop) -> None:
        self.inputs, self.saved = inputs, saved
        self.factor = 2 * inputs.score
        self.d_keys = torch.zeros_like(inputs.keys)
        self.d_score = torch.zeros_like(inputs.score)
        self.d_scores = torch.empty_like(inputs.keys)
        self.d_gates = torch.empty_like(inputs.gates)
        self.d_products = inputs.gates.new_empty(*inputs.gates.shape[:2], len(inputs.from_state))
        self.d_contexts = torch.empty_like(saved.contexts)

    def add_step(self, index: int, of_cell: CellGradients, d_context: Tensor) -> Tensor:
        """Add a step.

        Args:
            index: of the step.
            of_cell: what the cell's backward pass returned.
            d_context: gradient that arrives at the output c_i, `(batch, value)`.

        Returns:
            The gradient of the hidden state before the step through the products,
            `(batch, hidden)`.
        """
        inputs, step, dtype = self.inputs, self.saved.steps[index], self.inputs.keys.dtype
        d_gates, d_product = self.d_gates[index], self.d_products[index]
        torch.cat(of_cell.gates, dim=-1, out=d_gates)
        d_context = torch.addmm(d_context, d_gates, inputs.from_context, out=self.d_contexts[index])
        d_weights = torch.bmm(inputs.values, d_context[:, :, None])[:, :, 0]
        weights = step.attention_weights
        d_energies = _softmax_backward(d_weights.to(weights.dtype), weights, -1, weights.dtype)
        d_energies = d_energies.to(dtype)
        _sigmoid_backward(
            d_energies[:, :, None].expand_as(step.scores), step.scores, grad_input=self.d_scores
        )
        self.d_keys += self.d_scores
        self.d_score += d_energies.view(-1) @ step.scores.view(-1, len(self.d_score))
        d_query = self.d_scores.sum(1) * self.factor
        torch.cat([d_query, *of_cell.recurrent], dim=-1, out=d_product)
        return (d_product @ inputs.from_state).to(step.state[0].dtype)

    def finish(self) -> tuple[Tensor | None, ...]:
        """Gradients of all inputs, in their order."""
        inputs, saved = self.inputs, self.saved
        dtype, attention_size = inputs.keys.dtype, inputs.keys.size(-1)
        d_products, d_gates = self.d_products.flatten(0, 1), self.d_gates.flatten(0, 1)
        weights = torch.stack([step.attention_weights.to(dtype) for step in saved.steps], 2)
        return (
            self.d_gates,
            (self.d_keys * self.factor).to(dtype),
            torch.bmm(weights, self.d_contexts.transpose(0, 1)),
            None,
            d_products.t() @ saved.states.flatten(0, 1),
            d_products.sum(0)[attention_size:].to(inputs.recurrent_bias.dtype),
            d_gates.t() @ saved.contexts.flatten(0, 1),
            2 * self.d_score,
        )
