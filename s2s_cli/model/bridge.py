"""From the encoder to the decoder's first state."""

import torch
from torch import Tensor, nn

from s2s_cli.config import Model
from s2s_cli.model.cells import NUM_PARTS, State
from s2s_cli.model.encoder import Encoding
from s2s_cli.model.recurrent import top_of


class LastBridge(nn.Module):
    """Begin where the encoder ended, layer by layer (Sutskever et al. 2014)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        del config

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        return encoding.state


class MeanBridge(nn.Module):
    """Every layer's hidden state begins at the mean of the encoder's outputs; cells at zero."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_parts = NUM_PARTS[config.cell]
        self.num_layers = config.decoder_sizes.layers

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        lengths = encoding.mask.sum(dim=1, keepdim=True)
        mean = encoding.outputs.sum(dim=1) / lengths  # outputs at padding are zero
        hidden = mean.unsqueeze(1).expand(-1, self.num_layers, -1)
        return (hidden, *(torch.zeros_like(hidden) for _ in range(1, self.num_parts)))


class ZeroBridge(nn.Module):
    """Begin at zero: whatever the decoder knows of the source it is told at each step."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.num_parts = NUM_PARTS[config.cell]
        self.sizes = config.decoder_sizes

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        outputs = encoding.outputs
        zeros = outputs.new_zeros(outputs.size(0), self.sizes.layers, self.sizes.hidden)
        return (zeros,) * self.num_parts


class DenseBridge(nn.Module):
    """A projection of the encoder's top state for each layer: s_0 = tanh(W h) (Bahdanau 2014).

    An LSTM's cells begin at a projection of the top cell, without the tanh: a cell has no bounds.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        width = config.encoder_sizes.hidden
        self.sizes = config.decoder_sizes
        self.projections = nn.ModuleList(
            nn.Linear(width, self.sizes.layers * self.sizes.hidden)
            for _ in range(NUM_PARTS[config.cell])
        )

    def forward(self, encoding: Encoding) -> State:
        """Parts `(batch, layers, hidden)`."""
        shape = (-1, self.sizes.layers, self.sizes.hidden)
        hidden, *cells = (
            project(part[:, -1]).view(shape)
            for project, part in zip(self.projections, encoding.state, strict=True)
        )
        return (torch.tanh(hidden), *cells)


Bridge = LastBridge | MeanBridge | ZeroBridge | DenseBridge
BRIDGES: dict[str, type[Bridge]] = {
    "last": LastBridge,
    "mean": MeanBridge,
    "zero": ZeroBridge,
    "dense": DenseBridge,
}


def summary_of(encoding: Encoding) -> Tensor:
    """The vector c that stands for a sentence, `(batch, hidden)`: the top layer's last state."""
    return top_of(encoding.state)
