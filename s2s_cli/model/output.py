"""From a decoder's features to the next token's logits."""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.layers import SequenceDropout


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
        return self.activate(self.linear(features))

    @staticmethod
    def activate(inputs: Tensor) -> Tensor:
        """What follows the product, `(..., readout)`."""
        return torch.tanh(inputs)


class MaxoutReadout(nn.Module):
    """t_i = max over pairs of U_o s + V_o e + C_o c (Bahdanau et al. 2014, appendix A.2.2)."""

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        self.size = readout_size
        self.linear = nn.Linear(feature_size, 2 * readout_size)

    def forward(self, features: Tensor) -> Tensor:
        """From `(..., feature)` to `(..., readout)`."""
        return self.activate(self.linear(features))

    @staticmethod
    def activate(inputs: Tensor) -> Tensor:
        """What follows the product: from `(..., 2 * readout)` to `(..., readout)`."""
        left, right = inputs.chunk(2, dim=-1)
        return torch.maximum(left, right)


Readout = LinearReadout | TanhReadout | MaxoutReadout
READOUTS: dict[str, type[Readout]] = {
    "linear": LinearReadout,
    "tanh": TanhReadout,
    "maxout": MaxoutReadout,
}


class TiedProjection(nn.Module):
    """The target embeddings are the vocabulary layer (Press and Wolf 2017); its bias is its own.

    The table stays where it is: a parameter that stood in two places would be saved twice.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(vocab_size))


class OutputLayer(nn.Module):
    """Readout, dropout, vocabulary."""

    def __init__(self, config: Model, readout: Readout, vocab_size: int) -> None:
        super().__init__()
        probability = config.dropout if config.output_dropout is None else config.output_dropout
        self.readout = readout
        self.dropout = SequenceDropout(probability, config.variational)
        self.projection = (
            nn.Linear(readout.size, vocab_size)
            if config.tied == "none"
            else TiedProjection(vocab_size)
        )

    def forward(self, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """What the vocabulary is projected from, `(tokens, readout)`.

        Args:
            features: `(tokens, feature)`.
            rows: `(tokens,)`, which sentence each belongs to; None if each to one of its own.
        """
        return self.dropout(self.readout(features), rows)  # type: ignore[no-any-return]

    def projection_onto(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Weight `(vocab, readout)` and bias `(vocab,)`.

        Args:
            table: the target embeddings `(vocab, embed)`, which are the weight if tied.
        """
        if isinstance(self.projection, TiedProjection):
            return table, self.projection.bias
        return self.projection.weight, self.projection.bias
