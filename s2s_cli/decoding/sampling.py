"""Sampling: translations drawn from what the model thinks likely, not searched for."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.decoding.hypotheses import (
    Choice,
    Finished,
    Hypothesis,
    Living,
    Trace,
    advance,
    begin,
    check_found,
    harvest,
    keep,
    predict,
    release,
)
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
    """Draw `n_best` translations of each sentence of a batch.

    The same sentence with the same seed gives the same draws, whatever its batch; one draw more
    leaves the others as they are. Log-probabilities are the model's own, whatever the temperature.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: temperature, `top_k`, `top_p`, seed, length limits, `n_best`.
        prefixes: token ids that each sentence's translation begins with.
        num_tags: language tags at the beginning of each source, which no length limit or coverage
            penalty counts as words.

    Returns:
        For each sentence its hypotheses, in the order drawn.

    Raises:
        S2SError: as `beam_search`.
    """
    finished: list[list[Finished]] = [[] for _ in range(src.size(0))]
    trace = Trace()
    living = begin(model, src, src_lengths, config.n_best, config, prefixes, num_tags)
    randoms = _draw_randoms(src, src_lengths, max(living.bounds.limits), config)
    while living.sentences:
        living = _extend(model, living, trace, randoms, config)
        living, ended = release(living, config)
        rows = ended.is_ended.flatten().nonzero().flatten().tolist()
        harvest(living, ended, rows, finished, config)
        is_living = (living.scores > -torch.inf).any(1).tolist()
        living = keep(living, [index for index, lives in enumerate(is_living) if lives])
    check_found(finished)
    return [
        [
            trace.read(entry)
            for entry in sorted(entries, key=lambda entry: entry.row % config.n_best)
        ]
        for entries in finished
    ]


def draw_tokens(logits: Tensor, randoms: Tensor, config: Decoding) -> Tensor:
    """One token of each row, by the inverse of its distribution function.

    The tokens stand in the vocabulary's order, not sorted by likelihood: so a last bit, in which
    batches differ, cannot swap two tokens.

    Args:
        logits: `(rows, vocab)`, -inf where a token may not come.
        randoms: uniform in [0, 1), `(rows,)`.
        config: temperature, then `top_k`, then `top_p`.

    Returns:
        token ids `(rows,)`.
    """
    # Their maximum becomes 0, so that no quotient overflows.
    logits = (logits - logits.amax(-1, keepdim=True)) / config.temperature
    if config.top_k:
        logits = _keep_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = _keep_top_p(logits, config.top_p)
    sums = logits.softmax(-1).cumsum(-1)
    total = sums[:, -1:].contiguous()
    drawn = torch.searchsorted(sums, randoms.unsqueeze(1) * total, right=True)
    # Rounded up to the total, a random number would fall behind the last token that can come.
    last = torch.searchsorted(sums, total)
    return torch.minimum(drawn, last).clamp(max=logits.size(-1) - 1).squeeze(1)


def _keep_top_k(logits: Tensor, k: int) -> Tensor:
    """The k likeliest tokens; the others get -inf."""
    top, tokens = logits.topk(min(k, logits.size(-1)))
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, top)


def _keep_top_p(logits: Tensor, p: float) -> Tensor:
    """The nucleus (Holtzman et al. 2020): the fewest tokens that have probability p together."""
    ordered, tokens = logits.sort(descending=True, stable=True)
    probs = ordered.softmax(-1)
    before = probs.cumsum(-1) - probs
    before[:, 0] = 0  # The likeliest token always stays, however the difference was rounded.
    nucleus = ordered.masked_fill(before >= p, -torch.inf)
    return torch.empty_like(logits).scatter(1, tokens, nucleus)


def _extend(
    model: Predictor, living: Living, trace: Trace, randoms: Tensor, config: Decoding
) -> Living:
    """Every hypothesis by one token drawn."""
    prediction = predict(model, living, config)
    position = living.tokens.size(1) - 1
    now = randoms[living.sentences, :, position].flatten().to(prediction.log_probs)
    tokens = draw_tokens(prediction.log_probs, now, config)
    log_probs = prediction.log_probs.gather(1, tokens.unsqueeze(1))
    parents = torch.arange(len(tokens), device=tokens.device)
    scores = living.scores + log_probs.view_as(living.scores)
    return advance(living, prediction, Choice(tokens, parents, scores), trace)


def _draw_randoms(src: Tensor, src_lengths: Tensor, steps: int, config: Decoding) -> Tensor:
    """A random number for each token of each draw, `(batch, n_best, steps)`.

    A function of the seed, the number of the draw and the sentence: never of the batch.
    """
    randoms = np.empty((src.size(0), config.n_best, steps), dtype=np.float32)
    for row, length, sentence in zip(randoms, src_lengths.tolist(), src.tolist(), strict=True):
        for number, draw in enumerate(row):
            generator = np.random.default_rng([config.seed, number, *sentence[:length]])
            draw[:] = generator.random(steps, dtype=np.float32)
    return torch.from_numpy(randoms)
