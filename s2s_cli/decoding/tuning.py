"""Search with several beam sizes and length penalties, to choose the best.

Each beam size takes one search, which serves all length penalties.

Beam search extends hypotheses by their plain log-probabilities. The length penalty does two things:
it ranks finished hypotheses, and it ends the search early where no unfinished hypothesis can still
win (the third reason at the top of `beam.py`), which changes no result. So one search that never
ends early finds the hypotheses among which a search with any length penalty chooses, and ranking
them again gives exactly its translations.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s2s_cli.config import Decoding
from s2s_cli.decoding.beam import find_finished
from s2s_cli.decoding.hypotheses import Hypothesis, score_hypothesis
from s2s_cli.decoding.predictor import Predictor
from s2s_cli.decoding.translator import Translator

BEAM_SIZES = (1, 2, 4, 5, 8, 12)
LENGTH_PENALTIES = (0.0, 0.4, 0.8, 1.0, 1.2, 1.6, 2.0)
"""What is tried, besides the present settings. In a table, both fit into 80 columns."""

SCORE_DIGITS = 2
"""After the decimal point. Scores that look equal are equal, so that chance does not choose a
larger beam."""


class Trial(NamedTuple):
    """The scores of one beam size."""

    beam_size: int
    scores: list[float]
    """One for each length penalty."""
    seconds: float
    """Duration of its search, which serves all length penalties."""


def translate_with_penalties(
    translator: Translator,
    lines: Sequence[str],
    config: Decoding,
    penalties: Sequence[float],
    advance: Callable[[int], None],
) -> list[list[str]]:
    """Translate lines with each of several length penalties.

    Args:
        translator: of the model.
        lines: one sentence each.
        config: the search.
        penalties: values of `length_penalty`.
        advance: receives the number of sentences after each batch.

    Returns:
        For each penalty the translations of all lines.
    """
    search_all = partial(search_with_penalties, penalties=penalties)

    def search(*arguments: Any) -> list[list[Hypothesis]]:
        found = search_all(*arguments)
        advance(len(found))
        return found

    found = translator.translate(lines, config, search=search)
    # A blank line has one translation only.
    return [
        [each.candidates[min(number, len(each.candidates) - 1)].text for each in found]
        for number in range(len(penalties))
    ]


@torch.inference_mode()
def search_with_penalties(
    model: Predictor,
    src: Tensor,
    src_lengths: Tensor,
    config: Decoding,
    prefixes: Sequence[list[int]] | None,
    num_tags: int,
    penalties: Sequence[float],
) -> list[list[Hypothesis]]:
    """Translate a batch with each of several length penalties.

    Args:
        model: in evaluation mode.
        src: `(batch, src_len)` token ids, eos at the end, padded.
        src_lengths: `(batch,)` on the CPU, eos counted.
        config: as for `beam_search`, without `length_penalty` and `n_best`.
        prefixes: token ids that each sentence's translation begins with.
        num_tags: number of language tags at the beginning of each source.
        penalties: values of `length_penalty`.

    Returns:
        For each sentence the best hypothesis by each penalty.

    Raises:
        ConfigError: there is a coverage penalty, and the model has no attention.
        S2SError: the model's scores are NaN.
    """
    # With `n_best` at its maximum, a search stops early only where it stops anyway.
    patient = config.model_copy(update={"n_best": config.beam_size})
    finished, trace = find_finished(model, src, src_lengths, patient, prefixes, num_tags)
    configs = [config.model_copy(update={"length_penalty": alpha}) for alpha in penalties]
    return [
        [trace.add_attention(_find_best(hypotheses, each)) for each in configs]
        for hypotheses in finished
    ]


def _find_best(hypotheses: Sequence[Hypothesis], config: Decoding) -> Hypothesis:
    """The hypothesis with the highest score under a length penalty, the first of equals."""
    scored = [
        hypothesis._replace(
            score=score_hypothesis(
                hypothesis.log_prob,
                len(hypothesis.token_ids) + 1,
                hypothesis.coverage_penalty,
                config,
            )
        )
        for hypothesis in hypotheses
    ]
    return max(scored, key=lambda each: each.score)


def choose_best(
    trials: Sequence[Trial], penalties: Sequence[float], now: Decoding
) -> tuple[int, float]:
    """The beam size and length penalty with the highest score.

    Of equal scores the smallest beam wins, then the length penalty closest to the present one.

    Args:
        trials: of the beam sizes.
        penalties: those of the scores.
        now: the present settings.
    """
    _, beam_size, _, length_penalty = min(
        (-round(score, SCORE_DIGITS), trial.beam_size, abs(alpha - now.length_penalty), alpha)
        for trial in trials
        for score, alpha in zip(trial.scores, penalties, strict=True)
    )
    return beam_size, length_penalty
