"""From encoded pairs to batches: which pairs, in which order, as padded tensors.

`epoch_batches` shuffles the pairs of an epoch, divides them into pools, sorts each pool by length,
cuts it into batches, and shuffles the batches. It is a pure function of (seed, epoch), so a run
resumes without a saved sampler state. `collate` pads the pairs of a batch into tensors; `prefetch`
does this in a second thread.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli.data.dataset import EncodedPair, TokenIds
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID

T = TypeVar("T")
U = TypeVar("U")

POOL_BATCHES = 40
"""Size of a pool in batches. Sorting within pools keeps padding small, but still gives every pair
different neighbours in every epoch."""

Lengths = npt.NDArray[np.int32] | Sequence[tuple[int, int]]
"""Source and target length of every pair `(pairs, 2)`."""

Indices = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Sentence pairs, padded at the end."""

    src: Tensor  # (batch, src_len), each sentence ends with eos
    src_lengths: Tensor  # (batch,), including eos, always on the CPU
    tgt_in: Tensor  # (batch, tgt_len), starts with bos
    tgt_out: Tensor  # (batch, tgt_len), ends with eos: tgt_in shifted by one step
    tgt_mask: Tensor  # (batch, tgt_len), True at real tokens
    num_tokens: int  # real target tokens, including eos

    def to(self, device: torch.device) -> "Batch":
        """Move the batch to a device; the lengths stay on the CPU, where packing needs them."""
        return self._map(lambda tensor: send(tensor, device))

    def pin_memory(self) -> "Batch":
        """Copy the batch to pinned memory, from which a GPU copies without blocking the CPU."""
        return self._map(Tensor.pin_memory)

    def _map(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        return self._replace(
            src=move(self.src),
            tgt_in=move(self.tgt_in),
            tgt_out=move(self.tgt_out),
            tgt_mask=move(self.tgt_mask),
        )


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device; to a GPU from pinned memory, without waiting for the copy."""
    if device.type != "cuda":
        return tensor.to(device)
    # `pin_memory` does not copy a tensor that is pinned already.
    return tensor.pin_memory().to(device, non_blocking=True)


def collate(pairs: Sequence[EncodedPair]) -> Batch:
    """Pad pairs into a batch and add bos and eos."""
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
    """Pad source sentences and add eos.

    Returns:
        src: `(batch, src_len)`.
        src_lengths: `(batch,)`, including eos.
    """
    lengths = [len(src) + 1 for src in sentences]
    padded = _padding(len(sentences), max(lengths))
    for row, src in zip(padded, sentences, strict=True):
        row[: len(src)] = src
        row[len(src)] = EOS_ID
    return torch.from_numpy(padded), torch.tensor(lengths)


def _padding(num_rows: int, width: int) -> Indices:
    return np.full((num_rows, width), PAD_ID, dtype=np.int64)


def prefetch(make: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Apply `make` to every item, in order, one item ahead in a second thread.

    Args:
        make: called for one item at a time; its errors are raised when the result is consumed.
        items: consumed one item ahead.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: Future[U] | None = None
        for item in items:
            upcoming = pool.submit(make, item)
            if waiting is not None:
                yield waiting.result()
            waiting = upcoming
        if waiting is not None:
            yield waiting.result()


class EpochBatches(Sequence[list[int]]):
    """The batches of an epoch, in training order. A batch is made when it is accessed."""

    def __init__(self, order: Indices, starts: Indices, shuffled: Indices) -> None:
        """Store the arrays from which batches are made.

        Args:
            order: pairs, one batch after the other.
            starts: where in `order` each batch starts, and where the last one ends.
            shuffled: batch numbers in training order.
        """
        self._order, self._starts, self._shuffled = order, starts, shuffled

    def __len__(self) -> int:
        return len(self._shuffled)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        """Return the pairs of a batch, or of several batches."""
        if isinstance(index, slice):
            return [self._cut(int(number)) for number in self._shuffled[index]]
        return self._cut(int(self._shuffled[index]))

    def _cut(self, number: int) -> list[int]:
        pairs: list[int] = self._order[self._starts[number] : self._starts[number + 1]].tolist()
        return pairs


def epoch_batches(
    lengths: Lengths,
    batch_size: int,
    seed: int,
    epoch: int,
    weights: npt.ArrayLike | None = None,
    *,
    by_tokens: bool = False,
) -> EpochBatches:
    """Divide the pairs of an epoch into batches, in training order.

    Args:
        lengths: source and target length of every pair.
        batch_size: maximum number of pairs or tokens per batch.
        seed: of the run.
        epoch: from 0.
        weights: how often each pair occurs in an epoch, above 0; a fraction is a probability.
            If None, every pair occurs once.
        by_tokens: measure batches in tokens of the longer side, including markers and padding.
    """
    generator = np.random.default_rng([seed, epoch])
    num_drawn = len(lengths) if weights is None else _draw(np.asarray(weights), generator)
    order: Indices = generator.permutation(num_drawn)
    src, tgt = np.asarray(lengths).T
    # Pairs per batch: its size, divided by the mean width of a pair if it is measured in tokens.
    total = int(np.maximum(src, tgt).sum()) + len(src) if by_tokens else len(src)
    pool_size = POOL_BATCHES * max(1, batch_size * len(src) // total)
    sizes: list[int] = []
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        pool = pool[np.lexsort((src[pool], tgt[pool]))]
        order[start : start + pool_size] = pool
        if by_tokens:
            sizes += _sizes_by_tokens(np.maximum(src[pool], tgt[pool]) + 1, batch_size)
        else:
            sizes += _sizes_by_pairs(len(pool), batch_size)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return EpochBatches(order, starts, generator.permutation(len(sizes)))


def _sizes_by_pairs(num_pairs: int, batch_size: int) -> list[int]:
    """Divide a pool into batches measured in pairs; return their sizes."""
    num_full, rest = divmod(num_pairs, batch_size)
    return [batch_size] * num_full + [rest] * (rest > 0)


def _sizes_by_tokens(widths: npt.NDArray[np.int32], batch_size: int) -> Iterator[int]:
    """Divide a pool into batches measured in tokens; yield their sizes in pairs.

    A pair that is longer than a batch is a batch by itself.

    Args:
        widths: tokens of the longer side of each pair, in the order of the pool.
        batch_size: maximum number of tokens per batch, including padding.
    """
    start = 0
    while start < len(widths):
        # An upper bound: the batch is at least as wide as its first pair.
        max_pairs = max(1, batch_size // int(widths[start]))
        widest = np.maximum.accumulate(widths[start : start + max_pairs])
        is_too_large = widest * np.arange(1, len(widest) + 1) > batch_size
        size = max(1, int(is_too_large.argmax())) if is_too_large.any() else len(widest)
        yield size
        start += size


def _draw(weights: npt.NDArray[np.float64], generator: np.random.Generator) -> Indices:
    """Draw the pairs of an epoch by their weights; at least one pair.

    The integer part of a weight repeats the pair. Fractions are drawn by systematic sampling: place
    the pairs of each weight one after the other on a line, in random order, each as long as its
    fraction; start at a random offset below 1; take the pairs in which an integer lies. Then the
    pairs of a source are drawn with equal probability, and their number is right to within one.
    """
    counts = np.floor(weights).astype(np.int64)
    order = generator.permutation(len(weights))
    order = order[np.argsort(weights[order], kind="stable")]  # Pairs of equal weight are adjacent.
    ends = np.cumsum((weights - counts)[order]) + generator.random()
    counts[order] += np.diff(np.floor(ends), prepend=0.0).astype(np.int64)
    if not counts.any():
        counts[order[0]] = 1
    return np.repeat(np.arange(len(weights)), counts)
