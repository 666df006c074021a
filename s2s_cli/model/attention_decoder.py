"""Decoders that look back at the whole source: before each step, after it, or by the bottom layer.

`forward` keeps inside its loop only what depends on the state: the words' share of the bottom
layer's gates is one product beforehand, as are the attention's keys; where the loop is not needed
at all (Luong without input feeding), a layer is one call.
"""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.attention import Attention
from s2s_cli.model.bridge import BRIDGES
from s2s_cli.model.decoder import LookBack, Start, Step, make_stack
from s2s_cli.model.dropout import SequenceDropout
from s2s_cli.model.encoder import Encoding
from s2s_cli.model.recurrent import (
    NUM_GATES,
    Masks,
    RecurrentLayer,
    RecurrentStack,
    Shape,
    State,
    make_norms,
    normalize,
    top_of,
)


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

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        memory = self.attention.remember(encoding.outputs, encoding.mask)
        return Start(self.bridge(encoding), memory)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        state, memory = start
        masks = self.stack.draw_masks(embedded.size(0))
        tops, contexts = [], []
        for gates in self.stack.project(embedded).unbind(1):
            context, _ = self.attention(top_of(state), memory)
            outputs, state = self.stack.step(gates + self.from_context(context), state, masks)
            tops.append(outputs)
            contexts.append(context)
        return torch.cat([torch.stack(tops, 1), embedded, torch.stack(contexts, 1)], dim=-1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        context, weights = self.attention(top_of(state), memory)
        gates = self.stack.project(embedded) + self.from_context(context)
        outputs, state = self.stack.step(gates, state, masks)
        return Step(torch.cat([outputs, embedded, context], dim=-1), state, weights)


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
        memory = self.attention.remember(encoding.outputs, encoding.mask)
        return Start(self.bridge(encoding), memory)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        outputs = self.stack(embedded, start.state)
        features, _ = self._attend(outputs.flatten(0, 1), start.memory)
        return features.view(*outputs.shape[:2], -1)

    def step(self, embedded: Tensor, state: State, memory: LookBack, masks: Masks = ()) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        outputs, state = self.stack.step(self.stack.project(embedded), state, masks)
        features, weights = self._attend(outputs, memory)
        return Step(features, state, weights)

    def _attend(self, outputs: Tensor, memory: LookBack) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(outputs, memory)
        return torch.tanh(self.combine(torch.cat([context, outputs], dim=-1))), weights


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
        state = self.bridge(encoding)
        memory = self.attention.remember(encoding.outputs, encoding.mask)
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
        context, weights = self.attention(outputs, memory)
        attended = torch.tanh(self.combine(torch.cat([context, outputs], dim=-1)))
        return attended, (*after, attended.unsqueeze(1)), weights


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
        self.stack = RecurrentStack(above, SequenceDropout(config.dropout, config.variational))

    def start(self, encoding: Encoding) -> Start:
        """Begin where the bridge leads, and remember the encoder's outputs."""
        memory = self.attention.remember(encoding.outputs, encoding.mask)
        return Start(self.bridge(encoding), memory)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        bottom, above = _split_layers(start.state)
        outputs, contexts = [], []
        for gates in self.bottom.project(embedded).unbind(1):
            context, _ = self.attention(bottom[0], start.memory)
            bottom = self.bottom.step(gates + self.from_context(context), bottom)
            outputs.append(bottom[0])
            contexts.append(context)
        below = normalize(self.bottom_norm, 0, torch.stack(outputs, 1))
        return self.stack(below, above, torch.stack(contexts, 1))  # type: ignore[no-any-return]

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


def choose_attention_decoder(
    config: Model,
) -> type[BahdanauDecoder | LuongDecoder | InputFeedingDecoder | GNMTDecoder]:
    """The decoder that looks back when and how the configuration says."""
    after = InputFeedingDecoder if config.input_feeding else LuongDecoder
    return {"before": BahdanauDecoder, "after": after, "below": GNMTDecoder}[config.attend]
