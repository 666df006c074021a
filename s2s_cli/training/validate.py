"""How good a model is on the validation pairs, and by which measure models are compared."""

import math
import time
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.checkpoint import LoadedModel
from s2s_cli.config import Decoding, Training
from s2s_cli.data.batching import collate
from s2s_cli.data.dataset import EncodedPairs, lengths_of
from s2s_cli.data.pairs import Row
from s2s_cli.data.resampling import ResampledPairs, Resampling
from s2s_cli.decoding.translator import make_translators
from s2s_cli.errors import S2SError
from s2s_cli.scoring.caveats import find_caveat
from s2s_cli.scoring.labels import look_like_labels
from s2s_cli.scoring.metrics import ScoringSettings, format_perplexity, score_corpus
from s2s_cli.sources import Direction
from s2s_cli.training.loss import measure_tokens

GREEDY = Decoding(beam_size=1, length_penalty=0.0)
"""Validation decodes greedily: it ranks checkpoints, and it must be quick."""


class ValidText(NamedTuple):
    """The text of the validation pairs of one direction."""

    direction: Direction
    rows: list[Row]
    """Source and references of each pair that is validated on."""
    scoring: ScoringSettings

    @property
    def references(self) -> list[list[str]]:
        """The references of all pairs: the main ones, then further ones."""
        return [list(side) for side in zip(*(row[1:] for row in self.rows), strict=True)]


class TrainingData(NamedTuple):
    """What a model is fitted to and chosen by."""

    train: EncodedPairs
    valid: EncodedPairs
    valid_texts: Sequence[ValidText]
    """The text of the pairs of `valid`, by direction."""
    resampling: Resampling | None = None
    """What cuts the training pairs differently in each epoch, if anything does."""

    train_weights: npt.NDArray[np.float64] | None = None
    """How often each pair of `train` is seen in an epoch; None if each is seen once."""

    def pairs_of(self, epoch: int) -> EncodedPairs:
        """The training pairs of an epoch (from 0)."""
        if self.resampling is None:
            return self.train
        return ResampledPairs(self.train, self.resampling, epoch)

    def valid_row(self, index: int) -> Row:
        """Source and references of one validation pair, one direction after the other."""
        return next(
            islice(chain.from_iterable(text.rows for text in self.valid_texts), index, None)
        )


class Measures(NamedTuple):
    """What a model scores on the validation pairs."""

    loss: float
    """Nats per real target token."""
    perplexity: float
    accuracy: float
    """Share of tokens, 0 to 1, that are the likeliest after the reference's beginning."""
    bleu: float
    """Of greedy translations; of several directions the mean."""
    chrf: float
    """The same."""
    seconds: float
    hypotheses: list[str]
    """One direction after the other, as in `TrainingData.valid_texts`."""

    def scores(self) -> dict[str, float]:
        """The numbers that a model's card keeps."""
        return {
            name: getattr(self, name) for name in ("bleu", "chrf", "loss", "perplexity", "accuracy")
        }


CRITERIA = {"bleu": "BLEU", "chrf": "chrF", "perplexity": "perplexity", "accuracy": "accuracy"}
"""The measures by which the best model can be chosen, as people write them."""

LEAST_BLEU = 1.0
"""Differences below it are noise."""


class Criterion(NamedTuple):
    """What ranks models by their validation scores."""

    name: str
    """The measure, one of `CRITERIA`."""
    caveat: str | None = None
    """Why it is not the BLEU that the recipe asks for."""

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Orders models: the greater the better; of equal scores the lower loss is better.

        BLEU below `LEAST_BLEU` counts as 0, so that such models rank by their loss.

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
        """Whether a score of this measure is too low to tell models apart."""
        return self.name == "bleu" and score < LEAST_BLEU

    def ranked_by(self, scores: Mapping[str, float]) -> str:
        """Name of what ranks a model of these scores."""
        return "loss" if self.is_noise(scores[self.name]) else self.name


def choose_criterion(best_by: str, valid_texts: Sequence[ValidText]) -> Criterion:
    """The recipe's measure, but for BLEU where it says little about the validation pairs.

    Labels are ranked by accuracy then, and other text by perplexity.

    Args:
        best_by: the recipe's.
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
    """The best score in words, as in `BLEU 31.40`.

    Args:
        criterion: what chose it.
        score: as `Criterion.rank` has it.
        loss: of the same model.
    """
    if criterion.is_noise(score):
        return f"loss {loss:.3f} (BLEU below {LEAST_BLEU})"
    value = abs(score)
    if criterion.name == "perplexity":
        return f"perplexity {format_perplexity(value, 3 if value < 1 else 2)}"
    return f"{CRITERIA[criterion.name]} {value:.{3 if value < 1 else 2}f}"


def validate(loaded: LoadedModel, data: TrainingData, config: Training) -> Measures:
    """Measure a model with the reference as input, and by its own translations.

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
    predictor = next(iter(translators.values())).model  # which foretells no tags
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
        said = [translation.text for translation in found]
        references = [text.scoring.normalize(side) for side in text.references]
        both = score_corpus(["bleu", "chrf"], said, references, text.scoring)
        scores.append([score.value for score in both])
        hypotheses += said
    bleu, chrf = (fmean(values) for values in zip(*scores, strict=True))
    return Measures(*measures, bleu, chrf, time.perf_counter() - started, hypotheses)


TIMES_GUESSING = 2.0
TIMES_BEST = 10.0
HARMLESS = 1.0
"""So low a loss is no divergence, however much lower the best was."""


def find_divergence(loss: float, best_loss: float | None, num_entries: int) -> str | None:
    """What is wrong with a loss, in words; None if nothing is.

    Args:
        loss: in nats per target token.
        best_loss: the validation loss of the best epoch so far; None if there is none.
        num_entries: of the target vocabulary.
    """
    guess = math.log(num_entries)
    if not loss <= TIMES_GUESSING * guess:
        return (
            f"{loss:.4g} per token, where guessing evenly among {num_entries:,} entries would cost "
            f"{guess:.4g}"
        )
    if best_loss is not None and loss > max(TIMES_BEST * best_loss, HARMLESS):
        return f"{loss:.4g} per token, more than ten times the best so far ({best_loss:.4g})"
    return None
