"""Decoders that attend to the source after each step (Luong et al. 2015).

Without input feeding the attention does not influence the next step, so the layers run over a whole
target in one call each, and attention follows for all positions at once.
"""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.cells import NUM_GATES, State
from s2s_cli.model.attention import Attention
from s2s_cli.model.decoders import DecoderMemory, DecoderOutput, make_stack
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import Masks


class LuongDecoder(nn.Module):
    """Attends to the source after each step (Luong et al. 2015, section 3).

    s_i = cell(e, s_{i-1}), c_i = a(s_i); the features are the attentional vector
    tanh(W_c [c_i; s_i]).
    """

    readout = "linear"
    """As in the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.decoder_sizes
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.attention = Attention(config)
        self.combine = nn.Linear(config.encoder_sizes.hidden + sizes.hidden, sizes.hidden)
        self.stack = make_stack(config, sizes.embed)

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
        outputs = self.stack(embedded, state)
        features, _ = attend_after(self, outputs.flatten(0, 1), memory)
        return features.view(*outputs.shape[:2], -1)

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        outputs, state = self.stack.step(self.stack.project(embedded), state, masks)
        features, attention_weights = attend_after(self, outputs, memory)
        return DecoderOutput(features, state, attention_weights)


class InputFeedingDecoder(nn.Module):
    """Luong's decoder with the attentional vector as an input of the next step (section 3.3).

    The last tensor of the state is that vector, `(batch, 1, hidden)`, at first zero.
    """

    readout = "linear"
    """As in the paper."""

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

    def init_state(self, encoding: Encoding) -> tuple[State, DecoderMemory]:
        """The first state, by the bridge, and the attention's memory."""
        state = self.bridge(encoding)
        memory = self.attention.make_memory(encoding.outputs, encoding.mask)
        return (*state, torch.zeros_like(state[0][:, :1])), memory

    def forward(self, embedded: Tensor, state: State, memory: DecoderMemory) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            state: first state, from `init_state`.
            memory: from `init_state`.
        """
        masks = self.stack.draw_masks(embedded.size(0))
        features = []
        for gates in self.stack.project(embedded).unbind(1):
            output = self._step_gates(gates, state, memory, masks)
            features.append(output.features)
            state = output.state
        return torch.stack(features, 1)

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        return self._step_gates(self.stack.project(embedded), state, memory, masks)

    def _step_gates(
        self, gates: Tensor, state: State, memory: DecoderMemory, masks: Masks
    ) -> DecoderOutput:
        """One step, from the bottom layer's gates `(batch * beam, gates * hidden)`."""
        *cells, attended = state
        gates = gates + self.from_attended(attended[:, 0])
        outputs, new_cells = self.stack.step(gates, tuple(cells), masks)
        features, attention_weights = attend_after(self, outputs, memory)
        return DecoderOutput(features, (*new_cells, features.unsqueeze(1)), attention_weights)


def attend_after(
    decoder: LuongDecoder | InputFeedingDecoder, outputs: Tensor, memory: DecoderMemory
) -> tuple[Tensor, Tensor]:
    """Attentional vectors `(rows, hidden)` and attention weights `(rows, src_len)`.

    Args:
        decoder: whose attention and projection are used.
        outputs: of its top layer, `(rows, hidden)`.
        memory: of the batch.
    """
    context, attention_weights = decoder.attention(outputs, memory)
    features = torch.tanh(decoder.combine(torch.cat([context, outputs], dim=-1)))
    return features, attention_weights
