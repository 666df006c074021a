"""Dropout along sequences: other units at every position, or the same ones all along."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.kernels.cells import CELLS, State, in_type
from s2s_cli.kernels.rnn_layer import can_fuse_layer, run_sequences


class SequenceDropout(nn.Module):
    """Dropout that knows which positions belong to one sentence.

    Plain, every position is dropped on its own; variational, all positions of a sentence share
    one mask (Gal and Ghahramani 2016).
    """

    def __init__(self, probability: float, is_variational: bool) -> None:
        super().__init__()
        self.probability = probability
        self.is_variational = is_variational

    @property
    def shares_masks(self) -> bool:
        """Whether a sentence's positions must be given one mask now."""
        return self.is_variational and self.training and self.probability > 0

    def forward(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Drop units.

        Args:
            inputs: `(batch, length, feature)`; or `(tokens, feature)` of several sentences.
            rows: `(tokens,)` for the latter, which sentence each belongs to; None if each stands
                for one of its own.
        """
        if not self.shares_masks:
            return F.dropout(inputs, self.probability, self.training)
        if inputs.dim() == 3:
            return inputs * self.draw_mask(inputs[:, 0]).unsqueeze(1)
        if rows is None:
            return inputs * self.draw_mask(inputs)
        masks = self.draw_mask(inputs.new_empty(int(rows.max()) + 1, inputs.size(-1)))
        return inputs * masks[rows]

    def draw_mask(self, like: Tensor) -> Tensor:
        """One mask a sentence, `(batch, feature)`: 0, or what keeps the expectation."""
        return F.dropout(torch.ones_like(like), self.probability, self.training)


class Embedding(nn.Module):
    """A table of word vectors, with dropout of their units and of whole words."""

    def __init__(self, config: Model, vocab_size: int, embed_size: int, pad_id: int) -> None:
        super().__init__()
        empty = torch.empty(vocab_size, embed_size)
        self.table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            empty, freeze=False, padding_idx=pad_id
        )
        # A model to be loaded is built without numbers; asked to draw them all the same, PyTorch
        # would import its compiler.
        if not empty.is_meta:
            self.table.reset_parameters()
        probability = config.dropout if config.embed_dropout is None else config.embed_dropout
        self.dropout = SequenceDropout(probability, config.variational)
        self.word_dropout = config.word_dropout

    def forward(self, token_ids: Tensor) -> Tensor:
        """From `(batch, length)` to `(batch, length, embed)`."""
        return self.dropout(self._drop_words(self.table(token_ids)))  # type: ignore[no-any-return]

    def embed_step(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """From `(batch,)`, one token a sentence, to `(batch, embed)`.

        Args:
            token_ids: `(batch,)`.
            mask: what `draw_mask` returned at the sentences' start.
        """
        embedded = self._drop_words(self.table(token_ids))
        return self.dropout(embedded) if mask is None else embedded * mask

    def draw_mask(self, token_ids: Tensor) -> Tensor | None:
        """A mask `(batch, embed)` for all steps of `(batch,)` sentences, if they share one."""
        if not self.dropout.shares_masks:
            return None
        return self.dropout.draw_mask(self.table.weight.new_empty(len(token_ids), self.width))

    @property
    def width(self) -> int:
        """Of a vector."""
        return self.table.embedding_dim

    def _drop_words(self, embedded: Tensor) -> Tensor:
        if not (self.training and self.word_dropout):
            return embedded
        return embedded * F.dropout(torch.ones_like(embedded[..., :1]), self.word_dropout)


Masks = tuple[Tensor, ...]
"""Dropout masks `(batch, hidden)` between layers, for a whole sequence; empty if not shared."""

RNN_CLASSES: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


def call_layer(rnn: nn.Module, *inputs: Any) -> Any:
    """Call one of PyTorch's recurrent layers, on any device, in any precision.

    oneDNN, which computes an LSTM on CPUs, has no float16 LSTM on most of them: PyTorch's own loop
    takes its place there.
    """
    onednn: Any = torch.backends.mkldnn  # whose settings PyTorch's types do not know
    is_half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
    was_enabled = onednn.enabled
    try:
        onednn.enabled = was_enabled and not is_half
        return rnn(*inputs)
    finally:
        onednn.enabled = was_enabled


class RecurrentLayer(nn.Module):
    """One unidirectional layer that runs over a sequence at once, or step by step, alike.

    Single-layer modules only: between layers stands our own dropout, because cuDNN's keeps a
    random state that no seed restores.
    """

    def __init__(self, cell: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = cell
        self.rnn = RNN_CLASSES[cell](input_size, hidden_size, batch_first=True)
        self.is_fused = True

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run over a whole sequence.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: parts `(batch, hidden)`.

        Returns:
            outputs: `(batch, tgt_len, hidden)`.
            state: the parts after the last step.
        """
        if self.is_fused and can_fuse_layer(self.cell, inputs):
            return run_sequences(self.rnn, self.cell, inputs, state)
        first = tuple(part.unsqueeze(0).contiguous() for part in state)
        outputs, last = call_layer(self.rnn, inputs, first if len(first) > 1 else first[0])
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
        # Under autocast products are bfloat16; what is carried on is as precise as the weights.
        dtype = cast("Tensor", self.rnn.bias_hh_l0).dtype
        before = in_type(state, dtype)
        return CELLS[self.cell].advance(gates.to(dtype), recurrent.to(dtype), before)[0]


class Shape(NamedTuple):
    """What a stack of layers is made of."""

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    side_size: int = 0
    """Width of what every layer is given besides the output of the one below."""
    is_upper: bool = False
    """Whether other layers stand below: dropout and residuals then begin at the first one here."""
    residual: bool = False
    layer_norm: bool = False


class RecurrentStack(nn.Module):
    """Layers on top of each other, with dropout between them.

    With `residual`, from the second layer on x + layer(dropout(x)) goes up (Wu et al. 2016); with
    `layer_norm`, what goes up is normalised. The cells' own states are left as they are.
    """

    def __init__(self, shape: Shape, dropout: SequenceDropout) -> None:
        super().__init__()
        self.dropout = dropout
        self.is_upper = shape.is_upper
        self.residual = shape.residual
        hidden = shape.hidden_size
        self.layers = nn.ModuleList(
            RecurrentLayer(
                shape.cell, (hidden if index else shape.input_size) + shape.side_size, hidden
            )
            for index in range(shape.num_layers)
        )
        self.norms = make_norms(shape.num_layers if shape.layer_norm else 0, hidden)

    def forward(self, inputs: Tensor, state: State, side: Tensor | None = None) -> Tensor:
        """Run over a whole sequence, layer by layer.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: parts `(batch, layers, hidden)`.
            side: `(batch, tgt_len, side)`, given to every layer beside its input.

        Returns:
            outputs of the top layer, `(batch, tgt_len, hidden)`.
        """
        for index, layer in enumerate(self.layers):
            given = self.dropout(inputs) if index or self.is_upper else inputs
            outputs, _ = layer(beside(given, side), layer_of(state, index))
            inputs = self._pass_on(index, outputs, inputs)
        return inputs

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs' share of the bottom layer's gates, `(..., gates * hidden)`."""
        return self.bottom.project(inputs)

    def step(self, gates: Tensor, state: State, masks: Masks = ()) -> tuple[Tensor, State]:
        """Advance every layer one step, the bottom layer's gates being known.

        Args:
            gates: of the bottom layer, `(batch, gates * hidden)`.
            state: parts `(batch, layers, hidden)`.
            masks: what `draw_masks` returned at the sequence's start.

        Returns:
            outputs of the top layer, `(batch, hidden)`, and the state after the step.
        """
        states = [self.bottom.step(gates, layer_of(state, 0))]
        outputs = self._pass_on(0, states[0][0], None)
        return self._climb(outputs, states, state, masks, None)

    def step_inputs(
        self, inputs: Tensor, state: State, masks: Masks, side: Tensor
    ) -> tuple[Tensor, State]:
        """Advance every layer one step, from inputs `(batch, input)` and `side` `(batch, side)`."""
        return self._climb(inputs, [], state, masks, side)

    def _climb(
        self, outputs: Tensor, states: list[State], state: State, masks: Masks, side: Tensor | None
    ) -> tuple[Tensor, State]:
        """Advance the layers above those whose new states are known already."""
        unused = list(masks)
        for index in range(len(states), len(self.layers)):
            layer, inputs = self._layer(index), outputs
            if index or self.is_upper:
                inputs = inputs * unused.pop(0) if unused else self.dropout(inputs)
            gates = layer.project(beside(inputs, side))
            states.append(layer.step(gates, layer_of(state, index)))
            outputs = self._pass_on(index, states[-1][0], outputs)
        return outputs, stack_layers(states)

    def draw_masks(self, batch_size: int) -> Masks:
        """Masks between the layers for all steps of a batch, if its steps share them."""
        if not self.dropout.shares_masks:
            return ()
        rnn = self.bottom.rnn
        like = next(rnn.parameters()).new_empty(batch_size, rnn.hidden_size)
        number = len(self.layers) - 1 + self.is_upper
        return tuple(self.dropout.draw_mask(like) for _ in range(number))

    @property
    def bottom(self) -> RecurrentLayer:
        """The layer that the inputs enter."""
        return self._layer(0)

    def _layer(self, index: int) -> RecurrentLayer:
        return cast("RecurrentLayer", self.layers[index])

    def _pass_on(self, index: int, outputs: Tensor, inputs: Tensor | None) -> Tensor:
        if self.residual and (index or self.is_upper) and inputs is not None:
            outputs = outputs + inputs
        return normalize(self.norms, index, outputs)


def make_norms(number: int, size: int) -> nn.ModuleList:
    """A layer normalisation for each of a stack's layers; empty where there is none."""
    return nn.ModuleList(nn.LayerNorm(size) for _ in range(number))


def normalize(norms: nn.ModuleList, index: int, outputs: Tensor) -> Tensor:
    """A layer's outputs, normalised if there is a norm for it."""
    return norms[index](outputs) if index < len(norms) else outputs


def beside(inputs: Tensor, side: Tensor | None) -> Tensor:
    """Inputs with something more beside them, along the last dimension."""
    return inputs if side is None else torch.cat([inputs, side], dim=-1)


def top_of(state: State) -> Tensor:
    """The top layer's hidden state `(batch, hidden)`."""
    return state[0][:, -1]


def as_state(hidden: Tensor | State) -> State:
    """What an `nn.RNN`, `nn.GRU` or `nn.LSTM` returns as its last state, in one type."""
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
