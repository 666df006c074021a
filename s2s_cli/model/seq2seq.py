"""The whole model, from source token ids to next-token logits.

The decoder gives *features* for each target position; the *readout* layer narrows them; the
vocabulary layer projects readouts to *logits*.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.cells import State
from s2s_cli.model.bahdanau import BahdanauDecoder
from s2s_cli.model.conditional import ConditionalDecoder
from s2s_cli.model.decoders import DecoderMemory, EveryStepDecoder, InitialContextDecoder
from s2s_cli.model.encoder import Encoder
from s2s_cli.model.gnmt import GNMTDecoder
from s2s_cli.model.layers import Embedding
from s2s_cli.model.luong import InputFeedingDecoder, LuongDecoder
from s2s_cli.model.output import READOUTS, OutputLayer
from s2s_cli.text.vocabulary import BOS_ID, PAD_ID


class Seq2Seq(nn.Module):
    """Embeddings, encoder, decoder and output layer."""

    def __init__(
        self, config: Model, src_vocab_size: int, tgt_vocab_size: int, pad_id: int
    ) -> None:
        """Make a model with random weights.

        Raises:
            ConfigError: the embeddings cannot be tied as configured.
        """
        super().__init__()
        sizes, word_dropouts = config.decoder_sizes, config.word_dropouts
        self.is_shared = config.tied == "all"
        self.is_tied = config.tied != "none"
        if not self.is_shared:
            self.src_embedding = Embedding(
                config, word_dropouts[0], src_vocab_size, config.encoder_sizes.embed, pad_id
            )
        elif src_vocab_size != tgt_vocab_size:
            raise ConfigError("model.tied all: needs one vocabulary (vocab.shared: true)")
        self.encoder = Encoder(config)
        self.tgt_embedding = Embedding(
            config, word_dropouts[1], tgt_vocab_size, sizes.embed, pad_id
        )
        self.decoder = choose_decoder(config)(config)
        readout_name = self.decoder.readout if config.readout == "auto" else config.readout
        readout = READOUTS[readout_name](self.decoder.feature_size, sizes.embed)
        if self.is_tied and readout.size != sizes.embed:
            raise ConfigError(
                f"model.tied {config.tied}: the embeddings are {sizes.embed} wide, the readout "
                f"{readout_name} is {readout.size}; make them equal, or set model.readout to tanh "
                "or maxout"
            )
        self.output = OutputLayer(config, readout, tgt_vocab_size)
        self._initialize(pad_id)

    def _initialize(self, pad_id: int) -> None:
        """Draw weights uniformly from -0.1 to 0.1, as OpenNMT; embeddings of padding are zero."""
        is_norm = {
            id(p) for m in self.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()
        }
        for parameter in self.parameters():
            if id(parameter) not in is_norm:
                nn.init.uniform_(parameter, -0.1, 0.1)
        with torch.no_grad():
            for embedding in (self._src_embedding(), self.tgt_embedding):
                embedding.table.weight[pad_id].zero_()

    @property
    def src_table(self) -> Tensor:
        """Source embeddings `(vocab, embed)`."""
        return self._src_embedding().table.weight

    @property
    def tgt_table(self) -> Tensor:
        """Target embeddings `(vocab, embed)`."""
        return self.tgt_embedding.table.weight

    def _src_embedding(self) -> Embedding:
        return self.tgt_embedding if self.is_shared else self.src_embedding

    def encode(
        self, src: Tensor, src_lengths: Tensor, kept: Tensor | None = None
    ) -> tuple[State, DecoderMemory]:
        """Encode the source.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row.
            kept: True where a word keeps its embedding, `(batch, src_len)`; None if all do.

        Returns:
            state: the decoder's first state, each `(batch, layers, hidden)`.
            memory: what the decoder sees of the source at every step.
        """
        return self.decoder.init_state(self.encoder(self._src_embedding()(src, kept), src_lengths))

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Next-token logits with the reference as the decoder's input (teacher forcing).

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where the next token is a real one.

        Returns:
            logits: `(tokens, vocab)`, the real positions row by row.
        """
        return self.project(self.compute_readouts(src, src_lengths, tgt_in, tgt_mask))

    def compute_readouts(
        self,
        src: Tensor,
        src_lengths: Tensor,
        tgt_in: Tensor,
        tgt_mask: Tensor,
        kept: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Tensor:
        """As `forward`, without the projection onto the vocabulary.

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where the next token is a real one.
            kept: True where a word keeps its embedding, in the shapes of `src` and `tgt_in`; None
                if all do.

        Returns:
            readouts: `(tokens, readout)`, the real positions row by row.
        """
        embedded = self.tgt_embedding(tgt_in, kept[1])
        features = self.decoder(embedded, *self.encode(src, src_lengths, kept[0]))
        return self._read_out(features, tgt_mask)

    def compute_sampled_readouts(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, forced: Tensor
    ) -> Tensor:
        """As `compute_readouts`, with the model's own predictions where `forced` is False.

        Scheduled sampling (Bengio et al. 2015); no gradient flows through a prediction.

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where the next token is a real one.
            forced: `(batch, tgt_len)`, True where the input is the reference token; the first
                input always is.
        """
        state, memory = self.encode(src, src_lengths)
        token = tgt_in[:, 0]
        word_mask = self.tgt_embedding.draw_mask(token)
        masks = self.decoder.stack.draw_masks(len(token))
        features: list[Tensor] = []
        for position in range(tgt_in.size(1)):
            if position:
                token = self._predict(features[-1], tgt_in[:, position], forced[:, position])
            embedded = self.tgt_embedding.embed_step(token, word_mask)
            output = self.decoder.step(embedded, state, memory, masks)
            state = output.state
            features.append(output.features)
        return self._read_out(torch.stack(features, 1), tgt_mask)

    def _read_out(self, features: Tensor, tgt_mask: Tensor) -> Tensor:
        """Readouts of the real positions, row by row.

        Only these, because the projection onto the vocabulary is the most expensive product.
        """
        rows = tgt_mask.nonzero()[:, 0] if self.output.dropout.shares_masks else None
        return self.output(features[tgt_mask], rows)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _predict(self, features: Tensor, reference: Tensor, forced: Tensor) -> Tensor:
        """The reference where forced, elsewhere the likeliest token, with dropout if training."""
        free = ~forced
        token = reference.clone()
        logits = self.project(self.output(features[free]))
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf  # a search never predicts them
        token[free] = logits.argmax(-1)
        return token

    def project(self, readouts: Tensor) -> Tensor:
        """From readouts `(..., readout)` to logits `(..., vocab)`."""
        return F.linear(readouts, *self.projection)

    @property
    def projection(self) -> tuple[Tensor, Tensor]:
        """Weight `(vocab, readout)` and bias `(vocab,)` of the vocabulary layer."""
        return self.output.projection_onto(self.tgt_table)

    def step(
        self, token: Tensor, state: State, memory: DecoderMemory
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence are adjacent.
            state: each `(batch * beam, layers, hidden)`.
            memory: from `encode`, of `batch` rows that the beam shares.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            attention_weights: `(batch * beam, src_len)`, or None without attention.
        """
        output = self.decoder.step(self.tgt_embedding.embed_step(token), state, memory)
        logits = self.project(self.output(output.features))
        return logits, output.state, output.attention_weights

    def num_parameters(self) -> int:
        """Number of trained weights."""
        return sum(parameter.numel() for parameter in self.parameters())


Decoder = (
    InitialContextDecoder
    | EveryStepDecoder
    | BahdanauDecoder
    | LuongDecoder
    | InputFeedingDecoder
    | ConditionalDecoder
    | GNMTDecoder
)


def choose_decoder(config: Model) -> type[Decoder]:
    """The decoder class for `model.context`, `model.attend` and `model.input_feeding`."""
    if config.context == "initial":
        return InitialContextDecoder
    if config.context == "every_step":
        return EveryStepDecoder
    after = InputFeedingDecoder if config.input_feeding else LuongDecoder
    return {
        "before": BahdanauDecoder,
        "after": after,
        "between": ConditionalDecoder,
        "below": GNMTDecoder,
    }[config.attend]
