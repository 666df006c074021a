"""One step of a search with Bahdanau's decoder, in four products instead of eight.

What depends on a word alone is computed for the whole vocabulary beforehand; what is multiplied
with the same vector is multiplied at once. With E the embeddings, and the names of `fused_loop`,

    T        = E [W_x; O_e]' + [b_x; b_o]       a table: gates and readout of every word
    [q; R]   = [2 W; V] s_{i-1} + [0; b]
    c_i      = a H,   a = softmax(2 v . sigmoid(K + q))
    [g; o]   = T[y_{i-1}] + [C; O_c] c_i
    s_i      = cell(g, R, s_{i-1})
    logits   = P readout(o + O_s s_i) + p

Sums come in another order than in `Seq2Seq.step`, so the logits equal its but for rounding.
"""

from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Decoding, Model
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.cells import CELLS, State
from s2s_cli.kernels.packed_weights import Precision, pack, pack_products
from s2s_cli.model.attention import AdditiveScorer, Memory, average
from s2s_cli.model.bahdanau import BahdanauDecoder
from s2s_cli.model.decoders import LookBack, Start, can_fuse
from s2s_cli.model.layers import layer_of, normalize
from s2s_cli.model.output import LinearReadout
from s2s_cli.model.seq2seq import Seq2Seq

TABLE_ENTRIES = 1 << 26
"""A table of more numbers than these (256 MiB) is not made."""


def can_fuse_step(config: Model) -> bool:
    """Whether `FusedStep` can search with such a model."""
    return can_fuse(config) and config.attend == "before"


class FusedStep(nn.Module):
    """A model for searching; it predicts what the model does, and is not trained."""

    def __init__(self, model: Seq2Seq, precision: Precision = "float32") -> None:
        """Prepare a model that `can_fuse_step`, on its device.

        Args:
            model: stays as it is, and is asked for all but steps.
            precision: of the products.
        """
        super().__init__()
        self.model = model.eval()
        decoder = cast("BahdanauDecoder", model.decoder)
        bottom = decoder.stack.bottom
        self.scorer = cast("AdditiveScorer", decoder.attention.scorer)
        self.attention_size = self.scorer.score.numel()
        self.cell = CELLS[bottom.cell]
        self.norms = decoder.stack.norms
        self.gates_size = decoder.from_context.out_features
        readout = model.output.readout
        self.finish = None if isinstance(readout, LinearReadout) else readout.activate
        with torch.no_grad():
            recurrent = cast("Tensor", bottom.rnn.weight_hh_l0)
            self.from_state = pack(torch.cat([2 * self.scorer.query.weight, recurrent]), precision)
            self.state_bias = F.pad(cast("Tensor", bottom.rnn.bias_hh_l0), (self.attention_size, 0))
            weight, bias = cast("Tensor", bottom.rnn.weight_ih_l0), bottom.rnn.bias_ih_l0
            of_context = decoder.from_context.weight
            if not isinstance(readout, LinearReadout):
                sizes = [recurrent.size(1), weight.size(1), of_context.size(1)]
                of_state, *others = torch.split(readout.linear.weight, sizes, dim=1)
                self.readout_of_state = pack(of_state, precision)
                weight, of_context = (
                    torch.cat([gates, shown])
                    for gates, shown in zip((weight, of_context), others, strict=True)
                )
                bias = torch.cat([cast("Tensor", bias), readout.linear.bias])
            self.from_context = pack(of_context, precision)
            self.from_word = _Words(model.tgt_table, weight, cast("Tensor", bias), precision)
            weight, bias = model.projection
            self.projection, self.projection_bias = pack(weight, precision), bias.detach()
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever `mode` says: there is nothing here to train."""
        del mode
        return super().train(mode=False)

    def encode(self, src: Tensor, src_lengths: Tensor) -> Start:
        """Read the source, as the model does.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row.
        """
        return self.model.encode(src, src_lengths)

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Logits `(tokens, vocab)` of whole targets, as the model gives them."""
        return self.model(src, src_lengths, tgt_in, tgt_mask)  # type: ignore[no-any-return]

    def step(
        self, token: Tensor, state: State, memory: LookBack
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search, as `Seq2Seq.step`.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence stand together.
            state: parts `(batch * beam, 1, hidden)`.
            memory: of `batch` rows, shared by the beam.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            weights: attention `(batch * beam, src_len)`.
        """
        before = layer_of(state, 0)
        product = F.linear(before[0], self.from_state, self.state_bias)
        queries, recurrent = product.tensor_split([self.attention_size], dim=-1)
        seen = cast("Memory", memory)
        queries = queries.reshape(seen.keys.size(0), -1, self.attention_size)
        context, weights = average(self.scorer.compare(queries, seen.keys), seen)
        both = self.from_word(token).add_(F.linear(context, self.from_context))
        gates, readout = both.tensor_split([self.gates_size], dim=-1)
        after, _ = self.cell.advance(gates, recurrent, before)
        output = normalize(self.norms, 0, after[0])
        if self.finish is None:
            features = torch.cat([output, self.from_word.embed(token), context], dim=-1)
        else:
            features = self.finish(F.linear(output, self.readout_of_state).add_(readout))
        logits = F.linear(features, self.projection, self.projection_bias)
        return logits, tuple(part.unsqueeze(1) for part in after), weights


def prepare_search(model: Seq2Seq, kind: Model, config: Decoding) -> Seq2Seq | FusedStep:
    """What a search asks: a model's steps as fast as its kind and the settings allow.

    Args:
        model: in evaluation mode, on its device; not to be trained, moved or prepared any more.
        kind: of which the model is.
        config: precision and kernels.

    Raises:
        ConfigError: the device has no products of this precision.
    """
    if config.precision == "int8" and model.tgt_table.device.type != "cpu":
        raise ConfigError(
            f"decoding.precision int8: there are no products in 8 bits on "
            f"{model.tgt_table.device.type}; choose bf16 or float32, or --device cpu"
        )
    if config.kernels == "fused" and can_fuse_step(kind):
        return FusedStep(model, config.precision)
    if config.kernels == "fused" or config.precision != "float32":
        pack_products(model.decoder, config.precision)
        pack_products(model.output, config.precision)
        if kind.tied != "none":
            pack_products(model.tgt_embedding, config.precision)
    return model


class _Words:
    """What depends on a word alone: looked up, if the table of all words is not too large."""

    def __init__(
        self, embeddings: Tensor, weight: Tensor, bias: Tensor, precision: Precision
    ) -> None:
        self.embeddings = embeddings.detach()
        self.bias = bias
        is_small = len(embeddings) * len(weight) <= TABLE_ENTRIES
        self.table = F.linear(self.embeddings, weight, bias) if is_small else None
        self.weight = weight if is_small else pack(weight, precision)

    def __call__(self, token: Tensor) -> Tensor:
        """`(rows, gates * hidden + readout)` of tokens `(rows,)`."""
        if self.table is None:
            return F.linear(self.embed(token), self.weight, self.bias)
        return self.table.index_select(0, token)

    def embed(self, token: Tensor) -> Tensor:
        """Embeddings `(rows, embed)` of tokens `(rows,)`."""
        return self.embeddings.index_select(0, token)
