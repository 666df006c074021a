"""The greatest entries of long rows, quickly."""

import torch
from torch import Tensor

BLOCK = 64
"""Entries whose maximum is found first."""


def find_top(rows: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The greatest entries of each row, greatest first, and where they stand.

    The values are those of `topk`; of equal ones it may be others that are found.

    The `number` greatest entries stand in the `number` blocks whose maxima are greatest. Maxima
    are found much faster than `topk` searches, and few entries are left for it.

    Args:
        rows: `(rows, length)`.
        number: of entries, at most `length`.

    Returns:
        values and indices, both `(rows, number)`.
    """
    num_blocks = rows.size(1) // BLOCK
    if num_blocks <= number:
        return rows.topk(number)
    whole = num_blocks * BLOCK
    blocks = torch.unflatten(rows[:, :whole], 1, (num_blocks, BLOCK))
    best = blocks.amax(-1).topk(number).indices.unsqueeze(2)
    values = blocks.gather(1, best.expand(-1, -1, BLOCK)).flatten(1)
    places = (best * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(1)
    rest = torch.arange(whole, rows.size(1), device=rows.device).expand(len(rows), -1)
    values, places = torch.cat([values, rows[:, whole:]], 1), torch.cat([places, rest], 1)
    values, chosen = values.topk(number)
    return values, places.gather(1, chosen)
