"""The state of a search: the unfinished hypotheses of a batch, and the steps that change it.

Beam search and sampling use the same cycle. They differ in how they choose tokens.

    beam = init_state(...)                      encode the sources; each hypothesis is bos
    while beam.sentences:
        beam, log_probs = predict(...)          one step of the model
        beam = extend(beam, ...)                append the chosen tokens
        beam = mark_finished(beam)              hypotheses that end in eos grow no further
        collect_finished(beam, ...)             read them from the device
        beam = prune(beam, ...)                 sentences that are done leave the batch
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.decoding.constraints import Constraints, apply_constraints, make_constraints
from s2s_cli.decoding.hypotheses import (
    Hypothesis,
    Trace,
    coverage_penalty,
    init_coverage,
    score_hypothesis,
)
from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.cells import State
from s2s_cli.model.layers import select_rows
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID


class BeamState(NamedTuple):
    """The hypotheses of the sentences still in the search, `beam` rows for each sentence."""

    sentences: list[int]  # index in the batch that was searched, for each sentence
    constraints: Constraints  # of `batch` rows
    scores: Tensor  # (batch, beam), log-probability so far; -inf where a hypothesis has ended
    finished_scores: Tensor  # (batch, beam), of those that ended at this step; -inf elsewhere
    tokens: Tensor  # (batch * beam, length), bos first
    trace_rows: Tensor  # (batch * beam,), the row of the last step in the `Trace` of each
    coverage: Tensor | None  # (batch * beam, src_len), attention so far, if it is penalised
    attention_weights: Tensor | None  # (batch * beam, src_len), of the latest prediction
    state: State  # parts (batch * beam, ...)
    memory: Any  # of the model, for `batch` rows

    @property
    def beam_size(self) -> int:
        """Rows per sentence."""
        return self.scores.size(1)


def init_state(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    beam_size: int,
    config: Decoding,
    prefixes: Sequence[list[int]] | None,
    num_tags: int,
) -> BeamState:
    """Encode a batch; each hypothesis is bos.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        beam_size: rows for each sentence.
        config: length limits and coverage penalty.
        prefixes: token ids that each translation begins with.
        num_tags: number of language tags at the beginning of each source.
    """
    batch = src.size(0)
    state, memory = model.encode(src, src_lengths)
    rows = torch.arange(batch, device=src.device).repeat_interleave(beam_size)
    coverage = None
    if config.coverage_penalty:
        coverage = init_coverage(src_lengths.cpu(), src.size(1), num_tags).to(src.device)[rows]
    num_words = src_lengths.cpu() - num_tags - 1
    scores = torch.zeros((batch, beam_size), device=src.device)
    return BeamState(
        sentences=list(range(batch)),
        constraints=make_constraints(num_words, prefixes or [[]] * batch, config, src.device),
        scores=scores,
        finished_scores=torch.full_like(scores, -torch.inf),
        tokens=torch.full((batch * beam_size, 1), BOS_ID, device=src.device),
        trace_rows=torch.arange(batch * beam_size, device=src.device),
        coverage=coverage,
        attention_weights=None,
        state=select_rows(state, rows),
        memory=memory,
    )


def predict(model: Predictor, beam: BeamState, config: Decoding) -> tuple[BeamState, Tensor]:
    """Run one step of the model on every row.

    Returns:
        beam: with the model's state and attention after the step.
        log_probs: `(batch * beam, vocab)` of the next token, -inf where it is not allowed.

    Raises:
        ConfigError: there is a coverage penalty, and the model has no attention.
    """
    logits, state, attention_weights = model.step(beam.tokens[:, -1], beam.state, beam.memory)
    has_attention = attention_weights is not None
    if beam.coverage is not None and not has_attention:
        raise ConfigError(
            "decoding.coverage_penalty: counts attention, and this model has none; set it to 0"
        )
    log_probs = forbid_markers(logits).log_softmax(-1)
    # Without attention no source word can replace `<unk>`, so it is allowed only if it is wanted.
    is_unk_allowed = has_attention or config.keep_unk
    log_probs = apply_constraints(log_probs, beam.tokens, beam.constraints, config, is_unk_allowed)
    return beam._replace(state=state, attention_weights=attention_weights), log_probs


def extend(
    beam: BeamState, tokens: Tensor, parents: Tensor, scores: Tensor, trace: Trace
) -> BeamState:
    """Append a token to hypotheses, which may move, multiply or disappear.

    Args:
        beam: after `predict`.
        tokens: `(batch * beam,)`, the token appended in each new row.
        parents: `(batch * beam,)`, the present row that each new row continues.
        scores: `(batch, beam)`, log-probabilities that include the tokens.
        trace: records the step.
    """
    weights = None if beam.attention_weights is None else beam.attention_weights[parents]
    trace.add(beam.trace_rows[parents], weights)
    coverage = beam.coverage
    if coverage is not None and weights is not None:
        coverage = coverage[parents] + weights
    return beam._replace(
        scores=scores,
        tokens=torch.cat([beam.tokens[parents], tokens.unsqueeze(1)], dim=1),
        trace_rows=torch.arange(len(parents), device=parents.device),
        coverage=coverage,
        attention_weights=weights,
        state=select_rows(beam.state, parents),
    )


def mark_finished(beam: BeamState) -> BeamState:
    """Move the scores of hypotheses that end in eos to `finished_scores`.

    Their rows remain. With a score of -inf, no search continues them.
    """
    is_finished = (beam.tokens[:, -1] == EOS_ID).view_as(beam.scores) & beam.scores.isfinite()
    return beam._replace(
        scores=beam.scores.masked_fill(is_finished, -torch.inf),
        finished_scores=beam.scores.masked_fill(~is_finished, -torch.inf),
    )


def collect_finished(
    beam: BeamState, rows: list[int], finished: list[list[Hypothesis]], config: Decoding
) -> None:
    """Append hypotheses to the finished ones of their sentences.

    Args:
        beam: after `mark_finished`.
        rows: those of the hypotheses that ended.
        finished: for each sentence of the batch that was searched.
        config: the penalties.
    """
    if not rows:
        return
    length = beam.tokens.size(1) - 1
    places = torch.tensor(rows, device=beam.tokens.device)
    log_probs = beam.finished_scores.flatten()[places].tolist()
    coverage = [0.0] * len(rows)
    if beam.coverage is not None:
        coverage = coverage_penalty(beam.coverage[places], config.coverage_penalty).tolist()
    for row, token_ids, log_prob, covered in zip(
        rows, beam.tokens[places, 1:-1].tolist(), log_probs, coverage, strict=True
    ):
        index = row // beam.beam_size
        hypothesis = Hypothesis(
            token_ids=token_ids,
            log_prob=log_prob,
            score=score_hypothesis(log_prob, length, covered, config),
            is_complete=length < beam.constraints.max_length_list[index],
            row=row,
            coverage_penalty=covered,
        )
        finished[beam.sentences[index]].append(hypothesis)


def prune(beam: BeamState, kept: list[int]) -> BeamState:
    """Remove the sentences that are done from the batch.

    Args:
        beam: any state.
        kept: indices into `beam.sentences` of the others.
    """
    if len(kept) == len(beam.sentences):
        return beam
    sentences = torch.tensor(kept, dtype=torch.long, device=beam.scores.device)
    offsets = torch.arange(beam.beam_size, device=sentences.device)
    rows = (sentences.unsqueeze(1) * beam.beam_size + offsets).flatten()
    weights = beam.attention_weights
    return BeamState(
        sentences=[beam.sentences[index] for index in kept],
        constraints=beam.constraints.select(kept, sentences),
        scores=beam.scores[sentences],
        finished_scores=beam.finished_scores[sentences],
        tokens=beam.tokens[rows],
        trace_rows=beam.trace_rows[rows],
        coverage=None if beam.coverage is None else beam.coverage[rows],
        attention_weights=None if weights is None else weights[rows],
        state=select_rows(beam.state, rows),
        memory=None if beam.memory is None else beam.memory.select(sentences),
    )
