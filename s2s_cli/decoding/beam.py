"""Greedy search, and beam search over a batch.

`greedy_search` is the reference: the shortest search that is correct. Beam search with
`beam_size: 1` finds the same translations, if no setting constrains them (`constraints.py`; a model
without attention may write `<unk>` only with `keep_unk`).

Beam search keeps the `beam_size` most probable hypotheses of each sentence. At each step it extends
all of them by every token of the vocabulary and keeps the best `beam_size` of the results.

How a hypothesis ends. A hypothesis whose last token is eos has ended. Its score gets the length
penalty and the coverage penalty, and it joins the finished hypotheses of its sentence. Its row
stays in the beam for one more step with a log-probability of -inf. The next step therefore chooses
among the continuations of the other rows; those of ended rows fill the beam only if there are too
few others, and they never count as hypotheses.
At the length limit eos is the only token allowed, so every hypothesis ends.

When a sentence stops. There are three reasons: `beam_size` hypotheses have finished; or no
unfinished one is left; or no unfinished one can still enter the `n_best`. The first is the usual
stopping rule of beam search; a longer hypothesis might still have won. The third changes no result,
because log-probabilities are never above 0 and only fall when tokens are added. So the best score
that an unfinished hypothesis can reach is its present log-probability divided by the largest length
penalty, that of the length limit; the coverage penalty can only lower it. If `n_best` finished
hypotheses score at least as high, the result can no longer change.

Why the device is asked only every few steps. To learn what has finished, the CPU waits until a GPU
has completed all steps issued so far, and then the GPU waits for the CPU to issue the next one. So
the search reads the results of a GPU only once in `LOOK_EVERY` steps. It then goes through these
steps in order and decides as if it had read each of them at once. What was computed for a sentence
after the step that completed it is discarded, so the result is the same.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s_cli.config import Decoding
from s2s_cli.decoding.beam_state import (
    BeamState,
    collect_finished,
    extend,
    init_state,
    mark_finished,
    predict,
    prune,
)
from s2s_cli.decoding.hypotheses import Hypothesis, Trace, check_finished, length_penalty
from s2s_cli.decoding.predictor import Predictor, forbid_markers
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID


@torch.inference_mode()
def greedy_search(
    model: Predictor, src: Tensor, src_lengths: Tensor, max_length: int
) -> list[list[int]]:
    """Translate a batch by choosing the most probable token at each step.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        max_length: most tokens of a translation, eos not counted.

    Returns:
        For each sentence the token ids of its translation, without bos and eos.
    """
    state, memory = model.encode(src, src_lengths)
    tokens = torch.full((src.size(0),), BOS_ID, device=src.device)
    is_finished = torch.zeros_like(tokens, dtype=torch.bool)
    translations: list[list[int]] = [[] for _ in range(src.size(0))]
    for _ in range(max_length):
        logits, state, _ = model.step(tokens, state, memory)
        tokens = forbid_markers(logits).argmax(-1)
        is_finished |= tokens == EOS_ID
        if is_finished.all():
            break
        for translation, token, is_done in zip(
            translations, tokens.tolist(), is_finished.tolist(), strict=True
        ):
            if not is_done:
                translation.append(token)
    return translations


LOOK_EVERY = {"cuda": 4}
"""After how many steps the search reads the results, by the type of device; 1 for others."""


@torch.inference_mode()
def beam_search(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    config: Decoding,
    prefixes: Sequence[list[int]] | None = None,
    num_tags: int = 0,
) -> list[list[Hypothesis]]:
    """Translate a batch.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: beam size, penalties, length limits, `n_best`.
        prefixes: token ids that each sentence's translation begins with.
        num_tags: number of language tags at the beginning of each source. Length limits and the
            coverage penalty do not count them as words.

    Returns:
        For each sentence its hypotheses, best first, at most `n_best`.

    Raises:
        ConfigError: there is a coverage penalty, and the model has no attention.
        S2SError: the model's scores are NaN.
    """
    finished, trace = find_finished(model, src, src_lengths, config, prefixes, num_tags)
    return [
        [
            trace.add_attention(hypothesis)
            for hypothesis in sorted(hypotheses, key=lambda each: -each.score)[: config.n_best]
        ]
        for hypotheses in finished
    ]


def find_finished(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    config: Decoding,
    prefixes: Sequence[list[int]] | None,
    num_tags: int,
) -> tuple[list[list[Hypothesis]], Trace]:
    """Search, and return all that finishes: the arguments are those of `beam_search`.

    Returns:
        For each sentence its finished hypotheses in the order found, and the trace of the search.
    """
    finished: list[list[Hypothesis]] = [[] for _ in range(src.size(0))]
    trace = Trace()
    # One row per sentence, because `beam_size` equal rows would have equal continuations.
    beam = init_state(model, src, src_lengths, 1, config, prefixes, num_tags)
    while beam.sentences:
        steps = []
        for _ in range(LOOK_EVERY.get(src.device.type, 1)):
            beam = mark_finished(_extend_best(model, beam, trace, config))
            steps.append(beam)
        beam = prune(beam, _collect_steps(steps, finished, config))
    check_finished(finished)
    return finished, trace


def _extend_best(model: Predictor, beam: BeamState, trace: Trace, config: Decoding) -> BeamState:
    """Keep the `beam_size` best continuations of each sentence, one token longer."""
    batch, size = len(beam.sentences), config.beam_size
    beam, log_probs = predict(model, beam, config)
    # At most `size` continuations of one row can be among the `size` best of its sentence.
    log_probs, tokens = log_probs.topk(min(size, log_probs.size(-1)))
    candidates = (beam.scores.view(-1, 1) + log_probs).view(batch, -1)
    if candidates.size(1) < size:  # the first step, with a vocabulary smaller than the beam
        missing = size - candidates.size(1)
        candidates = F.pad(candidates, (0, missing), value=-torch.inf)
        tokens = F.pad(tokens, (0, missing))
    scores, chosen = candidates.topk(size)
    last = tokens.view(batch, -1).gather(1, chosen).flatten()
    first_rows = torch.arange(batch, device=scores.device).unsqueeze(1) * beam.beam_size
    parents = chosen.div(tokens.size(-1), rounding_mode="floor").add(first_rows).flatten()
    return extend(beam, last, parents, scores, trace)


def _collect_steps(
    steps: list[BeamState], finished: list[list[Hypothesis]], config: Decoding
) -> list[int]:
    """Collect what has finished at some steps, in order.

    A sentence that is done takes no hypotheses from later steps.

    Returns:
        Indices into `sentences` of those that are not done.
    """
    best = torch.stack([beam.scores for beam in steps]).amax(-1).tolist()
    finished_scores = torch.stack([beam.finished_scores.flatten() for beam in steps])
    finished_rows = (finished_scores > -torch.inf).nonzero().tolist()
    unfinished = list(range(len(steps[0].sentences)))
    for step, beam in enumerate(steps):
        among = set(unfinished)
        rows = [row for at, row in finished_rows if at == step and row // beam.beam_size in among]
        collect_finished(beam, rows, finished, config)
        unfinished = [
            index
            for index in unfinished
            if not _is_done(
                finished[beam.sentences[index]],
                best[step][index],
                beam.constraints.max_length_list[index],
                config,
            )
        ]
    return unfinished


def _is_done(
    finished: list[Hypothesis], best_unfinished: float, max_length: int, config: Decoding
) -> bool:
    """Whether a sentence stops, for one of the three reasons at the top of this file.

    Args:
        finished: its finished hypotheses.
        best_unfinished: the highest log-probability of the others; -inf if there are none.
        max_length: its length limit, eos counted.
        config: `beam_size`, `n_best` and the length penalty.
    """
    if not best_unfinished > -math.inf or len(finished) >= config.beam_size:
        return True  # Written with `not`, so that NaN ends the search, too.
    penalty = length_penalty(max_length, config.length_penalty, config.length_penalty_kind)
    scores = sorted((hypothesis.score for hypothesis in finished), reverse=True)
    return len(scores) >= config.n_best and scores[config.n_best - 1] >= best_unfinished / penalty
