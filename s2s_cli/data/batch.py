"""Token ids to padded tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2s_cli.data.tokenized import EncodedPair
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID


class Batch(NamedTuple):
    """Some sentence pairs, padded at the end."""

    src: Tensor  # (batch, src_len), each row ends with eos
    src_lengths: Tensor  # (batch,), eos counted, always on the CPU
    tgt_in: Tensor  # (batch, tgt_len), starts with bos
    tgt_out: Tensor  # (batch, tgt_len), ends with eos: tgt_in one step later
    tgt_mask: Tensor  # (batch, tgt_len), True at real tokens
    num_tokens: int  # real target tokens, eos counted

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device; lengths stay on the CPU, where packing needs them."""
        return self._replace(
            src=send(self.src, device),
            tgt_in=send(self.tgt_in, device),
            tgt_out=send(self.tgt_out, device),
            tgt_mask=send(self.tgt_mask, device),
        )


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU it flows while the CPU goes on, from pinned memory."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def collate(pairs: Sequence[EncodedPair]) -> Batch:
    """Pad some pairs into a batch; bos and eos are added here, once."""
    src, src_lengths = collate_src([src for src, _ in pairs])
    tgt_in = _pad([[BOS_ID, *tgt] for _, tgt in pairs])
    tgt_out = _pad([[*tgt, EOS_ID] for _, tgt in pairs])
    num_tokens = sum(len(tgt) + 1 for _, tgt in pairs)
    return Batch(src, src_lengths, tgt_in, tgt_out, tgt_out != PAD_ID, num_tokens)


def collate_src(sentences: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Pad source sentences, each closed by eos: `(batch, src_len)` and lengths `(batch,)`."""
    rows = [[*src, EOS_ID] for src in sentences]
    return _pad(rows), torch.tensor([len(row) for row in rows])


def _pad(rows: list[list[int]]) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), PAD_ID, dtype=np.int64)
    for padded_row, row in zip(padded, rows, strict=True):
        padded_row[: len(row)] = row
    return torch.from_numpy(padded)
