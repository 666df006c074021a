"""The whole model: source token ids in, next-token logits out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.cells import State
from s2s_cli.model.bahdanau import BahdanauDecoder
from s2s_cli.model.decoders import EveryStepDecoder, InitialContextDecoder, LookBack, Start
from s2s_cli.model.encoder import Encoder
from s2s_cli.model.gnmt import GNMTDecoder
from s2s_cli.model.graphed_loop import GraphedLoop
from s2s_cli.model.layers import Embedding, RecurrentLayer
from s2s_cli.model.luong import InputFeedingDecoder, LuongDecoder
from s2s_cli.model.output import READOUTS, OutputLayer
from s2s_cli.text.vocabulary import BOS_ID, PAD_ID


class Seq2Seq(nn.Module):
    """Embeddings, encoder, decoder and output layer."""

    def __init__(
        self, config: Model, src_vocab_size: int, tgt_vocab_size: int, pad_id: int
    ) -> None:
        """Make a model with fresh weights.

        Raises:
            ConfigError: embeddings are to be tied that cannot be.
        """
        super().__init__()
        sizes = config.decoder_sizes
        self.is_shared = config.tied == "all"
        if not self.is_shared:
            self.src_embedding = Embedding(
                config, src_vocab_size, config.encoder_sizes.embed, pad_id
            )
        elif src_vocab_size != tgt_vocab_size:
            raise ConfigError("model.tied all: needs one vocabulary (vocab.shared: true)")
        self.encoder = Encoder(config)
        self.tgt_embedding = Embedding(config, tgt_vocab_size, sizes.embed, pad_id)
        self.decoder = choose_decoder(config)(config)
        kind = self.decoder.readout if config.readout == "auto" else config.readout
        readout = READOUTS[kind](self.decoder.feature_size, sizes.embed)
        if config.tied != "none" and readout.size != sizes.embed:
            raise ConfigError(
                f"model.tied {config.tied}: the embeddings are {sizes.embed} wide, the readout "
                f"{kind} is {readout.size}; make them alike, or set model.readout to tanh or maxout"
            )
        self.output = OutputLayer(config, readout, tgt_vocab_size)
        self._initialize(pad_id)

    def _initialize(self, pad_id: int) -> None:
        """Uniform in +-0.1, as in OpenNMT; the embeddings of padding are zero."""
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

    def encode(self, src: Tensor, src_lengths: Tensor) -> Start:
        """Read the source.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row.
        """
        return self.decoder.start(self.encoder(self._src_embedding()(src), src_lengths))

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Next-token logits with the reference as the decoder's input (teacher forcing).

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where a real token is to be predicted.

        Returns:
            logits: `(tokens, vocab)`, the real positions row by row.
        """
        return self.project(self.read(src, src_lengths, tgt_in, tgt_mask))

    def read(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """As `forward`, but only up to what the vocabulary is projected from.

        That projection is the dearest product of all: it sees real positions only.

        Returns:
            readouts: `(tokens, readout)`, the real positions row by row.
        """
        embedded = self.tgt_embedding(tgt_in)
        features = self.decoder(embedded, self.encode(src, src_lengths))
        return self._read_real(features, tgt_mask)

    def read_sampled(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, forced: Tensor
    ) -> Tensor:
        """As `read`, but where `forced` is False the input is the model's own last choice.

        No gradient flows through the choice (Bengio et al. 2015, scheduled sampling).

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where a real token is to be predicted.
            forced: `(batch, tgt_len)`, True where the reference token is fed; at position 0 it
                always is.
        """
        state, memory = self.encode(src, src_lengths)
        token = tgt_in[:, 0]
        word_mask = self.tgt_embedding.draw_mask(token)
        masks = self.decoder.stack.draw_masks(len(token))
        features: list[Tensor] = []
        for position in range(tgt_in.size(1)):
            if position:
                token = self._choose(features[-1], tgt_in[:, position], forced[:, position])
            embedded = self.tgt_embedding.embed_step(token, word_mask)
            step = self.decoder.step(embedded, state, memory, masks)
            state = step.state
            features.append(step.features)
        return self._read_real(torch.stack(features, 1), tgt_mask)

    def _read_real(self, features: Tensor, tgt_mask: Tensor) -> Tensor:
        """The readouts of the real positions, row by row."""
        # Which sentence a position is of: asked for only where its sentence shares a mask.
        rows = tgt_mask.nonzero()[:, 0] if self.output.dropout.shares_masks else None
        return self.output(features[tgt_mask], rows)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _choose(self, features: Tensor, reference: Tensor, forced: Tensor) -> Tensor:
        """The reference where forced, elsewhere the likeliest token, dropout being as it is."""
        free = ~forced
        token = reference.clone()
        logits = self.project(self.output(features[free]))
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf  # as in a search, which never chooses them
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
        self, token: Tensor, state: State, memory: LookBack
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search; all that search sees.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence stand together.
            state: parts `(batch * beam, layers, hidden)`.
            memory: of `batch` rows, shared by the beam; None if the decoder does not look back.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            weights: attention `(batch * beam, src_len)`, or None.
        """
        embedded = self.tgt_embedding.embed_step(token)
        step = self.decoder.step(embedded, state, memory)
        return self.project(self.output(step.features)), step.state, step.weights

    def compute_by(self, kernels: str) -> None:
        """Train as `training.kernels` says.

        Raises:
            ConfigError: `graphs`, and the decoder has no loop of that kind.
        """
        if kernels == "plain":
            self.compute_plainly()
        if kernels == "graphs":
            self.replay_loop()

    def compute_plainly(self) -> None:
        """Train by autograd alone: the same but for rounding, to compare with."""
        for module in self.modules():
            if isinstance(module, BahdanauDecoder | GNMTDecoder | Encoder | RecurrentLayer):
                module.is_fused = False

    def replay_loop(self) -> None:
        """Train with CUDA graphs of the decoder's loop: the same, for a GPU to be told at once.

        Raises:
            ConfigError: the decoder has no loop of that kind.
        """
        decoder = self.decoder
        if not isinstance(decoder, BahdanauDecoder | GNMTDecoder) or not decoder.is_fused:
            raise ConfigError(
                "training.kernels graphs: they are of the loop with additive attention before each "
                "step (model.attend before, one decoder layer) or of the bottom layer (below); "
                "choose fused"
            )
        decoder.loop = GraphedLoop()

    def num_parameters(self) -> int:
        """How many weights are trained."""
        return sum(parameter.numel() for parameter in self.parameters())


Decoder = (
    InitialContextDecoder
    | EveryStepDecoder
    | BahdanauDecoder
    | LuongDecoder
    | InputFeedingDecoder
    | GNMTDecoder
)


def choose_decoder(config: Model) -> type[Decoder]:
    """The decoder that sees of the source what the configuration says, when it says."""
    if config.context == "initial":
        return InitialContextDecoder
    if config.context == "every_step":
        return EveryStepDecoder
    after = InputFeedingDecoder if config.input_feeding else LuongDecoder
    return {"before": BahdanauDecoder, "after": after, "below": GNMTDecoder}[config.attend]
