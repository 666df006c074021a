"""Batches that are too large for the memory, split until they fit."""

from collections.abc import Iterator, Sequence

import torch

from s2s_cli.data.batching import Batch
from s2s_cli.errors import DeviceError


def release_memory(device: torch.device) -> None:
    """Give back what PyTorch keeps for later, so that it can be cut anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if device.type == "mps":
        torch.mps.empty_cache()


class Room:
    """How large a batch may be, in padded tokens of both sides: learnt from those that failed.

    A training that resumes learns it again.
    """

    def __init__(self) -> None:
        """Begin without a limit."""
        self._most: int | None = None

    def cut(self, batches: Sequence[Batch]) -> list[Batch]:
        """The batches, in parts no larger than is known to fit; a pair is never cut."""
        return [part for batch in batches for part in self._cut(batch)]

    def shrink(self, failed: Sequence[Batch], reason: str) -> None:
        """Allow half of what the largest of some batches has that did not fit.

        Raises:
            DeviceError: it is a single pair.
        """
        largest = max(failed, key=_area)
        if len(largest.src) == 1:
            raise DeviceError(
                f"{largest.src.device}: too little memory for a single pair of "
                f"{largest.src.shape[1]} source and {largest.tgt_out.shape[1]} target tokens "
                f"({reason}); lower data.max_length, or make the model smaller"
            )
        self._most = _area(largest) // 2

    def _cut(self, batch: Batch) -> Iterator[Batch]:
        size = len(batch.src)
        if self._most is None or _area(batch) <= self._most:
            yield batch
            return
        rows = max(1, size * self._most // _area(batch))
        for start in range(0, size, rows):
            yield _rows(batch, start, min(size, start + rows))


def _area(batch: Batch) -> int:
    return batch.src.numel() + batch.tgt_out.numel()


def _rows(batch: Batch, start: int, end: int) -> Batch:
    """Some pairs of a batch, without the padding that only others needed."""
    lengths, mask = batch.src_lengths[start:end], batch.tgt_mask[start:end]
    src_len, tgt_len = int(lengths.max()), int(mask.sum(1).max())
    return Batch(
        batch.src[start:end, :src_len],
        lengths,
        batch.tgt_in[start:end, :tgt_len],
        batch.tgt_out[start:end, :tgt_len],
        mask[:, :tgt_len],
        int(mask.sum()),
    )
