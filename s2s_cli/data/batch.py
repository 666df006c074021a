"""Token ids to padded tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli.data.dataset import EncodedPair, TokenIds
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
    targets = [tgt for _, tgt in pairs]
    width = max(map(len, targets)) + 1
    tgt_in, tgt_out = _padding(len(targets), width), _padding(len(targets), width)
    tgt_in[:, 0] = BOS_ID
    for row_in, row_out, tgt in zip(tgt_in, tgt_out, targets, strict=True):
        row_in[1 : len(tgt) + 1] = row_out[: len(tgt)] = tgt
        row_out[len(tgt)] = EOS_ID
    num_tokens = sum(map(len, targets)) + len(targets)
    expected = torch.from_numpy(tgt_out)
    return Batch(
        src, src_lengths, torch.from_numpy(tgt_in), expected, expected != PAD_ID, num_tokens
    )


def collate_src(sentences: Sequence[TokenIds]) -> tuple[Tensor, Tensor]:
    """Pad source sentences, each closed by eos: `(batch, src_len)` and lengths `(batch,)`."""
    lengths = [len(src) + 1 for src in sentences]
    padded = _padding(len(sentences), max(lengths))
    for row, src in zip(padded, sentences, strict=True):
        row[: len(src)] = src
        row[len(src)] = EOS_ID
    return torch.from_numpy(padded), torch.tensor(lengths)


def _padding(num_rows: int, width: int) -> npt.NDArray[np.int64]:
    return np.full((num_rows, width), PAD_ID, dtype=np.int64)
