"""The decoder that attends to the source before each step (Bahdanau et al. 2014).

What does not depend on the state is computed for all steps at once: the attention's keys, and the
bottom layer's gates that come from the words. Only the rest is in the loop over target positions.
"""

from typing import cast

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.attention_loop import LoopInputs, run_attention_loop
from s2s_cli.kernels.cells import CELLS, NUM_GATES, State, cast_state
from s2s_cli.model.attention import AdditiveScorer, Attention, Memory
from s2s_cli.model.decoders import DecoderMemory, DecoderOutput, make_stack
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import Masks, apply_norm, layer_state, top_hidden
from s2s_cli.model.recurrent_layer import RecurrentLayer


class BahdanauDecoder(nn.Module):
    """Attends to the source before each step (Bahdanau et al. 2014, appendix A.2.2).

    With s the top state, e the embedded last token and a the attention: c_i = a(s_{i-1}),
    s_i = cell(W e + C c_i, s_{i-1}); the features are [s_i; e; c_i].
    """

    readout = "maxout"
    """The readout of s_i, e and c_i, as in the paper's text; its appendix has s_{i-1}."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden + sizes.embed + value
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.from_context = nn.Linear(value, NUM_GATES[config.cell] * sizes.hidden, bias=False)
        self.stack = make_stack(config, sizes.embed)
        self.is_fused = False  # set by `select_kernels`

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
        # `select_kernels` allows it only with one layer (no dropout) and additive attention.
        if self.is_fused and torch.is_grad_enabled():
            outputs, contexts = run_fused_loop(
                self.stack.bottom,
                self.attention,
                self.from_context,
                embedded,
                layer_state(state, 0),
                cast("Memory", memory),
            )
            return torch.cat([apply_norm(self.stack.norms, 0, outputs), embedded, contexts], dim=-1)
        masks = self.stack.draw_masks(embedded.size(0))
        all_outputs, all_contexts = [], []
        for gates in self.stack.project(embedded).unbind(1):
            context, _ = self.attention(top_hidden(state), memory)
            outputs, state = self.stack.step(gates + self.from_context(context), state, masks)
            all_outputs.append(outputs)
            all_contexts.append(context)
        return torch.cat(
            [torch.stack(all_outputs, 1), embedded, torch.stack(all_contexts, 1)], dim=-1
        )

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        context, attention_weights = self.attention(top_hidden(state), memory)
        gates = self.stack.project(embedded) + self.from_context(context)
        outputs, state = self.stack.step(gates, state, masks)
        features = torch.cat([outputs, embedded, context], dim=-1)
        return DecoderOutput(features, state, attention_weights)


def run_fused_loop(
    layer: RecurrentLayer,
    attention: Attention,
    from_context: nn.Linear,
    embedded: Tensor,
    state: State,
    memory: Memory,
) -> tuple[Tensor, Tensor]:
    """Run one layer over whole targets by the kernel, with attention before each step.

    Args:
        layer: the recurrent layer.
        attention: with an additive scorer.
        from_context: projects the context to gates.
        embedded: decoder inputs `(batch, tgt_len, embed)`.
        state: of the layer, each `(batch, hidden)`.
        memory: what `attention.make_memory` returned.

    Returns:
        outputs: `(batch, tgt_len, hidden)`.
        contexts: `(batch, tgt_len, value)`.
    """
    scorer, rnn = cast("AdditiveScorer", attention.scorer), layer.rnn
    gates = layer.project(embedded.transpose(0, 1))
    device_type = gates.device.type
    is_mixed = torch.is_autocast_enabled(device_type)
    dtype = torch.get_autocast_dtype(device_type) if is_mixed else gates.dtype
    with torch.autocast(device_type, enabled=False):
        recurrent = cast("Tensor", rnn.weight_hh_l0)
        state = cast_state(state, recurrent.dtype)
        bias = torch.zeros_like(memory.mask, dtype=recurrent.dtype)
        inputs = LoopInputs(
            gates=gates.to(dtype),
            keys=memory.keys.to(dtype),
            values=memory.values.to(dtype),
            bias=bias.masked_fill(~memory.mask, -torch.inf),
            from_state=torch.cat([2 * scorer.query.weight, recurrent]).to(dtype),
            recurrent_bias=cast("Tensor", rnn.bias_hh_l0),
            from_context=from_context.weight.to(dtype),
            score=scorer.score,
        )
        outputs, contexts = run_attention_loop(CELLS[layer.cell], inputs, state)
    return outputs.transpose(0, 1), contexts.transpose(0, 1)
