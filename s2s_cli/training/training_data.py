"""The data of a training: encoded pairs, the text of the validation pairs, and their weights."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.config import Config
from s2s_cli.console import say
from s2s_cli.data.dataset import Dataset, EncodedPairs
from s2s_cli.data.directions import expand_directions
from s2s_cli.data.pairs import Row
from s2s_cli.data.resampling import ResampledPairs, Resampling
from s2s_cli.errors import ConfigError
from s2s_cli.prepare import Prepared
from s2s_cli.run import Vocabularies
from s2s_cli.scoring.metrics import ScoringSettings, make_bleu
from s2s_cli.sources import Direction, sources_of
from s2s_cli.text.subword_sampling import SubwordSampler


class ValidText(NamedTuple):
    """The validation pairs of one direction, as text."""

    direction: Direction
    rows: list[Row]
    """Source and references of each pair."""
    scoring: ScoringSettings

    @property
    def references(self) -> list[list[str]]:
        """All main references, then all second ones, and so on.

        A pair with fewer references than others repeats its main one, which changes no score.
        """
        most = max(len(row) for row in self.rows)
        return [
            [row[number] if number < len(row) else row[1] for row in self.rows]
            for number in range(1, most)
        ]


class TrainingData(NamedTuple):
    """The pairs that a model is trained on, and those that select the best model."""

    train: EncodedPairs
    valid: EncodedPairs
    valid_texts: Sequence[ValidText]
    """The pairs of `valid` as text, by direction."""
    resampling: Resampling | None = None
    """Splits the training pairs into other subwords in each epoch, if the recipe asks for it."""
    train_weights: npt.NDArray[np.float64] | None = None
    """How often an epoch has each pair of `train`; None if it has each once."""

    def pairs_of(self, epoch: int) -> EncodedPairs:
        """Return the training pairs of an epoch (from 0)."""
        if self.resampling is None:
            return self.train
        return ResampledPairs(self.train, self.resampling, epoch)

    def valid_row(self, index: int) -> Row:
        """Return source and references of a validation pair; directions follow each other."""
        return next(
            islice(chain.from_iterable(text.rows for text in self.valid_texts), index, None)
        )


def make_training_data(config: Config, prepared: Prepared) -> TrainingData:
    """Gather training and validation pairs; report how many pairs were left out."""
    train, valid = prepared.datasets["train"], prepared.datasets["valid"]
    for name, dataset in (("train", train), ("valid", valid)):
        _report_counts(name, dataset, config.data.max_length)
    texts = [
        ValidText(direction, rows, choose_scoring(config, direction.tgt))
        for direction, rows in valid.rows_by_direction().items()
    ]
    resampling = make_resampling(config, prepared.vocabularies)
    return TrainingData(train, valid, texts, resampling, weigh_pairs(config, train))


def weigh_pairs(config: Config, train: Dataset) -> npt.NDArray[np.float64] | None:
    """Return how often an epoch has each training pair; None if it has each once."""
    sources = train.manifest.sources
    weights = [
        directed.source.weight
        for source in sources_of(config.data.train)
        for directed in expand_directions(source, config.data, "train")
    ]
    if all(weight == 1 for weight, source in zip(weights, sources, strict=True) if source.pairs):
        return None
    return np.repeat(weights, [source.pairs for source in sources])


def _report_counts(split: str, dataset: Dataset, max_length: int) -> None:
    """Report how many pairs a split has, and how many were left out."""
    counts = dataset.manifest.counts
    reasons = (
        (counts.blank, "with a blank side"),
        (counts.not_utf8, "not UTF-8 (data.on_bad_utf8)"),
        (counts.too_long, f"longer than {max_length} tokens (data.max_length)"),
        (counts.empty, "without tokens"),
    )
    left_out = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
    tail = f"; left out: {left_out}" if left_out else ""
    num_tokens = counts.tgt_tokens + counts.pairs  # each target has its eos
    say(f"{split}: {counts.pairs:,} pairs, {num_tokens:,} target tokens{tail}")


def make_resampling(config: Config, vocabularies: Vocabularies) -> Resampling | None:
    """Make the resampling of subwords for each epoch, if the recipe asks for it."""
    src, tgt = (
        SubwordSampler(subwords, amount) if subwords and amount else None
        for subwords, amount in zip(vocabularies.subwords, config.text.sampling, strict=True)
    )
    if src is tgt is None:
        return None
    both = vocabularies.src, vocabularies.tgt
    return Resampling((src, tgt), both, config.training.seed, config.data.max_length)


def choose_scoring(config: Config, tgt_lang: str) -> ScoringSettings:
    """Return the settings of validation scores.

    If the tokeniser of BLEU for the language is not installed, BLEU compares characters.
    """
    text = config.text
    settings = ScoringSettings(tgt_lang, text.lowercase, form=text.normalize, chinese=text.chinese)
    try:
        make_bleu(settings)
    except ConfigError as error:
        say(f"{error}; until then, validation BLEU compares characters")
        return settings._replace(tokenize="char")
    return settings
