"""The decoder that looks at the source before each step (Bahdanau et al. 2014).

`forward` keeps inside its loop only what depends on the state: the words' share of the bottom
layer's gates is one product beforehand, as are the attention's keys.
"""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.attention_loop import Loop, fused_loop
from s2s_cli.kernels.cells import NUM_GATES, State
from s2s_cli.model.attention import Attention
from s2s_cli.model.decoders import (
    LookBack,
    Start,
    Step,
    can_fuse,
    make_stack,
    run_fused,
    start_attending,
)
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import Masks, layer_of, normalize, top_of


class BahdanauDecoder(nn.Module):
    """Looks at the source before each step (Bahdanau et al. 2014, appendix A.2.2).

    With s the top state, e the embedded last token and a the attention: c_i = a(s_{i-1}),
    s_i = cell(W e + C c_i, s_{i-1}); the features are [s_i; e; c_i].
    """

    readout = "maxout"
    """Of the paper, with s_i, the state after the step, as its body has it; its appendix has
    s_{i-1}."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden + sizes.embed + value
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.from_context = nn.Linear(value, NUM_GATES[config.cell] * sizes.hidden, bias=False)
        self.stack = make_stack(config, sizes.embed)
        self.is_fused = can_fuse(config)
        self.loop: Loop = fused_loop

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        return start_attending(self.bridge, self.attention, encoding)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        state, memory = start
        if self.is_fused and torch.is_grad_enabled():
            gates = self.stack.project(embedded.transpose(0, 1))
            parts = (self.stack.bottom, self.attention, self.from_context)
            bottom = layer_of(state, 0)
            outputs, context = run_fused(*parts, gates, bottom, memory, self.loop)  # type: ignore[arg-type]
            return torch.cat([normalize(self.stack.norms, 0, outputs), embedded, context], dim=-1)
        gates = self.stack.project(embedded)
        masks = self.stack.draw_masks(embedded.size(0))
        tops, contexts = [], []
        for words in gates.unbind(1):
            context, _ = self.attention(top_of(state), memory)
            outputs, state = self.stack.step(words + self.from_context(context), state, masks)
            tops.append(outputs)
            contexts.append(context)
        return torch.cat([torch.stack(tops, 1), embedded, torch.stack(contexts, 1)], dim=-1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        context, weights = self.attention(top_of(state), memory)
        gates = self.stack.project(embedded) + self.from_context(context)
        outputs, state = self.stack.step(gates, state, masks)
        return Step(torch.cat([outputs, embedded, context], dim=-1), state, weights)
