"""Writing the target sentence.

A decoder turns embedded target tokens into features, one row a token, from which `Readout` or a
plain linear layer predicts the next token. Each can run over a whole reference at once (`forward`)
or a token at a time (`step`), with the same result.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.attention import AdditiveAttention, Memory
from s2s_cli.model.encoder import Encoding
from s2s_cli.model.recurrent import NUM_GATES, RecurrentStack, State, top_of


class Start(NamedTuple):
    """Where decoding begins: the first state, and the memory if the decoder looks back."""

    state: State  # parts (batch, layers, hidden)
    memory: Memory | None


class Step(NamedTuple):
    """What one decoding step gives."""

    features: Tensor  # (batch * beam, feature)
    state: State  # parts (batch * beam, layers, hidden)
    weights: Tensor | None  # (batch * beam, src_len), attention


class InitialContextDecoder(nn.Module):
    """Sees of the source only the encoder's last state, where it starts (Sutskever et al. 2014)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.readout_size = config.hidden_size
        self.stack = _make_stack(config)

    def make_readout(self, config: Model) -> list[nn.Module]:
        """What stands between the features and the output layer: nothing."""
        del config
        return []

    def start(self, encoding: Encoding) -> Start:
        """Begin at the encoder's last state, layer by layer."""
        return Start(encoding.state, None)

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets, in one call per layer.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        return self.stack(embedded, start.state)  # type: ignore[no-any-return]

    def step(self, embedded: Tensor, state: State, memory: Memory | None) -> Step:
        """One step from `embedded` `(batch * beam, embed)`; there is no memory to look at."""
        del memory
        state = self.stack.step(self.stack.project(embedded), state)
        return Step(top_of(state), state, None)


class AttentionDecoder(nn.Module):
    """Looks at the whole source before each token (Bahdanau et al. 2014, appendix A.2.2).

    With s the top state, e the embedded last token and a the attention: c_i = a(s_{i-1}),
    s_i = cell(W e + C c_i, s_{i-1}); the features are [s_i; e; c_i].
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.readout_size = config.embed_size
        self.attention = AdditiveAttention(hidden, hidden, config.attention_size)
        self.from_context = nn.Linear(hidden, NUM_GATES[config.cell] * hidden, bias=False)
        self.stack = _make_stack(config)

    def make_readout(self, config: Model) -> list[nn.Module]:
        """What stands between the features and the output layer: a maxout over all three."""
        return [Readout(2 * config.hidden_size + config.embed_size, self.readout_size)]

    def start(self, encoding: Encoding) -> Start:
        """Begin at the encoder's last state, and remember its outputs."""
        return Start(encoding.state, self.attention.remember(encoding.outputs, encoding.mask))

    def forward(self, embedded: Tensor, start: Start) -> Tensor:
        """Features `(batch, tgt_len, feature)` of whole targets.

        Only what depends on the state is inside the loop: the words' share of the bottom layer's
        gates is one product beforehand, as are the attention's keys.

        Args:
            embedded: decoder inputs `(batch, tgt_len, embed)`.
            start: what `start` returned.
        """
        state, memory = start
        tops, contexts = [], []
        for gates in self.stack.project(embedded).unbind(1):
            context, _ = self.attention(top_of(state), memory)
            state = self.stack.step(gates + self.from_context(context), state)
            tops.append(top_of(state))
            contexts.append(context)
        return torch.cat([torch.stack(tops, 1), embedded, torch.stack(contexts, 1)], dim=-1)

    def step(self, embedded: Tensor, state: State, memory: Memory | None) -> Step:
        """One step from `embedded` `(batch * beam, embed)`, looking at `memory`."""
        context, weights = self.attention(top_of(state), memory)
        state = self.stack.step(self.stack.project(embedded) + self.from_context(context), state)
        return Step(torch.cat([top_of(state), embedded, context], dim=-1), state, weights)


def _make_stack(config: Model) -> RecurrentStack:
    return RecurrentStack(
        config.cell, config.embed_size, config.hidden_size, config.num_layers, config.dropout
    )


class Readout(nn.Module):
    """Maxout over pairs (Bahdanau et al. 2014, appendix A.2.2): t_i = max(U_o s + V_o e + C_o c).

    With s_i, the state after the step, as the paper's body has it; its appendix has s_{i-1}.
    """

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, 2 * readout_size)

    def forward(self, features: Tensor) -> Tensor:
        """From `(..., feature)` to `(..., readout)`."""
        left, right = self.linear(features).chunk(2, dim=-1)
        return torch.maximum(left, right)


DECODERS: dict[str, type[InitialContextDecoder] | type[AttentionDecoder]] = {
    "initial": InitialContextDecoder,
    "attention": AttentionDecoder,
}
