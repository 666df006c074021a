"""Measure a model on the validation pairs, rank models, and detect divergence."""

import math
import time
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from s2s_cli.checkpoint import LoadedModel
from s2s_cli.config import Decoding, Training
from s2s_cli.data.batching import collate
from s2s_cli.data.dataset import lengths_of
from s2s_cli.decoding.translator import make_translators
from s2s_cli.errors import S2SError
from s2s_cli.scoring.caveats import find_caveat
from s2s_cli.scoring.labels import look_like_labels
from s2s_cli.scoring.metrics import format_perplexity, score_corpus
from s2s_cli.training.loss import measure_tokens
from s2s_cli.training.training_data import TrainingData, ValidText

GREEDY = Decoding(beam_size=1, length_penalty=0.0)
"""Validation decodes greedily, because it only ranks checkpoints and must be fast."""


class Measures(NamedTuple):
    """Loss and scores of a model on the validation pairs."""

    loss: float
    """Nats per real target token."""
    perplexity: float
    accuracy: float
    """Share of target tokens, 0 to 1, that have the highest probability, given those before."""
    bleu: float
    """BLEU of greedy translations; the mean over several directions."""
    chrf: float
    """chrF, in the same way."""
    seconds: float
    hypotheses: list[str]
    """Translations, in the order of `TrainingData.valid_texts`."""

    def scores(self) -> dict[str, float]:
        """Return the numbers for the model card."""
        return {
            name: getattr(self, name) for name in ("bleu", "chrf", "loss", "perplexity", "accuracy")
        }


CRITERIA = {"bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity", "accuracy": "accuracy"}
"""The measures that can select the best model, and their usual spelling."""

MIN_BLEU = 1.0
"""Differences between lower scores are noise."""


class Criterion(NamedTuple):
    """Ranks models by their validation scores."""

    name: str
    """The measure, one of `CRITERIA`."""
    caveat: str | None = None
    """The reason for not using BLEU, which the recipe asks for."""

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Return a sort key for models: higher is better; ties are broken by the lower loss.

        BLEU below `MIN_BLEU` counts as 0, so such models are ranked by their loss.

        Args:
            scores: as `Measures.scores`.
        """
        score = scores[self.name]
        if self.name == "perplexity":
            score = -score
        elif self.is_noise(score):
            score = 0.0
        return score, -scores["loss"]

    def is_noise(self, score: float) -> bool:
        """Whether a score is too low to compare models."""
        return self.name == "bleu" and score < MIN_BLEU

    def ranked_by(self, scores: Mapping[str, float]) -> str:
        """Return the measure that ranks a model with these scores."""
        return "loss" if self.is_noise(scores[self.name]) else self.name


def choose_criterion(best_by: str, valid_texts: Sequence[ValidText]) -> Criterion:
    """Choose the measure that selects the best model.

    It is that of the recipe, unless it is BLEU and BLEU is not meaningful for the validation pairs.
    Then labels are ranked by accuracy, and other text by perplexity.

    Args:
        best_by: the measure of the recipe.
        valid_texts: the validation pairs.
    """
    if best_by != "bleu":
        return Criterion(best_by)
    caveats = {}
    for text in valid_texts:
        if caveat := find_caveat(text.references, text.scoring):
            caveats[caveat] = look_like_labels(text.references, text.scoring.tgt_lang)
    if not caveats:
        return Criterion(best_by)
    return Criterion("accuracy" if all(caveats.values()) else "perplexity", next(iter(caveats)))


def describe_rank(criterion: Criterion, score: float, loss: float) -> str:
    """Describe the best score, as in `BLEU 31.40`.

    Args:
        criterion: the measure that selected the model.
        score: the first value of `Criterion.rank`.
        loss: of the same model.
    """
    if criterion.is_noise(score):
        return f"loss {loss:.3f} (BLEU below {MIN_BLEU})"
    value = abs(score)
    if criterion.name == "perplexity":
        return f"perplexity {format_perplexity(value, 3 if value < 1 else 2)}"
    return f"{CRITERIA[criterion.name]} {value:.{3 if value < 1 else 2}f}"


def validate(loaded: LoadedModel, data: TrainingData, config: Training) -> Measures:
    """Measure the loss on the references, and score greedy translations.

    Raises:
        S2SError: the loss is not finite.
    """
    started = time.perf_counter()
    model = loaded.model
    model.eval()
    device, size = next(model.parameters()).device, config.batch_size
    size = size if config.batch_by == "sentences" else GREEDY.num_sentences
    by_length = np.argsort(lengths_of(data.valid)[:, 1], kind="stable")
    pairs = [data.valid[int(index)] for index in by_length]
    translators = make_translators(loaded, model, device)
    predictor = next(iter(translators.values())).model  # never predicts tags
    measures = measure_tokens(
        predictor, (collate(pairs[i : i + size]).to(device) for i in range(0, len(pairs), size))
    )
    if not math.isfinite(measures.loss):
        raise S2SError(
            "the validation loss is not finite; lower training.learning_rate "
            f"({config.peak_learning_rate:g}) and train from scratch with --fresh"
        )
    hypotheses: list[str] = []
    scores: list[list[float]] = []
    for text in data.valid_texts:
        found = translators[str(text.direction)].translate([row[0] for row in text.rows], GREEDY)
        texts = [translation.text for translation in found]
        references = [text.scoring.normalize(side) for side in text.references]
        both = score_corpus(["bleu", "chrf"], texts, references, text.scoring)
        scores.append([score.value for score in both])
        hypotheses += texts
    bleu, chrf = (fmean(values) for values in zip(*scores, strict=True))
    return Measures(*measures, bleu, chrf, time.perf_counter() - started, hypotheses)


MAX_TIMES_GUESSING = 2.0
MAX_TIMES_BEST = 10.0
MAX_HARMLESS_LOSS = 1.0
"""A loss up to this value is never divergence, however low the best loss was."""


def find_divergence(loss: float, best_loss: float | None, num_entries: int) -> str | None:
    """Explain why a loss shows divergence; None if it does not.

    Args:
        loss: in nats per target token.
        best_loss: the validation loss of the best epoch so far; None if there is none.
        num_entries: size of the target vocabulary.
    """
    guess = math.log(num_entries)
    if not loss <= MAX_TIMES_GUESSING * guess:
        return (
            f"{loss:.4g} per token, but a uniform guess among {num_entries:,} entries has "
            f"{guess:.4g}"
        )
    if best_loss is not None and loss > max(MAX_TIMES_BEST * best_loss, MAX_HARMLESS_LOSS):
        return f"{loss:.4g} per token, more than ten times the best so far ({best_loss:.4g})"
    return None
