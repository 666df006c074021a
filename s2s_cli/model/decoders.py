"""Writing the target sentence.

A decoder turns embedded target tokens into features, one row a token, from which the output layer
predicts the next token. Each can run over a whole reference (`forward`) or a token at a time
(`step`), with the same result. Those that look back at the source by attention have files of
their own.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.kernels.attention_loop import Given, Loop, fused_loop
from s2s_cli.kernels.cells import CELLS, State, in_type
from s2s_cli.model.attention import AdditiveScorer, Attention, Memory
from s2s_cli.model.encoder import BRIDGES, Encoding, summary_of
from s2s_cli.model.layers import (
    Masks,
    RecurrentLayer,
    RecurrentStack,
    SequenceDropout,
    Shape,
    beside,
)


class Summary(NamedTuple):
    """The source in one vector a sentence, for decoders that see no more of it."""

    vector: Tensor  # (batch, value)

    def select(self, rows: Tensor) -> "Summary":
        """The summaries of some sentences of the batch."""
        return Summary(self.vector.index_select(0, rows))

    def for_rows(self, number: int) -> Tensor:
        """One vector for each of `number` rows, `(batch * beam, value)`."""
        return self.vector.repeat_interleave(number // self.vector.size(0), dim=0)


LookBack = Memory | Summary | None
"""What a decoder looks back at, of `batch` rows shared by the beam; None if at nothing."""


class Start(NamedTuple):
    """Where decoding begins: the first state, and what the decoder looks back at, if it does."""

    state: State  # parts (batch, layers, hidden)
    memory: LookBack


class Step(NamedTuple):
    """What one decoding step gives."""

    features: Tensor  # (batch * beam, feature)
    state: State  # parts (batch * beam, layers, hidden)
    weights: Tensor | None  # (batch * beam, src_len), attention


class InitialContextDecoder(nn.Module):
    """Sees of the source only the state that it starts from (Sutskever et al. 2014)."""

    readout = "linear"
    """Of the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes = config.decoder_sizes
        self.feature_size = sizes.hidden
        self.bridge = BRIDGES[config.decoder_start](config)
        self.stack = make_stack(config, sizes.embed)

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads."""
        return Start(self.bridge(encoding), None)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets, in one call per layer.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        return self.stack(embedded, start.state)  # type: ignore[no-any-return]

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`; there is no memory to look at."""
        del memory
        outputs, state = self.stack.step(self.stack.project(embedded), state, masks)
        return Step(outputs, state, None)


class EveryStepDecoder(nn.Module):
    """Is told the source's summary c at every step (Cho et al. 2014, appendix A.1).

    s_i = cell([e; c], s_{i-1}); the features are [s_i; e; c].
    """

    readout = "maxout"
    """Of the paper."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        sizes, value = config.decoder_sizes, config.encoder_sizes.hidden
        self.feature_size = sizes.hidden + sizes.embed + value
        self.bridge = BRIDGES[config.decoder_start](config)
        self.stack = make_stack(config, sizes.embed + value)

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and keep the summary."""
        return Start(self.bridge(encoding), Summary(summary_of(encoding)))

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets, in one call per layer.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        vector = start.memory.vector  # type: ignore[union-attr]
        context = vector.unsqueeze(1).expand(-1, embedded.size(1), -1)
        outputs = self.stack(beside(embedded, context), start.state)
        return torch.cat([outputs, embedded, context], dim=-1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`."""
        context = memory.for_rows(embedded.size(0))  # type: ignore[union-attr]
        gates = self.stack.project(beside(embedded, context))
        outputs, state = self.stack.step(gates, state, masks)
        return Step(torch.cat([outputs, embedded, context], dim=-1), state, None)


def start_attending(bridge: nn.Module, attention: nn.Module, encoding: Encoding) -> Start:
    """Begin where the bridge leads, and remember the encoder's outputs."""
    memory = attention.remember(encoding.outputs, encoding.mask)  # type: ignore[operator]
    return Start(bridge(encoding), memory)


def make_stack(config: Model, input_size: int) -> RecurrentStack:
    """The decoder's layers."""
    sizes = config.decoder_sizes
    shape = Shape(
        config.cell,
        input_size,
        sizes.hidden,
        sizes.layers,
        residual=config.residual,
        layer_norm=config.layer_norm,
    )
    return RecurrentStack(shape, SequenceDropout(config.dropout, config.variational))


def can_fuse(config: Model) -> bool:
    """Whether a decoder's loop is one that this file computes."""
    is_additive = config.context == "attention" and config.attention == "additive"
    is_bottom_alone = config.attend == "below" or config.decoder_sizes.layers == 1
    return is_additive and config.attend != "after" and is_bottom_alone


def run_fused(
    layer: RecurrentLayer,
    attention: Attention,
    from_context: nn.Linear,
    gates: Tensor,
    state: State,
    memory: Memory,
    loop: Loop = fused_loop,
) -> tuple[Tensor, Tensor]:
    """Run a layer over whole targets, looking at the source before each step.

    Args:
        layer: the cell.
        attention: with an additive scorer.
        from_context: gives the context's share of the gates.
        gates: the words' share, `(tgt_len, batch, gates * hidden)`: what `layer.project` returned
            for the words of one position after the other.
        state: parts `(batch, hidden)`.
        memory: what `attention.remember` returned.
        loop: how it is run.

    Returns:
        outputs: `(batch, tgt_len, hidden)`.
        contexts: `(batch, tgt_len, value)`.
    """
    scorer, rnn = cast("AdditiveScorer", attention.scorer), layer.rnn
    kind = gates.device.type
    is_mixed = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if is_mixed else gates.dtype
    with torch.autocast(kind, enabled=False):
        recurrent = cast("Tensor", rnn.weight_hh_l0)
        state = in_type(state, recurrent.dtype)
        given = Given(
            gates=gates.to(dtype),
            keys=memory.keys.to(dtype),
            values=memory.values.to(dtype),
            bias=torch.zeros_like(memory.mask, dtype=state[0].dtype).masked_fill(
                ~memory.mask, -torch.inf
            ),
            from_state=torch.cat([2 * scorer.query.weight, recurrent]).to(dtype),
            recurrent_bias=cast("Tensor", rnn.bias_hh_l0),
            from_context=from_context.weight.to(dtype),
            score=scorer.score,
        )
        outputs, contexts = loop(CELLS[layer.cell], given, state)
        return outputs.transpose(0, 1), contexts.transpose(0, 1)
