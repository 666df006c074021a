"""The whole model: source token ids in, next-token logits out."""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.attention import Memory
from s2s_cli.model.decoder import DECODERS, Start
from s2s_cli.model.encoder import Encoder
from s2s_cli.model.recurrent import State


class Seq2Seq(nn.Module):
    """Encoder, decoder and output layer."""

    def __init__(
        self, config: Model, src_vocab_size: int, tgt_vocab_size: int, pad_id: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config, src_vocab_size, pad_id)
        self.embedding = nn.Embedding(tgt_vocab_size, config.embed_size, padding_idx=pad_id)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = DECODERS[config.context](config)
        self.output = nn.Sequential(
            *self.decoder.make_readout(config),
            nn.Dropout(config.dropout),
            nn.Linear(self.decoder.readout_size, tgt_vocab_size),
        )
        self._initialize(pad_id)

    def _initialize(self, pad_id: int) -> None:
        """Uniform in +-0.1, as in OpenNMT; the embeddings of padding are zero."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
        with torch.no_grad():
            self.encoder.embedding.weight[pad_id].zero_()
            self.embedding.weight[pad_id].zero_()

    def encode(self, src: Tensor, src_lengths: Tensor) -> Start:
        """Read the source.

        Args:
            src: token ids `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU, real tokens per row.
        """
        return self.decoder.start(self.encoder(src, src_lengths))

    def forward(self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor) -> Tensor:
        """Next-token logits with the reference as the decoder's input (teacher forcing).

        The vocabulary projection, the dearest product of all, sees real positions only.

        Args:
            src: `(batch, src_len)`, padded at the end.
            src_lengths: `(batch,)` on the CPU.
            tgt_in: `(batch, tgt_len)`, starting with bos.
            tgt_mask: `(batch, tgt_len)`, True where a real token is to be predicted.

        Returns:
            logits: `(tokens, vocab)`, the real positions row by row.
        """
        embedded = self.dropout(self.embedding(tgt_in))
        features = self.decoder(embedded, self.encode(src, src_lengths))
        return self.output(features[tgt_mask])  # type: ignore[no-any-return]

    def forward_sampled(
        self, src: Tensor, src_lengths: Tensor, tgt_in: Tensor, tgt_mask: Tensor, forced: Tensor
    ) -> Tensor:
        """As `forward`, but where `forced` is False the input is the model's own last choice.

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
        features: list[Tensor] = []
        for position in range(tgt_in.size(1)):
            if position:
                token = self._choose(features[-1], tgt_in[:, position], forced[:, position])
            step = self.decoder.step(self.dropout(self.embedding(token)), state, memory)
            state = step.state
            features.append(step.features)
        return self.output(torch.stack(features, 1)[tgt_mask])  # type: ignore[no-any-return]

    @torch.no_grad()
    def _choose(self, features: Tensor, reference: Tensor, forced: Tensor) -> Tensor:
        """The reference where forced, elsewhere the likeliest token, dropout being as it is."""
        free = ~forced
        token = reference.clone()
        token[free] = self.output(features[free]).argmax(-1)
        return token

    def step(
        self, token: Tensor, state: State, memory: Memory | None
    ) -> tuple[Tensor, State, Tensor | None]:
        """One step of a search; all that search sees.

        Args:
            token: last token `(batch * beam,)`; the rows of one sentence stand together.
            state: parts `(batch * beam, layers, hidden)`.
            memory: of `batch` rows, shared by the beam; None for a model without attention.

        Returns:
            logits: `(batch * beam, vocab)`.
            state: after the step.
            weights: attention `(batch * beam, src_len)`, or None.
        """
        step = self.decoder.step(self.dropout(self.embedding(token)), state, memory)
        return self.output(step.features), step.state, step.weights

    def num_parameters(self) -> int:
        """How many weights are trained."""
        return sum(parameter.numel() for parameter in self.parameters())
