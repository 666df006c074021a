"""Sampling: translations drawn at random from the model's distribution instead of searched for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
from s2s_cli.decoding.hypotheses import Hypothesis, Trace, check_finished
from s2s_cli.decoding.predictor import Predictor


@torch.inference_mode()
def sample(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    config: Decoding,
    prefixes: Sequence[list[int]] | None = None,
    num_tags: int = 0,
) -> list[list[Hypothesis]]:
    """Draw translations of each sentence of a batch: `n_best`, or `num_samples` for `mbr`.

    The same sentence with the same seed gives the same samples in any batch. A larger number adds
    samples and does not change the others. Log-probabilities are those of the model at
    temperature 1.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: temperature, `top_k`, `top_p`, seed, length limits, `num_rows`.
        prefixes: token ids that each sentence's translation begins with.
        num_tags: number of language tags at the beginning of each source. Length limits and the
            coverage penalty do not count them as words.

    Returns:
        For each sentence its hypotheses, in the order drawn.

    Raises:
        ConfigError: there is a coverage penalty, and the model has no attention.
        S2SError: the model's scores are NaN.
    """
    finished: list[list[Hypothesis]] = [[] for _ in range(src.size(0))]
    trace = Trace()
    beam = init_state(model, src, src_lengths, config.num_rows, config, prefixes, num_tags)
    randoms = _draw_randoms(src, src_lengths, max(beam.constraints.max_length_list), config)
    while beam.sentences:
        beam = mark_finished(_extend_drawn(model, beam, trace, randoms, config))
        rows = (beam.finished_scores.flatten() > -torch.inf).nonzero().flatten().tolist()
        collect_finished(beam, rows, finished, config)
        is_unfinished = (beam.scores > -torch.inf).any(1).tolist()
        beam = prune(beam, [index for index, is_kept in enumerate(is_unfinished) if is_kept])
    check_finished(finished)
    return [
        [
            trace.add_attention(hypothesis)
            for hypothesis in sorted(hypotheses, key=lambda each: each.row % config.num_rows)
        ]
        for hypotheses in finished
    ]


def _extend_drawn(
    model: Predictor, beam: BeamState, trace: Trace, randoms: Tensor, config: Decoding
) -> BeamState:
    """Append a drawn token to every hypothesis."""
    beam, log_probs = predict(model, beam, config)
    position = beam.tokens.size(1) - 1
    tokens = draw_tokens(
        log_probs, randoms[beam.sentences, :, position].flatten().to(log_probs), config
    )
    scores = beam.scores + log_probs.gather(1, tokens.unsqueeze(1)).view_as(beam.scores)
    rows = torch.arange(len(tokens), device=tokens.device)
    return extend(beam, tokens, rows, scores, trace)


def draw_tokens(logits: Tensor, randoms: Tensor, config: Decoding) -> Tensor:
    """Draw one token for each row, by inverting the cumulative distribution function.

    The function runs over tokens in the order of the vocabulary. Sorted by probability, two tokens
    of nearly equal probability could change places from batch to batch.

    Args:
        logits: `(rows, vocab)`, -inf where a token is not allowed.
        randoms: `(rows,)`, uniform in [0, 1).
        config: temperature, applied first, then `top_k`, then `top_p`.

    Returns:
        token ids `(rows,)`.
    """
    # With a maximum of 0, the division cannot overflow.
    logits = (logits - logits.amax(-1, keepdim=True)) / config.temperature
    if config.top_k:
        logits = _keep_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = _keep_top_p(logits, config.top_p)
    sums = logits.softmax(-1).cumsum(-1)
    total = sums[:, -1:].contiguous()
    drawn = torch.searchsorted(sums, randoms.unsqueeze(1) * total, right=True)
    # A product that is rounded up to the total would select a token after the last allowed one.
    last = torch.searchsorted(sums, total)
    return torch.minimum(drawn, last).clamp(max=logits.size(-1) - 1).squeeze(1)


def _keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but the k most probable tokens to -inf."""
    top, tokens = logits.topk(min(k, logits.size(-1)))
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, top)


def _keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Set all tokens outside the nucleus to -inf (Holtzman et al. 2020).

    The nucleus is the smallest set of most probable tokens whose probabilities sum to p or more.
    """
    ordered, tokens = logits.sort(descending=True, stable=True)
    probs = ordered.softmax(-1)
    before = probs.cumsum(-1) - probs
    before[:, 0] = 0  # Keeps the most probable token whatever the rounding of the difference.
    nucleus = ordered.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(1, tokens, nucleus)


def _draw_randoms(src: Tensor, src_lengths: Tensor, steps: int, config: Decoding) -> Tensor:
    """Random numbers for the tokens of each sample, `(batch, samples, steps)`.

    They depend on the seed, the number of the sample and the sentence, not on the batch.
    """
    randoms = np.empty((src.size(0), config.num_rows, steps), dtype=np.float32)
    for row, length, sentence in zip(randoms, src_lengths.tolist(), src.tolist(), strict=True):
        for number, numbers in enumerate(row):
            generator = np.random.default_rng([config.seed, number, *sentence[:length]])
            numbers[:] = generator.random(steps, dtype=np.float32)
    return torch.from_numpy(randoms)
