"""Beam search over a batch; greedy search is a beam of one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from s2s_cli.config import Decoding
from s2s_cli.decoding.hypotheses import (
    Choice,
    Ended,
    Finished,
    Hypothesis,
    Living,
    Trace,
    advance,
    begin,
    check_found,
    harvest,
    keep,
    length_penalty,
    predict,
    release,
)
from s2s_cli.decoding.predictor import Predictor

LOOK_EVERY = {"cuda": 4}
"""Steps from one look at what has ended to the next, by the kind of device; 1 where it is not
named. At a look the processor waits for the device; what has ended before it is searched on in
vain until then."""


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

    At every step each sentence's `beam_size` best continuations live on; those that end in eos
    are finished. A sentence is done when `beam_size` hypotheses are finished, or when no living
    one can still overtake its `n_best` finished ones; it then leaves the batch.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: beam size, penalties, length limits, `n_best`.
        prefixes: token ids that each sentence's translation begins with.
        num_tags: language tags at the beginning of each source, which no length limit or coverage
            penalty counts as words.

    Returns:
        For each sentence its hypotheses, best first, at most `n_best`.

    Raises:
        S2SError: the model's scores are not numbers, or it lacks the attention that the coverage
            penalty counts.
    """
    finished: list[list[Finished]] = [[] for _ in range(src.size(0))]
    trace = Trace()
    # One row, because all would begin alike.
    living = begin(model, src, src_lengths, 1, config, prefixes, num_tags)
    while living.sentences:
        steps = []
        for _ in range(LOOK_EVERY.get(src.device.type, 1)):
            living, ended = release(_extend(model, living, trace, config), config)
            steps.append(ended)
        living = keep(living, _settle(living, steps, finished, config))
    check_found(finished)
    return [
        [trace.read(entry) for entry in sorted(entries, key=_rank)[: config.n_best]]
        for entries in finished
    ]


def _rank(entry: Finished) -> float:
    return -entry.hypothesis.score


def _extend(model: Predictor, living: Living, trace: Trace, config: Decoding) -> Living:
    """Every sentence's best continuations, one token longer."""
    batch, size = len(living.sentences), config.beam_size
    prediction = predict(model, living, config)
    # Of one row no more than `size` continuations can survive.
    log_probs, tokens = find_top(prediction.log_probs, min(size, prediction.log_probs.size(-1)))
    candidates = (living.scores.view(-1, 1) + log_probs).view(batch, -1)
    if candidates.size(1) < size:  # of one row, where few words are known
        missing = size - candidates.size(1)
        candidates = F.pad(candidates, (0, missing), value=-torch.inf)
        tokens = F.pad(tokens, (0, missing))
    scores, choice = candidates.topk(size)
    last = tokens.view(batch, -1).gather(1, choice).flatten()
    first_rows = torch.arange(batch, device=scores.device).unsqueeze(1) * living.beam
    parents = choice.div(tokens.size(-1), rounding_mode="floor").add(first_rows).flatten()
    return advance(living, prediction, Choice(last, parents, scores), trace)


def _settle(
    living: Living, steps: list[Ended], finished: list[list[Finished]], config: Decoding
) -> list[int]:
    """Harvest what ended at some steps; the sentences that are not done, by their place.

    A sentence has no more hypotheses than if it had left the batch at the step that made it done.
    """
    best = torch.stack([step.best for step in steps]).tolist()
    all_ended = torch.stack([step.is_ended.flatten() for step in steps]).nonzero().tolist()
    undone = list(range(len(living.sentences)))
    for number, step in enumerate(steps):
        among = set(undone)
        rows = [row for at, row in all_ended if at == number and row // living.beam in among]
        harvest(living, step, rows, finished, config)
        undone = [
            index for index in undone if not _is_done(living, index, best[number], finished, config)
        ]
    return undone


def _is_done(
    living: Living,
    index: int,
    best_living: list[float],
    finished: list[list[Finished]],
    config: Decoding,
) -> bool:
    """Whether the result of a sentence is certain."""
    # Log-probabilities only fall, the length penalty grows with the length, and the coverage
    # penalty is never above 0: so the highest score within reach is the present sum over the
    # greatest penalty.
    reachable = best_living[index] / length_penalty(
        living.bounds.limits[index], config.length_penalty, config.length_penalty_kind
    )
    entries = finished[living.sentences[index]]
    scores = sorted((entry.hypothesis.score for entry in entries), reverse=True)
    is_certain = len(scores) >= config.n_best and scores[config.n_best - 1] >= reachable
    # Nothing lives, or (not a number) nothing can be compared.
    is_exhausted = not best_living[index] > -math.inf
    return is_exhausted or len(scores) >= config.beam_size or is_certain


BLOCK = 64
"""Entries whose maximum is found first."""


def find_top(rows: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The greatest entries of each row, greatest first, and where they stand.

    The values are those of `topk`; of equal ones it may be others that are found.

    The `number` greatest entries stand in the `number` blocks whose maxima are greatest. Maxima
    are found much faster than `topk` searches, and few entries are left for it.

    Args:
        rows: `(rows, length)`.
        number: of entries, at most `length`.

    Returns:
        values and indices, both `(rows, number)`.
    """
    num_blocks = rows.size(1) // BLOCK
    if num_blocks <= number:
        return rows.topk(number)
    whole = num_blocks * BLOCK
    blocks = torch.unflatten(rows[:, :whole], 1, (num_blocks, BLOCK))
    best = blocks.amax(-1).topk(number).indices.unsqueeze(2)
    values = blocks.gather(1, best.expand(-1, -1, BLOCK)).flatten(1)
    places = (best * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(1)
    rest = torch.arange(whole, rows.size(1), device=rows.device).expand(len(rows), -1)
    values, places = torch.cat([values, rows[:, whole:]], 1), torch.cat([places, rest], 1)
    values, chosen = values.topk(number)
    return values, places.gather(1, chosen)
