"""From a decoder's features to the next token's logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.config import Model
from s2s_cli.model.dropout import SequenceDropout


class LinearReadout(nn.Module):
    """No layer between the features and the vocabulary."""

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        del readout_size
        self.size = feature_size

    def forward(self, features: Tensor) -> Tensor:
        """The features as they are, `(..., feature)`."""
        return features


class TanhReadout(nn.Module):
    """t_i = tanh(W f_i), as in Luong et al. 2015."""

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        self.size = readout_size
        self.linear = nn.Linear(feature_size, readout_size)

    def forward(self, features: Tensor) -> Tensor:
        """From `(..., feature)` to `(..., readout)`."""
        return torch.tanh(self.linear(features))


class MaxoutReadout(nn.Module):
    """t_i = max over pairs of U_o s + V_o e + C_o c (Bahdanau et al. 2014, appendix A.2.2)."""

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        self.size = readout_size
        self.linear = nn.Linear(feature_size, 2 * readout_size)

    def forward(self, features: Tensor) -> Tensor:
        """From `(..., feature)` to `(..., readout)`."""
        left, right = self.linear(features).chunk(2, dim=-1)
        return torch.maximum(left, right)


Readout = LinearReadout | TanhReadout | MaxoutReadout
READOUTS: dict[str, type[Readout]] = {
    "linear": LinearReadout,
    "tanh": TanhReadout,
    "maxout": MaxoutReadout,
}


class TiedProjection(nn.Module):
    """Logits by the target embeddings themselves (Press and Wolf 2017); only a bias is its own.

    The table stays where it is: a parameter that stood in two places would be saved twice.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(vocab_size))

    def forward(self, inputs: Tensor, table: Tensor) -> Tensor:
        """From `(..., embed)` to `(..., vocab)`, with the embeddings `(vocab, embed)`."""
        return F.linear(inputs, table, self.bias)


class OutputLayer(nn.Module):
    """Readout, dropout, vocabulary."""

    def __init__(self, config: Model, readout: Readout, vocab_size: int) -> None:
        super().__init__()
        probability = config.dropout if config.output_dropout is None else config.output_dropout
        self.is_tied = config.tied != "none"
        self.readout = readout
        self.dropout = SequenceDropout(probability, config.variational)
        self.projection = (
            TiedProjection(vocab_size) if self.is_tied else nn.Linear(readout.size, vocab_size)
        )

    def forward(self, features: Tensor, rows: Tensor | None, table: Tensor) -> Tensor:
        """Logits `(tokens, vocab)`.

        Args:
            features: `(tokens, feature)`.
            rows: `(tokens,)`, which sentence each belongs to; None if each to one of its own.
            table: the target embeddings `(vocab, embed)`, used if tied.
        """
        readout = self.dropout(self.readout(features), rows)
        if self.is_tied:
            return self.projection(readout, table)  # type: ignore[no-any-return]
        return self.projection(readout)  # type: ignore[no-any-return]
