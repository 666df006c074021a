"""The decoder whose bottom layer looks at the source (Wu et al. 2016, GNMT)."""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.attention_loop import Loop, fused_loop
from s2s_cli.kernels.cells import NUM_GATES, State
from s2s_cli.model.attention import Attention
from s2s_cli.model.decoders import LookBack, Start, Step, can_fuse, run_fused, start_attending
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import (
    Masks,
    RecurrentLayer,
    RecurrentStack,
    SequenceDropout,
    Shape,
    make_norms,
    normalize,
)


class GNMTDecoder(nn.Module):
    """The bottom layer looks at the source, and every layer is told what it saw (Wu et al. 2016).

    With s^1 the bottom state: c_i = a(s^1_{i-1}); s^1_i = cell([e; c_i], s^1_{i-1}), and each
    layer above runs over [the outputs below; c_i]. Only the bottom layer needs the loop; the
    layers above are one call each.
    """

    readout = "linear"
    """Of the paper: the top layer's output."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.from_context = nn.Linear(value, NUM_GATES[config.cell] * sizes.hidden, bias=False)
        self.bottom = RecurrentLayer(config.cell, sizes.embed, sizes.hidden)
        self.bottom_norm = make_norms(int(config.layer_norm), sizes.hidden)
        above = Shape(
            config.cell,
            sizes.hidden,
            sizes.hidden,
            sizes.layers - 1,
            side_size=value,
            is_upper=True,
            residual=config.residual,
            layer_norm=config.layer_norm,
        )
        self.is_fused = can_fuse(config)
        self.loop: Loop = fused_loop
        self.stack = RecurrentStack(above, SequenceDropout(config.dropout, config.variational))

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        return start_attending(self.bridge, self.attention, encoding)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        bottom, above = _split_layers(start.state)
        outputs, contexts = self._run_bottom(embedded, bottom, start.memory)
        below = normalize(self.bottom_norm, 0, outputs)
        return self.stack(below, above, contexts)  # type: ignore[no-any-return]

    def _run_bottom(
        self, embedded: Tensor, state: State, memory: LookBack
    ) -> tuple[Tensor, Tensor]:
        if self.is_fused and torch.is_grad_enabled():
            gates = self.bottom.project(embedded.transpose(0, 1))
            parts = (self.bottom, self.attention, self.from_context)
            below, seen = run_fused(*parts, gates, state, memory, self.loop)  # type: ignore[arg-type]
            # Dropout above draws in the order of memory: that of the plain way.
            return below.contiguous(), seen
        outputs, contexts = [], []
        for words in self.bottom.project(embedded).unbind(1):
            context, _ = self.attention(state[0], memory)
            state = self.bottom.step(words + self.from_context(context), state)
            outputs.append(state[0])
            contexts.append(context)
        return torch.stack(outputs, 1), torch.stack(contexts, 1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        bottom, above = _split_layers(state)
        context, weights = self.attention(bottom[0], memory)
        gates = self.bottom.project(embedded) + self.from_context(context)
        bottom = self.bottom.step(gates, bottom)
        below = normalize(self.bottom_norm, 0, bottom[0])
        outputs, above = self.stack.step_inputs(below, above, masks, context)
        joined = zip(bottom, above, strict=True)
        state = tuple(torch.cat([low.unsqueeze(1), high], dim=1) for low, high in joined)
        return Step(outputs, state, weights)


def _split_layers(state: State) -> tuple[State, State]:
    """The bottom layer's parts `(batch, hidden)`, and those of the layers above."""
    return tuple(part[:, 0] for part in state), tuple(part[:, 1:] for part in state)
