"""Cells by the textbook's equations, which tests compare with."""

import torch
from torch import Tensor

from s2s_cli.kernels.cells import State


def compute_cell(cell: str, from_x: Tensor, from_h: Tensor, state: State) -> State:
    """One step of one sentence, given the sums from its input and from its state."""
    if cell == "rnn":
        return (torch.tanh(from_x + from_h),)
    if cell == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = from_x.chunk(3), from_h.chunk(3)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        return ((1 - z) * torch.tanh(x_n + r * h_n) + z * state[0],)
    i, f, j, o = (from_x + from_h).chunk(4)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(j)
    return torch.sigmoid(o) * torch.tanh(c), c
