"""What a run remembers of itself, and what it tells after an epoch."""

import sys
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from s2s_cli.scoring.caveats import find_collapse
from s2s_cli.training.loop import BEGINNING, Position, Progress
from s2s_cli.training.validate import CRITERIA, Criterion, Material, Measures


class Record(NamedTuple):
    """What a run remembers besides tensors; saved as JSON with every checkpoint."""

    position: Position = BEGINNING
    best_score: float = -sys.float_info.max
    """Of the measure that chooses the model, as `Criterion.rank` has it."""
    best_loss: float = sys.float_info.max
    """Valid loss at the best score; of equal scores (0 or 100, often) the lower loss is better."""
    best_epoch: int = 0
    averaged_epochs: list[int] = []  # noqa: RUF012 (never changed, only replaced)
    """The epochs whose mean is the best model; empty if it is a single epoch's."""
    num_worse: int = 0
    """Validations since the best."""
    num_decays: int = 0
    """How often a plateau was met."""
    num_flat: int = 0
    """Validations since the best or since the last plateau."""
    is_averaged: bool = False
    """Whether the average of several epochs was tried after the latest epoch."""
    epoch_loss: float = 0.0
    """Sum over the target tokens of the present epoch so far."""
    epoch_tokens: int = 0
    epoch_skipped: int = 0
    """Updates of the present epoch that were not applied, float16's overflows not counted."""
    epoch_seconds: float = 0.0
    """Seconds of updates in the present epoch, validation and saving not counted."""
    valid_scores: dict[str, float] = {}  # noqa: RUF012 (never changed, only replaced)
    """Of the latest validation."""

    def at_epoch_begin(self) -> "Record":
        """The same, with nothing of the present epoch done but its updates counted."""
        position = self.position._replace(batch=0)
        begun = Record(position=position)
        return self._replace(
            position=position,
            **{name: getattr(begun, name) for name in Record._fields if name.startswith("epoch_")},
        )

    def with_last_as_best(self, criterion: Criterion) -> "Record":
        """The same, where the best model is lost and the last one stands in for it."""
        return self._replace(
            best_score=criterion.rank(self.valid_scores)[0],
            best_loss=self.valid_scores["loss"],
            best_epoch=self.position.epoch,
            num_worse=0,
        )


_RECORD = TypeAdapter(Record)


def parse_record(facts: dict[str, Any]) -> Record:
    """The record in a checkpoint, which may be anybody's.

    Raises:
        ValueError: it is none.
    """
    record = _RECORD.validate_python(facts)
    if min(record.position) < 0:
        raise ValueError(f"position {record.position}")
    if record.best_epoch and not {*CRITERIA, "loss"} <= record.valid_scores.keys():
        raise ValueError(f"valid_scores {', '.join(record.valid_scores)}")
    return record


class Validation(NamedTuple):
    """What an epoch came to."""

    epoch: int
    """From 1."""
    step: int
    train_loss: float
    """Nats per real target token, label smoothing and dropout included."""
    loss: float
    perplexity: float
    accuracy: float
    bleu: float
    chrf: float
    is_best: bool
    learning_rate: float
    tokens_per_second: float
    """Real target tokens per second of updates."""
    seconds: float
    """Of the epoch's updates."""
    valid_seconds: float
    example: tuple[str, str, str]
    """Source, reference and present translation of one validation sentence."""
    collapse: str | None
    """If most validation sentences are translated alike: that, and the likely cause."""
    ranked_by: str
    """What compares this epoch with others: the recipe's measure, unless that says little."""
    caveat: str | None
    """Why BLEU says little about these validation pairs, if the recipe ranks by it."""
    divergence: str | None
    """If a loss is much too high: that, and what to lower."""


class Averaging(NamedTuple):
    """What the average of several epochs' weights came to."""

    averaged_epochs: list[int]
    step: int
    loss: float
    perplexity: float
    accuracy: float
    bleu: float
    chrf: float
    is_best: bool
    """Better than every single epoch, so that it is the model now."""
    ranked_by: str
    """As of a single epoch."""


def describe_epoch(
    record: Record,
    progress: Progress,
    measures: Measures,
    material: Material,
    criterion: Criterion,
    *,
    is_best: bool,
) -> Validation:
    """What an epoch came to; another sentence is shown after each.

    Args:
        record: of the epoch's updates.
        progress: of its last one.
        measures: of the model after it.
        material: whose validation pairs were measured.
        criterion: what compares epochs.
        is_best: whether no earlier epoch scored better.
    """
    shown = progress.position.epoch % len(measures.hypotheses)
    source, reference, *_ = material.valid_row(shown)
    return Validation(
        epoch=progress.position.epoch + 1,
        step=progress.position.step,
        train_loss=record.epoch_loss / max(1, record.epoch_tokens),
        **measures.scores(),
        is_best=is_best,
        learning_rate=progress.learning_rate,
        tokens_per_second=record.epoch_tokens / max(1e-9, record.epoch_seconds),
        seconds=record.epoch_seconds,
        valid_seconds=measures.seconds,
        example=(source, reference, measures.hypotheses[shown]),
        collapse=explain_collapse(record, progress, measures, material),
        ranked_by=criterion.ranked_by(measures.scores()),
        caveat=criterion.caveat,
        divergence=None,
    )


FEW_UPDATES = 1_000
"""A model seldom looks at the source before it has had as many."""


def explain_collapse(
    record: Record, progress: Progress, measures: Measures, material: Material
) -> str | None:
    """That most validation sentences are translated alike, and the likely cause; else None."""
    references = [row[1] for text in material.valid_texts for row in text.rows]
    collapse = find_collapse(measures.hypotheses, references)
    if collapse is None:
        return None
    step = progress.position.step
    if record.best_epoch and measures.loss > record.best_loss:
        cause = (
            f"the valid loss rose from {record.best_loss:.3f} to {measures.loss:.3f}: lower "
            f"training.learning_rate ({progress.learning_rate:g}) or training.clip_norm"
        )
    elif step < FEW_UPDATES:
        cause = f"it has had {step:,} updates, which may be too few to look at the source; wait"
    else:
        cause = (
            f"after {step:,} updates it should look at the source: see whether the lines of both "
            "sides belong together, and try another training.learning_rate "
            f"({progress.learning_rate:g})"
        )
    return f"{collapse}; {cause}"
