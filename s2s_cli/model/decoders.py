"""What all decoders share, and the decoders without attention.

A decoder turns embedded target tokens into features, from which the output layer predicts the next
token. It runs over a whole reference (`forward`) or one token at a time (`step`), with the same
result. The decoders with attention are in `bahdanau`, `luong`, `conditional` and `gnmt`.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.cells import State
from s2s_cli.model.attention import Memory
from s2s_cli.model.encoder import BRIDGES, Encoding
from s2s_cli.model.layers import (
    Masks,
    RecurrentStack,
    SequenceDropout,
    StackConfig,
    concat,
    top_hidden,
)


class Summary(NamedTuple):
    """One vector for each source sentence, for decoders without attention."""

    vector: Tensor  # (batch, value)

    def select(self, rows: Tensor) -> "Summary":
        """The summaries of these sentences of the batch."""
        return Summary(self.vector.index_select(0, rows))


DecoderMemory = Memory | Summary | None
"""What a decoder sees of the source at every step, of `batch` rows that a beam shares."""


class DecoderOutput(NamedTuple):
    """The result of one step."""

    features: Tensor  # (batch * beam, feature)
    state: State  # each (batch * beam, layers, hidden)
    attention_weights: Tensor | None  # (batch * beam, src_len); None without attention


class InitialContextDecoder(nn.Module):
    """Sees the source only in its first state (Sutskever et al. 2014)."""

    readout = "linear"
    """As in the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.decoder_sizes
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.stack = make_stack(config, sizes.embed)

    def init_state(self, encoding: Encoding) -> tuple[State, DecoderMemory]:
        """The first state, by the bridge; there is no memory."""
        return self.bridge(encoding), None

    def forward(self, embedded: Tensor, state: State, memory: DecoderMemory) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            state: first state, from `init_state`.
            memory: from `init_state`.
        """
        del memory
        return self.stack(embedded, state)  # type: ignore[no-any-return]

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        del memory
        outputs, state = self.stack.step(self.stack.project(embedded), state, masks)
        return DecoderOutput(outputs, state, None)


class EveryStepDecoder(nn.Module):
    """Gets the source's summary c as an input of every step (Cho et al. 2014, appendix A.1).

    s_i = cell([e; c], s_{i-1}); the features are [s_i; e; c]. The summary is the encoder's last top
    state.
    """

    readout = "maxout"
    """As in the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden + sizes.embed + value
        self.bridge = BRIDGES[config.decoder_start](config)
        self.stack = make_stack(config, sizes.embed + value)

    def init_state(self, encoding: Encoding) -> tuple[State, DecoderMemory]:
        """The first state, by the bridge, and the summary."""
        return self.bridge(encoding), Summary(top_hidden(encoding.state))

    def forward(self, embedded: Tensor, state: State, memory: DecoderMemory) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            state: first state, from `init_state`.
            memory: from `init_state`.
        """
        vector = cast("Summary", memory).vector
        context = vector.unsqueeze(1).expand(-1, embedded.size(1), -1)
        outputs = self.stack(concat(embedded, context), state)
        return torch.cat([outputs, embedded, context], dim=-1)

    def step(
        self, embedded: Tensor, state: State, memory: DecoderMemory, masks: Masks = ()
    ) -> DecoderOutput:
        """One step, from `embedded` `(batch * beam, embed)`."""
        vector = cast("Summary", memory).vector
        context = vector.repeat_interleave(embedded.size(0) // vector.size(0), dim=0)
        gates = self.stack.project(concat(embedded, context))
        outputs, state = self.stack.step(gates, state, masks)
        return DecoderOutput(torch.cat([outputs, embedded, context], dim=-1), state, None)


def make_upper_stack(config: Model) -> RecurrentStack:
    """The layers above a bottom layer that attends; each also gets the context as an input."""
    sizes = config.decoder_sizes
    stack_config = StackConfig(
        config.cell,
        sizes.hidden,
        sizes.hidden,
        sizes.layers - 1,
        extra_size=config.encoder_sizes.hidden,
        is_upper=True,
        residual=config.residual,
        layer_norm=config.layer_norm,
        transition_depth=sizes.depth,
    )
    return RecurrentStack(stack_config, SequenceDropout(config.dropout, config.variational))


def make_stack(config: Model, input_size: int) -> RecurrentStack:
    """The decoder's layers, for inputs of some width."""
    sizes = config.decoder_sizes
    stack_config = StackConfig(
        config.cell,
        input_size,
        sizes.hidden,
        sizes.layers,
        residual=config.residual,
        layer_norm=config.layer_norm,
        transition_depth=sizes.depth,
    )
    return RecurrentStack(stack_config, SequenceDropout(config.dropout, config.variational))
