"""Constraints on a translation: its prefix, its length, and n-grams that must not repeat."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.text.vocabulary import EOS_ID, PAD_ID, UNK_ID

MAX_LENGTH_EXTRA = 10
"""Tokens that a translation may have in addition to `max_length_factor` times the source."""


class Constraints(NamedTuple):
    """Length limits and prefix of each sentence of a batch."""

    max_length: Tensor  # (batch,), eos counted
    min_length: Tensor  # (batch,), eos not counted
    prefix: Tensor  # (batch, prefix_len), padded with PAD_ID
    max_length_list: list[int]  # `max_length`, readable without waiting for the device

    def select(self, kept: list[int], rows: Tensor) -> "Constraints":
        """The constraints of some sentences; `rows` holds the indices `kept` on the device."""
        return Constraints(
            max_length=self.max_length.index_select(0, rows),
            min_length=self.min_length.index_select(0, rows),
            prefix=self.prefix.index_select(0, rows),
            max_length_list=[self.max_length_list[index] for index in kept],
        )


def make_constraints(
    num_words: Tensor, prefixes: Sequence[list[int]], config: Decoding, device: torch.device
) -> Constraints:
    """The constraints of a batch. A prefix longer than the length limit is followed by eos.

    Args:
        num_words: `(batch,)` on the CPU, tokens of each source without language tag and eos.
        prefixes: token ids that each translation begins with; empty for none.
        config: the length factors.
        device: of the search.
    """
    width = max(map(len, prefixes))
    padded = [[*prefix, *[PAD_ID] * (width - len(prefix))] for prefix in prefixes]
    max_length = (config.max_length_factor * num_words).long() + MAX_LENGTH_EXTRA + 1
    max_length = torch.maximum(max_length, torch.tensor([len(prefix) + 1 for prefix in prefixes]))
    return Constraints(
        max_length=max_length.to(device),
        min_length=(config.min_length_factor * num_words).long().to(device),
        prefix=torch.tensor(padded, dtype=torch.long).to(device),
        max_length_list=max_length.tolist(),
    )


def apply_constraints(
    log_probs: Tensor,
    tokens: Tensor,
    constraints: Constraints,
    config: Decoding,
    is_unk_allowed: bool = True,
) -> Tensor:
    """Set the log-probability of every token that must not come next to -inf.

    The prefix has precedence over the length limit, and the length limit over the other rules. If
    those leave no token at all, eos is allowed.

    Args:
        log_probs: `(batch * beam, vocab)`.
        tokens: `(batch * beam, length)`, those chosen so far, bos first.
        constraints: of `batch` rows.
        config: the rules.
        is_unk_allowed: whether `<unk>` may be chosen; a prefix may contain it in any case.

    Returns:
        `(batch * beam, vocab)`.
    """
    beam_size, length = log_probs.size(0) // constraints.max_length.size(0), tokens.size(1)
    allowed = log_probs
    if config.no_repeat_ngram or config.min_length_factor or not is_unk_allowed:
        allowed = log_probs.clone()
        if not is_unk_allowed:
            allowed[:, UNK_ID] = -torch.inf
        if config.no_repeat_ngram:
            _forbid_repeats(allowed, tokens, config.no_repeat_ngram)
        is_short = (constraints.min_length >= length).repeat_interleave(beam_size)
        allowed[:, EOS_ID].masked_fill_(is_short, -torch.inf)
        is_stuck = ~(allowed > -torch.inf).any(-1)
        allowed[:, EOS_ID] = torch.where(is_stuck, log_probs[:, EOS_ID], allowed[:, EOS_ID])
    if constraints.prefix.size(1) < length < min(constraints.max_length_list):
        return allowed
    forced = _forced_tokens(constraints, length).repeat_interleave(beam_size).unsqueeze(1)
    is_forced = forced != PAD_ID
    is_other = torch.arange(log_probs.size(-1), device=log_probs.device) != forced
    # A forced token keeps its log-probability, as if the search had chosen it.
    return torch.where(is_forced, log_probs.masked_fill(is_other, -torch.inf), allowed)


def _forced_tokens(constraints: Constraints, length: int) -> Tensor:
    """The only token allowed at position `length`, PAD_ID where there is a choice: `(batch,)`."""
    at_limit = torch.where(constraints.max_length <= length, EOS_ID, PAD_ID)
    if length > constraints.prefix.size(1):
        return at_limit
    token = constraints.prefix[:, length - 1]
    return torch.where(token == PAD_ID, at_limit, token)


def _forbid_repeats(log_probs: Tensor, tokens: Tensor, size: int) -> None:
    """Set to -inf, in place, each token that would repeat an n-gram of `size` tokens."""
    if tokens.size(1) < size:
        return
    ngrams = tokens.unfold(1, size, 1)  # (batch * beam, ngrams, size)
    latest = tokens[:, tokens.size(1) - size + 1 :].unsqueeze(1)
    is_repeated = (ngrams[..., :-1] == latest).all(-1)
    # Where nothing repeats, padding is set to -inf, which it is already.
    log_probs.scatter_(1, torch.where(is_repeated, ngrams[..., -1], PAD_ID), -torch.inf)
