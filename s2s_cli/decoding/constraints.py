"""What a translation must be: its prefix, its length, and no run of tokens twice."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.text.vocabulary import EOS_ID, PAD_ID, UNK_ID

MAX_LENGTH_EXTRA = 10
"""Tokens that a translation may have beyond `max_length_factor` times the source."""


class Bounds(NamedTuple):
    """Where the translation of each sentence of a batch must stay."""

    longest: Tensor  # (batch,) most tokens, eos counted
    shortest: Tensor  # (batch,) fewest tokens, eos not counted
    prefix: Tensor  # (batch, prefix_len) the tokens it begins with, PAD_ID behind them
    limits: list[int]  # `longest`, to be read without waiting for a device

    def select(self, kept: list[int], rows: Tensor) -> "Bounds":
        """The bounds of some sentences of the batch; `rows` is `kept` where the bounds are."""
        return Bounds(
            longest=self.longest.index_select(0, rows),
            shortest=self.shortest.index_select(0, rows),
            prefix=self.prefix.index_select(0, rows),
            limits=[self.limits[index] for index in kept],
        )


def make_bounds(
    num_words: Tensor, prefixes: Sequence[list[int]], config: Decoding, device: torch.device
) -> Bounds:
    """Bounds of a batch; where a prefix is longer than the limit, only eos follows it.

    Args:
        num_words: tokens of each source `(batch,)` on the CPU, its language tag and eos left out.
        prefixes: token ids that each translation begins with, maybe none.
        config: the length factors.
        device: where the bounds are needed.
    """
    width = max(map(len, prefixes))
    padded = [[*prefix, *[PAD_ID] * (width - len(prefix))] for prefix in prefixes]
    longest = (config.max_length_factor * num_words).long() + MAX_LENGTH_EXTRA + 1
    longest = torch.maximum(longest, torch.tensor([len(prefix) + 1 for prefix in prefixes]))
    return Bounds(
        longest=longest.to(device),
        shortest=(config.min_length_factor * num_words).long().to(device),
        prefix=torch.tensor(padded, dtype=torch.long).to(device),
        limits=longest.tolist(),
    )


def restrict(
    logits: Tensor, tokens: Tensor, bounds: Bounds, config: Decoding, can_be_unknown: bool = True
) -> Tensor:
    """The logits with -inf for every token that may not come next.

    The prefix comes before all else, then the length limit. Where blocked repeats and the least
    length leave nothing to say, the translation may end.

    Args:
        logits: `(batch * beam, vocab)`.
        tokens: written so far `(batch * beam, length)`, bos first.
        bounds: of `batch` rows.
        config: which rules hold.
        can_be_unknown: whether `<unk>` may come, other than by the prefix.
    """
    beam, length = logits.size(0) // bounds.longest.size(0), tokens.size(1)
    free = logits
    if config.no_repeat_ngram or config.min_length_factor or not can_be_unknown:
        free = logits.clone()
        if not can_be_unknown:
            free[:, UNK_ID] = -torch.inf
        if config.no_repeat_ngram:
            _forbid_repeats(free, tokens, config.no_repeat_ngram)
        is_short = (bounds.shortest >= length).repeat_interleave(beam)
        free[:, EOS_ID].masked_fill_(is_short, -torch.inf)
        is_stuck = ~(free > -torch.inf).any(-1)
        free[:, EOS_ID] = torch.where(is_stuck, logits[:, EOS_ID], free[:, EOS_ID])
    if bounds.prefix.size(1) < length < min(bounds.limits):
        return free
    forced = _force(bounds, length).repeat_interleave(beam).unsqueeze(1)
    is_forced = forced != PAD_ID
    is_other = torch.arange(logits.size(-1), device=logits.device) != forced
    return torch.where(is_forced, logits.masked_fill(is_other, -torch.inf), free)


def _force(bounds: Bounds, length: int) -> Tensor:
    """The only token that may come as number `length`, PAD_ID where there is a choice: `(batch,)`.

    It pays its full price, as if it had been chosen.
    """
    at_limit = torch.where(bounds.longest <= length, EOS_ID, PAD_ID)
    if length > bounds.prefix.size(1):
        return at_limit
    wanted = bounds.prefix[:, length - 1]
    return torch.where(wanted == PAD_ID, at_limit, wanted)


def _forbid_repeats(logits: Tensor, tokens: Tensor, size: int) -> None:
    """Set to -inf, in place, what would complete an n-gram of `size` that was written before."""
    if tokens.size(1) < size:
        return
    grams = tokens.unfold(1, size, 1)  # (batch * beam, grams, size)
    latest = tokens[:, tokens.size(1) - size + 1 :].unsqueeze(1)
    is_repeated = (grams[..., :-1] == latest).all(-1)
    # Padding never comes anyway.
    logits.scatter_(1, torch.where(is_repeated, grams[..., -1], PAD_ID), -torch.inf)
