"""One step of a search with Bahdanau's decoder, in four matrix products instead of eight.

Gates and readouts that depend on the last word alone are looked up in a table for the whole
vocabulary, and matrices that multiply the same vector are joined. With the embeddings E, the
readout's matrix O = [O_s; O_e; O_c], the projection P, and the names of `attention_loop`,

    T        = E [W_x; O_e]' + [b_x; b_o]       a table: gates and readout of every word
    [q; R]   = [2 W; V] s_{i-1} + [0; b]
    c_i      = a H,   a = softmax(2 v . sigmoid(K + q))
    [g; o]   = T[y_{i-1}] + [C; O_c] c_i
    s_i      = cell(g, R, s_{i-1})
    logits   = P readout(o + O_s s_i) + p

The order of summation differs from `Seq2Seq.step`, so the logits agree up to rounding.
"""

from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.kernels.cells import CELLS, State
from s2s_cli.kernels.packed_weights import Precision, pack
from s2s_cli.model.attention import AdditiveScorer, Memory, attend
from s2s_cli.model.bahdanau import BahdanauDecoder
from s2s_cli.model.decoders import DecoderMemory
from s2s_cli.model.layers import apply_norm, layer_state
from s2s_cli.model.output import LinearReadout
from s2s_cli.model.seq2seq import Seq2Seq

MAX_TABLE_ENTRIES = 1 << 26
"""No table is made that would have more entries than these (256 MiB)."""


class FusedStep(nn.Module):
    """A model prepared for a search: predicts what the model does and cannot be trained."""

    def __init__(self, model: Seq2Seq, precision: Precision = "float32") -> None:
        """Prepare a model on its device.

        Args:
            model: with Bahdanau's decoder of one layer and an additive scorer. It stays as it is,
                and computes everything but steps.
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
        self.activate = None if isinstance(readout, LinearReadout) else readout.activate
        with torch.no_grad():
            recurrent = cast("Tensor", bottom.rnn.weight_hh_l0)
            self.from_state = pack(torch.cat([2 * self.scorer.query.weight, recurrent]), precision)
            self.state_bias = F.pad(cast("Tensor", bottom.rnn.bias_hh_l0), (self.attention_size, 0))
            from_word, bias = cast("Tensor", bottom.rnn.weight_ih_l0), bottom.rnn.bias_ih_l0
            from_context = decoder.from_context.weight
            if not isinstance(readout, LinearReadout):
                sizes = [recurrent.size(1), from_word.size(1), from_context.size(1)]
                matrices = torch.split(readout.linear.weight, sizes, dim=1)
                self.readout_from_state = pack(matrices[0], precision)
                from_word = torch.cat([from_word, matrices[1]])
                from_context = torch.cat([from_context, matrices[2]])
                bias = torch.cat([cast("Tensor", bias), readout.linear.bias])
            self.from_context = pack(from_context, precision)
            self.words = _WordTable(model.tgt_table, from_word, cast("Tensor", bias), precision)
            projection, projection_bias = model.projection
            self.projection = pack(projection, precision)
            self.projection_bias = projection_bias.detach()
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        del mode
        return super().train(mode=False)

    def encode(self, src: Tensor, src_lengths: Tensor) -> tuple[State, DecoderMemory]:
        """As `Seq2Seq.encode`.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row.
        """
        return self.model.encode(src, src_lengths)

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Logits `(tokens, vocab)` of whole targets, as `Seq2Seq`."""
        return self.model(src, src_lengths, tgt_in, tgt_mask)  # type: ignore[no-any-return]

    def step(
        self, token: Tensor, state: State, memory: DecoderMemory
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search, as `Seq2Seq.step`.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence are adjacent.
            state: each `(batch * beam, 1, hidden)`.
            memory: from `encode`, of `batch` rows that the beam shares.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            attention_weights: `(batch * beam, src_len)`.
        """
        memory = cast("Memory", memory)
        before = layer_state(state, 0)
        product = F.linear(before[0], self.from_state, self.state_bias)
        queries, recurrent = product.tensor_split([self.attention_size], dim=-1)
        queries = queries.reshape(memory.keys.size(0), -1, self.attention_size)
        energies = self.scorer.compute_energies(queries, memory.keys)
        context, attention_weights = attend(energies, memory)
        joined = self.words(token).add_(F.linear(context, self.from_context))
        gates, readout = joined.tensor_split([self.gates_size], dim=-1)
        after, _ = self.cell.forward(gates, recurrent, before)
        output = apply_norm(self.norms, 0, after[0])
        if self.activate is None:
            readouts = torch.cat([output, self.words.embed(token), context], dim=-1)
        else:
            readouts = self.activate(F.linear(output, self.readout_from_state).add_(readout))
        logits = F.linear(readouts, self.projection, self.projection_bias)
        return logits, tuple(tensor.unsqueeze(1) for tensor in after), attention_weights


class _WordTable:
    """Gates and readouts that depend on the last word: a table, or a product if it is too large."""

    def __init__(
        self, embeddings: Tensor, weight: Tensor, bias: Tensor, precision: Precision
    ) -> None:
        self.embeddings = embeddings.detach()
        self.bias = bias
        is_small = len(embeddings) * len(weight) <= MAX_TABLE_ENTRIES
        self.table = F.linear(self.embeddings, weight, bias) if is_small else None
        self.weight = weight if is_small else pack(weight, precision)

    def __call__(self, token: Tensor) -> Tensor:
        """`(rows, gates * hidden + readout)` for tokens `(rows,)`."""
        if self.table is None:
            return F.linear(self.embed(token), self.weight, self.bias)
        return self.table.index_select(0, token)

    def embed(self, token: Tensor) -> Tensor:
        """Embeddings `(rows, embed)` of tokens `(rows,)`."""
        return self.embeddings.index_select(0, token)
