"""What a search finds, and the trace of how it got there."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.decoding.constraints import Bounds, make_bounds, restrict
from s2s_cli.decoding.predictor import Predictor, SourceMemory, forbid_markers
from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.kernels.cells import State
from s2s_cli.model.layers import select_rows
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID


class Hypothesis(NamedTuple):
    """One translation of one sentence."""

    token_ids: list[int]
    """Without bos and eos."""
    log_prob: float
    """Sum of the tokens' log-probabilities, eos included, in nats."""
    score: float
    """`log_prob` over the length penalty, plus the coverage penalty: what ranks hypotheses."""
    weights: Tensor | None
    """Attention of each token, eos included: `(tgt_len, src_len)` on the CPU."""
    is_complete: bool
    """False if its eos was forced by the length limit."""


class Finished(NamedTuple):
    """A hypothesis that has ended, with the place in the trace where its attention ends."""

    hypothesis: Hypothesis  # without weights
    step: int
    row: int


class Trace:
    """The attention of each step, with back pointers: a hypothesis's is read from its end.

    Rows are numbered as they were at their step; the search drops rows as sentences get done.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Tensor, Tensor]] = []
        self._fetched: list[tuple[list[int], npt.NDArray[np.float32]]] = []

    def add(self, parents: Tensor, weights: Tensor | None) -> None:
        """Note a step; without attention there is nothing to note.

        Args:
            parents: rows of the step before that its rows continue, `(rows,)`.
            weights: attention `(rows, src_len)` with which their tokens were chosen.
        """
        if weights is not None:
            self._steps.append((parents, weights))

    def read(self, finished: Finished) -> Hypothesis:
        """The hypothesis with its attention, if the model has any."""
        if not self._steps:
            return finished.hypothesis
        steps = self._fetch()
        row, weights = finished.row, []
        for parents, attention in steps[finished.step :: -1]:
            weights.append(attention[row])
            row = parents[row]
        return finished.hypothesis._replace(weights=torch.from_numpy(np.stack(weights[::-1])))

    def _fetch(self) -> list[tuple[list[int], npt.NDArray[np.float32]]]:
        """All steps where single entries are cheap to ask for."""
        for parents, weights in self._steps[len(self._fetched) :]:
            self._fetched.append((parents.tolist(), weights.cpu().numpy()))
        return self._fetched


LENGTH_PENALTIES = {
    "gnmt": lambda length: (5 + length) / 6,
    "length": float,
}
"""The length penalty at alpha 1; each grows with the length."""

LEAST_COVERAGE = 1e-10
"""A word without any attention counts as one with so much: log(0) could not be ranked."""


def length_penalty(length: int, alpha: float, kind: str = "gnmt") -> float:
    """lp(Y): ((5 + |Y|) / 6) ** alpha, or of the kind `length` |Y| ** alpha; eos is counted."""
    return float(LENGTH_PENALTIES[kind](length) ** alpha)


def first_coverage(src_lengths: Tensor, src_len: int, num_tags: int = 0) -> Tensor:
    """Coverage before the first step `(batch, src_len)`: 0 at words, 1 where there is none.

    Language tags, eos and padding need no attention, so they start out covered.

    Args:
        src_lengths: `(batch,)` on the CPU, tags and eos counted.
        src_len: of the longest source.
        num_tags: at the beginning of each source.
    """
    positions = torch.arange(src_len)
    is_word = (positions >= num_tags) & (positions < (src_lengths - 1).unsqueeze(1))
    return 1 - is_word.float()


def coverage_penalty(coverage: Tensor, beta: float) -> Tensor:
    """cp(X; Y) = beta * sum_i log(min(sum_j p_ij, 1)), `(rows,)`: never above 0.

    Args:
        coverage: sum_j p_ij `(rows, src_len)`, attention over the source summed over the target.
        beta: its weight.
    """
    return beta * coverage.clamp(min=LEAST_COVERAGE, max=1).log().sum(-1)


class Living(NamedTuple):
    """The unfinished hypotheses of the sentences that are still searched, `beam` rows each."""

    sentences: list[int]  # which sentence of the batch each `beam` rows belong to
    bounds: Bounds  # of `batch` rows
    scores: Tensor  # (batch, beam) log-probability so far; -inf where no hypothesis lives
    tokens: Tensor  # (batch * beam, length) written so far, bos first
    rows: Tensor  # (batch * beam,) numbers of the rows in the trace's latest step
    coverage: Tensor | None  # (batch * beam, src_len) attention so far, if it is penalised
    state: State  # parts (batch * beam, ...)
    memory: SourceMemory | None  # of `batch` rows

    @property
    def beam(self) -> int:
        """Rows of a sentence."""
        return self.scores.size(1)


class Prediction(NamedTuple):
    """What the model says of the next token."""

    log_probs: Tensor  # (batch * beam, vocab), -inf where a token may not come
    state: State
    weights: Tensor | None  # (batch * beam, src_len), attention


class Ended(NamedTuple):
    """Which hypotheses ended at a step; read by `harvest`, until then the device is not asked."""

    tokens: Tensor  # (batch * beam, length), of all rows
    scores: Tensor  # (batch, beam), of all rows
    is_ended: Tensor  # (batch, beam)
    penalties: Tensor | None  # (batch * beam,) coverage penalties, if coverage counts
    best: Tensor  # (batch,) the highest score of those that go on; -inf if there are none


class Choice(NamedTuple):
    """The tokens that a search takes next."""

    tokens: Tensor  # (batch * beam,)
    parents: Tensor  # (batch * beam,) rows that they continue
    scores: Tensor  # (batch, beam) log-probability with them


def begin(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    beam: int,
    config: Decoding,
    prefixes: Sequence[list[int]] | None,
    num_tags: int,
) -> Living:
    """Encode a batch; every row begins alike, with bos.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        beam: rows for each sentence.
        config: length limits; whether coverage counts.
        prefixes: token ids that each translation begins with.
        num_tags: language tags at the beginning of each source, which are no words.
    """
    batch = src.size(0)
    state, memory = model.encode(src, src_lengths)
    rows = torch.arange(batch, device=src.device).repeat_interleave(beam)
    coverage = None
    if config.coverage_penalty:
        covered = first_coverage(src_lengths.cpu(), src.size(1), num_tags)
        coverage = covered.to(src.device)[rows]
    num_words = src_lengths.cpu() - num_tags - 1
    return Living(
        sentences=list(range(batch)),
        bounds=make_bounds(num_words, prefixes or [[]] * batch, config, src.device),
        scores=torch.zeros((batch, beam), device=src.device),
        tokens=torch.full((batch * beam, 1), BOS_ID, device=src.device),
        rows=torch.arange(batch * beam, device=src.device),
        coverage=coverage,
        state=select_rows(state, rows),
        memory=memory,
    )


def predict(model: Predictor, living: Living, config: Decoding) -> Prediction:
    """Ask the model for the next token of every row.

    Raises:
        ConfigError: coverage is penalised, and the model has no attention.
    """
    logits, state, weights = model.step(living.tokens[:, -1], living.state, living.memory)
    if living.coverage is not None and weights is None:
        raise ConfigError(
            "decoding.coverage_penalty: counts attention, and this model has none; set it to 0"
        )
    log_probs = forbid_markers(logits).log_softmax(-1)
    # Without attention nothing tells which source word an unknown one stands for.
    can_be_unknown = weights is not None or config.keep_unk
    allowed = restrict(log_probs, living.tokens, living.bounds, config, can_be_unknown)
    return Prediction(allowed, state, weights)


def advance(living: Living, prediction: Prediction, choice: Choice, trace: Trace) -> Living:
    """Every row one token longer."""
    parents = choice.parents
    weights = None if prediction.weights is None else prediction.weights[parents]
    trace.add(living.rows[parents], weights)
    coverage = living.coverage
    if coverage is not None and weights is not None:
        coverage = coverage[parents] + weights
    return living._replace(
        scores=choice.scores,
        tokens=torch.cat([living.tokens[parents], choice.tokens.unsqueeze(1)], dim=1),
        rows=torch.arange(len(parents), device=parents.device),
        coverage=coverage,
        state=select_rows(prediction.state, parents),
    )


def release(living: Living, config: Decoding) -> tuple[Living, Ended]:
    """Let hypotheses that end in eos go."""
    is_ended = (living.tokens[:, -1] == EOS_ID).view_as(living.scores) & living.scores.isfinite()
    scores = living.scores.masked_fill(is_ended, -torch.inf)
    penalties = None
    if living.coverage is not None:
        penalties = coverage_penalty(living.coverage, config.coverage_penalty)
    ended = Ended(living.tokens, living.scores, is_ended, penalties, scores.amax(1))
    return living._replace(scores=scores), ended


def harvest(
    living: Living,
    ended: Ended,
    rows: list[int],
    finished: list[list[Finished]],
    config: Decoding,
) -> None:
    """Add hypotheses that have ended to the finished ones of their sentence.

    Args:
        living: those that were let go have left its sentences and bounds as they were.
        ended: what `release` gave at their step.
        rows: of the hypotheses.
        finished: for each sentence of the batch.
        config: the penalties.
    """
    if not rows:
        return
    length = ended.tokens.size(1) - 1
    places = torch.tensor(rows, device=ended.tokens.device)
    penalty = length_penalty(length, config.length_penalty, config.length_penalty_kind)
    log_probs = ended.scores.flatten()[places].tolist()
    coverage = [0.0] * len(rows)
    if ended.penalties is not None:
        coverage = ended.penalties[places].tolist()
    for row, token_ids, log_prob, covered in zip(
        rows, ended.tokens[places, 1:-1].tolist(), log_probs, coverage, strict=True
    ):
        sentence = row // living.beam
        found = Hypothesis(
            token_ids=token_ids,
            log_prob=log_prob,
            score=log_prob / penalty + covered,
            weights=None,
            is_complete=length < living.bounds.limits[sentence],
        )
        finished[living.sentences[sentence]].append(Finished(found, length - 1, row))


def keep(living: Living, kept: list[int]) -> Living:
    """Go on with some of the sentences, by their place among the living."""
    if len(kept) == len(living.sentences):
        return living
    sentences = torch.tensor(kept, dtype=torch.long, device=living.scores.device)
    offsets = torch.arange(living.beam, device=sentences.device)
    rows = (sentences.unsqueeze(1) * living.beam + offsets).flatten()
    return Living(
        sentences=[living.sentences[index] for index in kept],
        bounds=living.bounds.select(kept, sentences),
        scores=living.scores[sentences],
        tokens=living.tokens[rows],
        rows=living.rows[rows],
        coverage=None if living.coverage is None else living.coverage[rows],
        state=select_rows(living.state, rows),
        memory=None if living.memory is None else living.memory.select(sentences),
    )


def check_found(finished: list[list[Finished]]) -> None:
    """Every sentence has a translation.

    Raises:
        S2SError: one has none, for the model's scores cannot be compared.
    """
    if not all(finished):
        raise S2SError("the model's scores are not numbers; was its training cut short?")
