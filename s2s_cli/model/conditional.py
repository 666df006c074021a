"""The decoder that attends to the source within each step (Sennrich et al. 2017, Nematus).

What does not depend on the state is computed for all steps at once: the attention's keys, and the
first cell's gates that come from the words. Only the two cells of the bottom layer and the
attention between them are in the loop over target positions.
"""

from typing import cast

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.cells import State
from s2s_cli.model.attention import Attention, Memory
from s2s_cli.model.decoders import DecoderMemory, DecoderOutput, make_upper_stack
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import (
    Masks,
    apply_norm,
    join_bottom,
    make_norms,
    split_bottom,
)
from s2s_cli.model.recurrent_layer import RecurrentLayer


class ConditionalDecoder(nn.Module):
    """Attends to the source between two cells, as Nematus' conditional GRU.

    With s the bottom state, e the embedded last token and a the attention:
    s'_i = cell1(e, s_{i-1}), c_i = a(s'_i), s_i = cell2(c_i, s'_i). The inputs of each layer above
    are [the outputs below; c_i], as in GNMT's decoder; the features are [the top output; e; c_i].
    Transitions follow cell2 (Barone et al. 2017), so that cell1 is not counted in their depth.
    """

    readout = "tanh"
    """As in the paper: t_i = tanh(U s_i + V e + W c_i)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden + sizes.embed + value
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.word_layer = RecurrentLayer(
            config.cell, sizes.embed, sizes.hidden, layer_norm=config.layer_norm
        )
        self.context_layer = RecurrentLayer(
            config.cell, value, sizes.hidden, sizes.depth, config.layer_norm
        )
        self.bottom_norm = make_norms(1, sizes.hidden, config.layer_norm)
        self.stack = make_upper_stack(config)

    def init_state(self, encoding: Encoding) -> tuple[State, DecoderMemory]:
        """The first state, by the bridge, and the attention's memory."""
        memory = self.attention.make_memory(encoding.outputs, encoding.mask)
        return self.bridge(encoding), memory

    def forward(self, embedded: Tensor, state: State, memory: DecoderMemory) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            state: first state, from `init_state`.
            memory: from `init_state`.
        """
        bottom, upper = split_bottom(state)
        all_outputs, all_contexts = [], []
        for gates in self.word_layer.project(embedded).unbind(1):
            bottom, context, _ = self._step_bottom(gates, bottom, cast("Memory", memory))
            all_outputs.append(bottom[0])
            all_contexts.append(context)
        outputs, contexts = torch.stack(all_outputs, 1), torch.stack(all_contexts, 1)
        outputs = self.stack(apply_norm(self.bottom_norm, 0, outputs), upper, contexts)
        return torch.cat([outputs, embedded, contexts], dim=-1)

    def _step_bottom(
        self, gates: Tensor, state: State, memory: Memory
    ) -> tuple[State, Tensor, Tensor]:
        """The bottom state after a step, the context and the attention weights.

        Args:
            gates: of the first cell, from the word, `(batch * beam, gates * hidden)`.
            state: of the bottom layer, each `(batch * beam, hidden)`.
            memory: of `batch` rows.
        """
        between = self.word_layer.step(gates, state)
        context, attention_weights = self.attention(between[0], memory)
        state = self.context_layer.step(self.context_layer.project(context), between)
        return state, context, attention_weights

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        bottom, upper = split_bottom(state)
        gates = self.word_layer.project(embedded)
        bottom, context, attention_weights = self._step_bottom(
            gates, bottom, cast("Memory", memory)
        )
        outputs = apply_norm(self.bottom_norm, 0, bottom[0])
        outputs, upper = self.stack.step_inputs(outputs, upper, masks, context)
        features = torch.cat([outputs, embedded, context], dim=-1)
        return DecoderOutput(features, join_bottom(bottom, upper), attention_weights)
