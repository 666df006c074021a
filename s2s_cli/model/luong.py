"""Decoders that look at the source after each step (Luong et al. 2015).

Without input feeding nothing of what they see enters the next step, so a whole target needs no
loop at all.
"""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.cells import NUM_GATES, State
from s2s_cli.model.attention import Attention
from s2s_cli.model.decoders import LookBack, Start, Step, make_stack, start_attending
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import Masks


class LuongDecoder(nn.Module):
    """Looks at the source after each step (Luong et al. 2015, section 3).

    s_i = cell(e, s_{i-1}), c_i = a(s_i); the features are the attentional vector
    tanh(W_c [c_i; s_i]). The cell sees nothing of it, so a whole target is one call a layer.
    """

    readout = "linear"
    """Of the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.decoder_sizes
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.combine = nn.Linear(config.encoder_sizes.hidden + sizes.hidden, sizes.hidden)
        self.stack = make_stack(config, sizes.embed)

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        return start_attending(self.bridge, self.attention, encoding)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        outputs = self.stack(embedded, start.state)
        features, _ = attend_after(self, outputs.flatten(0, 1), start.memory)
        return features.view(*outputs.shape[:2], -1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        outputs, state = self.stack.step(self.stack.project(embedded), state, masks)
        features, weights = attend_after(self, outputs, memory)
        return Step(features, state, weights)


class InputFeedingDecoder(nn.Module):
    """Luong's decoder, whose attentional vector enters the next step (Luong et al. 2015, 3.3).

    The state's last part is that vector, `(batch, 1, hidden)`; it begins at zero.
    """

    readout = "linear"
    """Of the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.decoder_sizes
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.combine = nn.Linear(config.encoder_sizes.hidden + sizes.hidden, sizes.hidden)
        self.from_attended = nn.Linear(
            sizes.hidden, NUM_GATES[config.cell] * sizes.hidden, bias=False
        )
        self.stack = make_stack(config, sizes.embed)

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        state, memory = start_attending(self.bridge, self.attention, encoding)
        return Start((*state, torch.zeros_like(state[0][:, :1])), memory)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        state, memory = start
        masks = self.stack.draw_masks(embedded.size(0))
        features = []
        for gates in self.stack.project(embedded).unbind(1):
            attended, state, _ = self._advance(gates, state, memory, masks)
            features.append(attended)
        return torch.stack(features, 1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        return Step(*self._advance(self.stack.project(embedded), state, memory, masks))

    def _advance(
        self, gates: Tensor, state: State, memory: LookBack, masks: Masks
    ) -> tuple[Tensor, State, Tensor]:
        *recurrent, fed = state
        gates = gates + self.from_attended(fed[:, 0])
        outputs, after = self.stack.step(gates, tuple(recurrent), masks)
        attended, weights = attend_after(self, outputs, memory)
        return attended, (*after, attended.unsqueeze(1)), weights


def attend_after(
    decoder: LuongDecoder | InputFeedingDecoder, outputs: Tensor, memory: LookBack
) -> tuple[Tensor, Tensor]:
    """The attentional vectors `(rows, hidden)` of outputs, and their weights `(rows, src_len)`."""
    context, weights = decoder.attention(outputs, memory)
    return torch.tanh(decoder.combine(torch.cat([context, outputs], dim=-1))), weights
