"""The output layer: from a decoder's features to what the vocabulary is projected from."""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.layers import SequenceDropout


class LinearReadout(nn.Module):
    """The features themselves, with no layer in between."""

    def __init__(self, feature_size: int, readout_size: int) -> None:
        super().__init__()
        del readout_size
        self.size = feature_size

    def forward(self, features: Tensor) -> Tensor:
        """The features unchanged, `(..., feature)`."""
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
        """The activation after the product, `(..., readout)`."""
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
        """The activation after the product, from `(..., 2 * readout)` to `(..., readout)`."""
        left, right = inputs.chunk(2, dim=-1)
        return torch.maximum(left, right)


Readout = LinearReadout | TanhReadout | MaxoutReadout
READOUTS: dict[str, type[Readout]] = {
    "linear": LinearReadout,
    "tanh": TanhReadout,
    "maxout": MaxoutReadout,
}


class TiedProjection(nn.Module):
    """The bias of a vocabulary layer whose weight is the target embeddings (Press and Wolf 2017).

    The weight belongs to the embedding alone: a parameter of two modules would be saved twice.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(vocab_size))


class OutputLayer(nn.Module):
    """Readout, dropout, and the parameters of the projection onto the vocabulary."""

    def __init__(self, config: Model, readout: Readout, vocab_size: int) -> None:
        super().__init__()
        probability = config.dropout if config.output_dropout is None else config.output_dropout
        self.readout = readout
        self.is_fused = False  # set by `select_kernels`
        self.dropout = SequenceDropout(probability, config.variational)
        self.projection = (
            nn.Linear(readout.size, vocab_size)
            if config.tied == "none"
            else TiedProjection(vocab_size)
        )

    def forward(self, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """Readouts `(tokens, readout)`, from which the vocabulary is projected.

        Args:
            features: `(tokens, feature)`.
            rows: the sentence that each token belongs to, `(tokens,)`; None if all are from
                different sentences.
        """
        return self.dropout(self.readout(features), rows)  # type: ignore[no-any-return]

    def projection_onto(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Weight `(vocab, readout)` and bias `(vocab,)` of the vocabulary layer.

        Args:
            table: the target embeddings `(vocab, embed)`: the weight of a tied layer.
        """
        if isinstance(self.projection, TiedProjection):
            return table, self.projection.bias
        return self.projection.weight, self.projection.bias
