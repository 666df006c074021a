"""The decoder whose bottom layer attends to the source (Wu et al. 2016, GNMT)."""

from typing import cast

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.cells import NUM_GATES, State
from s2s_cli.model.attention import Attention, Memory
from s2s_cli.model.bahdanau import run_fused_loop
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


class GNMTDecoder(nn.Module):
    """The bottom layer attends to the source; the layers above get its context as an input.

    With s^1 the bottom state, c_i = a(s^1_{i-1}) and s^1_i = cell([e; c_i], s^1_{i-1}); the inputs
    of each layer above are [the outputs below; c_i]. Only the bottom layer needs a loop over target
    positions; each layer above is one call.
    """

    readout = "linear"
    """As in the paper, from the top layer's output."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.from_context = nn.Linear(value, NUM_GATES[config.cell] * sizes.hidden, bias=False)
        self.bottom = RecurrentLayer(
            config.cell, sizes.embed, sizes.hidden, sizes.depth, config.layer_norm
        )
        self.bottom_norm = make_norms(1, sizes.hidden, config.layer_norm)
        self.is_fused = False  # set by `select_kernels`
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
        outputs, contexts = self._run_bottom(embedded, bottom, cast("Memory", memory))
        outputs = apply_norm(self.bottom_norm, 0, outputs)
        return self.stack(outputs, upper, contexts)  # type: ignore[no-any-return]

    def _run_bottom(self, embedded: Tensor, state: State, memory: Memory) -> tuple[Tensor, Tensor]:
        """Outputs `(batch, tgt_len, hidden)` and contexts `(batch, tgt_len, value)`."""
        if self.is_fused and torch.is_grad_enabled():
            parts = (self.bottom, self.attention, self.from_context)
            fused_outputs, fused_contexts = run_fused_loop(*parts, embedded, state, memory)
            # Contiguous, since dropout draws in memory order: it then draws the same as without
            # kernel.
            return fused_outputs.contiguous(), fused_contexts
        outputs, contexts = [], []
        for gates in self.bottom.project(embedded).unbind(1):
            context, _ = self.attention(state[0], memory)
            state = self.bottom.step(gates + self.from_context(context), state)
            outputs.append(state[0])
            contexts.append(context)
        return torch.stack(outputs, 1), torch.stack(contexts, 1)

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        bottom, upper = split_bottom(state)
        context, attention_weights = self.attention(bottom[0], memory)
        gates = self.bottom.project(embedded) + self.from_context(context)
        bottom = self.bottom.step(gates, bottom)
        outputs = apply_norm(self.bottom_norm, 0, bottom[0])
        outputs, upper = self.stack.step_inputs(outputs, upper, masks, context)
        return DecoderOutput(outputs, join_bottom(bottom, upper), attention_weights)
