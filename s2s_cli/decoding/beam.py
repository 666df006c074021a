"""Beam search over a batch; greedy search is a beam of one."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.errors import S2SError
from s2s_cli.model.decoder import LookBack
from s2s_cli.model.recurrent import State, select_rows
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID

MAX_LENGTH_EXTRA = 10
"""Tokens that a translation may have beyond `max_length_factor` times the source."""


class Hypothesis(NamedTuple):
    """One translation of one sentence."""

    token_ids: list[int]
    """Without bos and eos."""
    log_prob: float
    """Sum of the tokens' log-probabilities, eos included, in nats."""
    score: float
    """`log_prob` divided by the length penalty: what hypotheses are ranked by."""
    weights: Tensor | None
    """Attention of each token, eos included: `(tgt_len, src_len)` on the CPU."""
    is_complete: bool
    """False if its eos was forced by the length limit."""


class Trace:
    """What each step chose, kept as back pointers: a hypothesis is read from its end.

    Rows are numbered as they were at their step; the search drops rows as sentences get done.
    """

    def __init__(self) -> None:
        self._tokens: list[list[int]] = []
        self._parents: list[list[int]] = []
        self._weights: list[Tensor | None] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, tokens: Tensor, parents: Tensor, weights: Tensor | None) -> None:
        """Note a step.

        Args:
            tokens: chosen, `(rows,)`.
            parents: rows of the step before that they continue, `(rows,)`.
            weights: attention `(rows, src_len)` with which they were chosen.
        """
        self._tokens.append(tokens.tolist())
        self._parents.append(parents.tolist())
        self._weights.append(weights)

    def read(self, row: int) -> tuple[list[int], Tensor | None]:
        """Token ids that end in a row of the latest step, and their attention."""
        token_ids: list[int] = []
        weights: list[Tensor] = []
        for step in reversed(range(len(self))):
            token_ids.append(self._tokens[step][row])
            step_weights = self._weights[step]
            if step_weights is not None:
                weights.append(step_weights[row])
            row = self._parents[step][row]
        return token_ids[::-1], torch.stack(weights[::-1]).cpu() if weights else None


class Beam(NamedTuple):
    """The living hypotheses of the sentences that are still searched, `beam` rows each."""

    sentences: list[int]  # which sentence of the batch each `beam` rows belong to
    limits: Tensor  # (batch,) most tokens, eos included
    scores: Tensor  # (batch, beam) log-probability so far; -inf where no hypothesis lives
    last: Tensor  # (batch * beam,) latest tokens
    rows: Tensor  # (batch * beam,) numbers of the rows in the trace's latest step
    state: State  # parts (batch * beam, layers, hidden)
    memory: LookBack  # of `batch` rows


@torch.inference_mode()
def beam_search(
    model: Seq2Seq, src: Tensor, src_lengths: Tensor, config: Decoding
) -> list[list[Hypothesis]]:
    """Translate a batch.

    At every step each sentence's `beam_size` best continuations live on; those that end in eos
    are finished. A sentence is done when `beam_size` hypotheses are finished, or when no living
    one can still overtake its `n_best` finished ones; it then leaves the batch.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: beam size, length penalty, length limit, `n_best`.

    Returns:
        For each sentence its hypotheses, best first, at most `beam_size`.

    Raises:
        S2SError: the model's scores are not numbers.
    """
    finished: list[list[Hypothesis]] = [[] for _ in range(src.size(0))]
    trace = Trace()
    beam = _first_beam(model, src, src_lengths, config)
    while beam.sentences:
        beam = _extend(model, beam, trace)
        beam = _harvest(beam, trace, finished, config)
        beam = _drop_done(beam, finished, config)
    for hypotheses in finished:
        if not hypotheses:
            raise S2SError("the model's scores are not numbers; was its training cut short?")
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return [hypotheses[: config.beam_size] for hypotheses in finished]


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6) ** alpha of Wu et al. 2016 (GNMT), equation 14."""
    return float(((5 + length) / 6) ** alpha)


def _first_beam(model: Seq2Seq, src: Tensor, src_lengths: Tensor, config: Decoding) -> Beam:
    batch, size = src.size(0), config.beam_size
    state, memory = model.encode(src, src_lengths)
    rows = torch.arange(batch, device=src.device).repeat_interleave(size)
    scores = torch.full((batch, size), -torch.inf, device=src.device)
    scores[:, 0] = 0  # All rows of a sentence begin alike: only the first counts.
    limits = (config.max_length_factor * (src_lengths - 1)).long() + MAX_LENGTH_EXTRA + 1
    return Beam(
        sentences=list(range(batch)),
        limits=limits.to(src.device),
        scores=scores,
        last=torch.full((batch * size,), BOS_ID, device=src.device),
        rows=torch.arange(batch * size, device=src.device),
        state=select_rows(state, rows),
        memory=memory,
    )


def _extend(model: Seq2Seq, beam: Beam, trace: Trace) -> Beam:
    """Every sentence's best continuations, one token longer."""
    batch, size = beam.scores.shape
    logits, state, weights = model.step(beam.last, beam.state, beam.memory)
    logits[:, [PAD_ID, BOS_ID]] = -torch.inf
    normalizer = logits.logsumexp(-1, keepdim=True)
    logits = _force_eos(logits, (beam.limits <= len(trace) + 1).repeat_interleave(size))
    # Of one row no more than `size` continuations can survive: choose them before normalising.
    top, tokens = logits.topk(min(size, logits.size(-1)))
    log_probs = top - normalizer
    candidates = (beam.scores.view(-1, 1) + log_probs).view(batch, -1)
    scores, choice = candidates.topk(size)
    last = tokens.view(batch, -1).gather(1, choice).flatten()
    first_rows = torch.arange(batch, device=scores.device).unsqueeze(1) * size
    parents = choice.div(tokens.size(-1), rounding_mode="floor").add(first_rows).flatten()
    trace.add(last, beam.rows[parents], None if weights is None else weights[parents])
    rows = torch.arange(batch * size, device=scores.device)
    return beam._replace(scores=scores, last=last, rows=rows, state=select_rows(state, parents))


def _force_eos(logits: Tensor, is_last: Tensor) -> Tensor:
    """Where a row's next token is its last, only eos can be chosen; it pays its full price."""
    is_other = torch.arange(logits.size(-1), device=logits.device) != EOS_ID
    return logits.masked_fill(is_last.unsqueeze(1) & is_other, -torch.inf)


def _harvest(beam: Beam, trace: Trace, finished: list[list[Hypothesis]], config: Decoding) -> Beam:
    """Move hypotheses that end in eos to the finished ones."""
    size, length = config.beam_size, len(trace)
    ended = (beam.last == EOS_ID).view(-1, size) & beam.scores.isfinite()
    limits = beam.limits.tolist()
    penalty = length_penalty(length, config.length_penalty)
    log_probs = beam.scores.flatten().tolist()
    for row in ended.flatten().nonzero().flatten().tolist():
        token_ids, weights = trace.read(row)
        finished[beam.sentences[row // size]].append(
            Hypothesis(
                token_ids=token_ids[:-1],
                log_prob=log_probs[row],
                score=log_probs[row] / penalty,
                weights=weights,
                is_complete=length < limits[row // size],
            )
        )
    return beam._replace(scores=beam.scores.masked_fill(ended, -torch.inf))


def _drop_done(beam: Beam, finished: list[list[Hypothesis]], config: Decoding) -> Beam:
    """Let the sentences go whose result is certain."""
    best_living = beam.scores.max(dim=1).values.tolist()
    limits = beam.limits.tolist()
    keep = []
    for index, sentence in enumerate(beam.sentences):
        # Log-probabilities only fall, so the highest score within reach is the present sum over
        # the greatest penalty.
        reachable = best_living[index] / length_penalty(limits[index], config.length_penalty)
        scores = sorted((hypothesis.score for hypothesis in finished[sentence]), reverse=True)
        is_certain = len(scores) >= config.n_best and scores[config.n_best - 1] >= reachable
        # Nothing lives, or (not a number) nothing can be compared.
        is_exhausted = not best_living[index] > -math.inf
        if not (is_exhausted or len(scores) >= config.beam_size or is_certain):
            keep.append(index)
    if len(keep) == len(beam.sentences):
        return beam
    kept = torch.tensor(keep, dtype=torch.long, device=beam.scores.device)
    offsets = torch.arange(config.beam_size, device=kept.device)
    rows = (kept.unsqueeze(1) * config.beam_size + offsets).flatten()
    return Beam(
        sentences=[beam.sentences[index] for index in keep],
        limits=beam.limits[kept],
        scores=beam.scores[kept],
        last=beam.last[rows],
        rows=beam.rows[rows],
        state=select_rows(beam.state, rows),
        memory=None if beam.memory is None else beam.memory.select(kept),
    )
