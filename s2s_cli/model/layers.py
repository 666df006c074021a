"""The layers that models are built of: dropout, embeddings, stacks of recurrent layers.

Dropout is either drawn for every position, or variational: drawn once for a sentence and used at
all its positions. Stacks compute the same in two ways, over a whole sequence (`forward`) and one
step at a time (`step`).
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.kernels.cells import State
from s2s_cli.model.recurrent_layer import RecurrentLayer


class SequenceDropout(nn.Module):
    """Dropout with a mask for every position or, if variational, one mask for each sentence.

    Variational dropout: Gal and Ghahramani 2016.
    """

    def __init__(self, probability: float, is_variational: bool) -> None:
        super().__init__()
        self.probability = probability
        self.is_variational = is_variational

    @property
    def shares_masks(self) -> bool:
        """Whether all positions of a sentence must get the same mask now."""
        return self.is_variational and self.training and self.probability > 0

    def forward(self, inputs: Tensor, rows: Tensor | None = None) -> Tensor:
        """Drop units.

        Args:
            inputs: `(batch, length, feature)` or `(tokens, feature)`.
            rows: for inputs of the second shape, the sentence that each token belongs to,
                `(tokens,)`; None if each token is from another sentence.
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
        """A mask for each sentence, `(batch, feature)`, with entries 0 or 1 / (1 - p)."""
        return F.dropout(torch.ones_like(like), self.probability, self.training)


class Embedding(nn.Module):
    """A table of word vectors, with dropout of units and of whole words."""

    def __init__(
        self, config: Model, word_dropout: float, vocab_size: int, embed_size: int, pad_id: int
    ) -> None:
        super().__init__()
        empty = torch.empty(vocab_size, embed_size)
        self.table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            empty, freeze=False, padding_idx=pad_id
        )
        # A model to be loaded is built on the meta device first. Drawing numbers there would make
        # PyTorch import its compiler.
        if not empty.is_meta:
            self.table.reset_parameters()
        probability = config.dropout if config.embed_dropout is None else config.embed_dropout
        self.dropout = SequenceDropout(probability, config.variational)
        self.word_dropout = word_dropout

    def forward(self, token_ids: Tensor, kept: Tensor | None = None) -> Tensor:
        """From `(batch, length)` to `(batch, length, embed)`.

        Args:
            token_ids: `(batch, length)`.
            kept: True where a word keeps its embedding, `(batch, length)`; the others become zero.
        """
        embedded = self._drop_words(self.table(token_ids))
        if kept is not None:
            embedded = embedded * kept.unsqueeze(-1)
        return self.dropout(embedded)  # type: ignore[no-any-return]

    def embed_step(self, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """From `(batch,)`, one token of each sentence, to `(batch, embed)`.

        Args:
            token_ids: `(batch,)`.
            mask: what `draw_mask` returned before the first step.
        """
        embedded = self._drop_words(self.table(token_ids))
        return self.dropout(embedded) if mask is None else embedded * mask

    def draw_mask(self, token_ids: Tensor) -> Tensor | None:
        """A mask `(batch, embed)` for all steps of a batch; None if not variational."""
        if not self.dropout.shares_masks:
            return None
        return self.dropout.draw_mask(
            self.table.weight.new_empty(len(token_ids), self.table.embedding_dim)
        )

    def _drop_words(self, embedded: Tensor) -> Tensor:
        if not (self.training and self.word_dropout):
            return embedded
        return embedded * F.dropout(torch.ones_like(embedded[..., :1]), self.word_dropout)


Masks = tuple[Tensor, ...]
"""Dropout masks `(batch, hidden)` between layers, for all steps; empty if not variational."""


class StackConfig(NamedTuple):
    """Sizes and options of a `RecurrentStack`."""

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    extra_size: int = 0
    """Width of the extra input that every layer gets next to the output of the layer below."""
    is_upper: bool = False
    """Whether the stack stands on other layers: its first layer then has dropout and a residual."""
    residual: bool = False
    layer_norm: str = "none"
    transition_depth: int = 1
    """Number of cells in a time step of each layer."""


class RecurrentStack(nn.Module):
    """Layers on top of each other, with dropout between them.

    With `residual`, layers from the second on output x + layer(dropout(x)) (Wu et al. 2016). With
    `layer_norm: output`, outputs are normalised. Neither changes the states of the cells.
    """

    def __init__(self, config: StackConfig, dropout: SequenceDropout) -> None:
        super().__init__()
        self.dropout = dropout
        self.is_upper = config.is_upper
        self.residual = config.residual
        hidden = config.hidden_size
        self.layers = nn.ModuleList(
            RecurrentLayer(
                config.cell,
                (hidden if index else config.input_size) + config.extra_size,
                hidden,
                config.transition_depth,
                config.layer_norm,
            )
            for index in range(config.num_layers)
        )
        self.norms = make_norms(config.num_layers, hidden, config.layer_norm)

    def forward(self, inputs: Tensor, state: State, extra: Tensor | None = None) -> Tensor:
        """Run over a whole sequence, layer by layer.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: each `(batch, layers, hidden)`.
            extra: a further input of every layer, `(batch, tgt_len, extra)`.

        Returns:
            outputs of the top layer, `(batch, tgt_len, hidden)`.
        """
        for index, layer in enumerate(self.layers):
            dropped = self.dropout(inputs) if index or self.is_upper else inputs
            outputs, _ = layer(concat(dropped, extra), layer_state(state, index))
            inputs = self._add_and_norm(index, outputs, inputs)
        return inputs

    def project(self, inputs: Tensor) -> Tensor:
        """The bottom layer's gates that come from the inputs, `(..., gates * hidden)`."""
        return self.bottom.project(inputs)

    def step(self, gates: Tensor, state: State, masks: Masks = ()) -> tuple[Tensor, State]:
        """Run all layers for one step, given the gates of the bottom layer.

        For stacks that stand on no other layers; `step_inputs` is for the others.

        Args:
            gates: of the bottom layer, `(batch, gates * hidden)`.
            state: each `(batch, layers, hidden)`.
            masks: what `draw_masks` returned before the first step.

        Returns:
            outputs of the top layer, `(batch, hidden)`, and the state after the step.
        """
        bottom = self.bottom.step(gates, layer_state(state, 0))
        outputs = self._add_and_norm(0, bottom[0], None)
        return self._step_upper(outputs, [bottom], state, masks, None)

    def step_inputs(
        self, inputs: Tensor, state: State, masks: Masks, extra: Tensor
    ) -> tuple[Tensor, State]:
        """Run all layers of an upper stack for one step.

        Args:
            inputs: `(batch, input)`.
            state: each `(batch, layers, hidden)`.
            masks: what `draw_masks` returned before the first step.
            extra: a further input of every layer, `(batch, extra)`.
        """
        if not self.layers:
            return inputs, state
        return self._step_upper(inputs, [], state, masks, extra)

    def _step_upper(
        self, outputs: Tensor, states: list[State], state: State, masks: Masks, extra: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run the layers above those whose new states are in `states`, for one step."""
        unused = list(masks)
        for index in range(len(states), len(self.layers)):
            layer, inputs = self._layer(index), outputs
            if index or self.is_upper:
                inputs = inputs * unused.pop(0) if unused else self.dropout(inputs)
            gates = layer.project(concat(inputs, extra))
            states.append(layer.step(gates, layer_state(state, index)))
            outputs = self._add_and_norm(index, states[-1][0], outputs)
        return outputs, stack_layers(states)

    def draw_masks(self, batch_size: int) -> Masks:
        """Masks between the layers for all steps of a batch; empty if not variational."""
        if not (self.dropout.shares_masks and self.layers):
            return ()
        rnn = self.bottom.rnn
        like = next(rnn.parameters()).new_empty(batch_size, rnn.hidden_size)
        number = len(self.layers) - 1 + self.is_upper
        return tuple(self.dropout.draw_mask(like) for _ in range(number))

    @property
    def bottom(self) -> RecurrentLayer:
        """The first layer."""
        return self._layer(0)

    def _layer(self, index: int) -> RecurrentLayer:
        return cast("RecurrentLayer", self.layers[index])

    def _add_and_norm(self, index: int, outputs: Tensor, inputs: Tensor | None) -> Tensor:
        if self.residual and (index or self.is_upper) and inputs is not None:
            outputs = outputs + inputs
        return apply_norm(self.norms, index, outputs)


def make_norms(number: int, size: int, layer_norm: str) -> nn.ModuleList:
    """Normalisations of the outputs of a stack's lowest `number` layers; none if they have none."""
    return nn.ModuleList(nn.LayerNorm(size) for _ in range(number * (layer_norm == "output")))


def apply_norm(norms: nn.ModuleList, index: int, outputs: Tensor) -> Tensor:
    """Normalise a layer's outputs, if there is a normalisation for this layer."""
    return norms[index](outputs) if index < len(norms) else outputs


def concat(inputs: Tensor, extra: Tensor | None) -> Tensor:
    """Concatenate along the last dimension; None adds nothing."""
    return inputs if extra is None else torch.cat([inputs, extra], dim=-1)


def top_hidden(state: State) -> Tensor:
    """The hidden state of the top layer, `(batch, hidden)`."""
    return state[0][:, -1]


def layer_state(state: State, index: int) -> State:
    """The state of one layer of a stack, each `(batch, hidden)`."""
    return tuple(tensor[:, index] for tensor in state)


def split_bottom(state: State) -> tuple[State, State]:
    """The state of the bottom layer, each `(batch, hidden)`, and that of the layers above it."""
    return layer_state(state, 0), tuple(tensor[:, 1:] for tensor in state)


def join_bottom(bottom: State, upper: State) -> State:
    """The state of a stack from what `split_bottom` returns."""
    return tuple(
        torch.cat([lowest.unsqueeze(1), others], dim=1)
        for lowest, others in zip(bottom, upper, strict=True)
    )


def stack_layers(states: list[State]) -> State:
    """The state of a stack, each `(batch, layers, hidden)`, from those of its layers."""
    return tuple(torch.stack(tensors, dim=1) for tensors in zip(*states, strict=True))


def select_rows(state: State, rows: Tensor) -> State:
    """Reorder, repeat or drop rows of the batch, the first dimension of each tensor."""
    return tuple(tensor.index_select(0, rows) for tensor in state)
