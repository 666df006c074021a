"""Scoring translations that are labels: accuracy, and which label is taken for which."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from s2s_cli.errors import ConfigError
from s2s_cli.scoring.metrics import Score, ScoringSettings, check_lengths

MAX_LABELS = 20
"""Of more labels no confusion table is shown, and no test set is taken to be one of labels."""
MIN_LINES = 5
"""Lines per label, on average, from which a test set may be one of labels."""
OTHER = "other"


class LabelQuality(NamedTuple):
    """How well one label is found: shares from 0 to 1, or None where there is nothing to share."""

    label: str
    num_lines: int
    precision: float | None
    recall: float | None
    f1: float | None


class Confusion(NamedTuple):
    """How often each label (row) was translated as each label (column)."""

    labels: list[str]
    counts: list[list[int]]
    """A row for each label, and one column more: translations that are no label."""

    @property
    def accuracy(self) -> float:
        """Share of translations that equal their reference, 0 to 1."""
        correct = sum(row[place] for place, row in enumerate(self.counts))
        return correct / sum(map(sum, self.counts))

    def qualities(self) -> list[LabelQuality]:
        """Precision, recall and F1 of every label."""
        found = []
        for place, label in enumerate(self.labels):
            correct = self.counts[place][place]
            num_lines = sum(self.counts[place])
            num_given = sum(row[place] for row in self.counts)
            found.append(
                LabelQuality(
                    label,
                    num_lines,
                    correct / num_given if num_given else None,
                    correct / num_lines if num_lines else None,
                    2 * correct / (num_given + num_lines) if num_given + num_lines else None,
                )
            )
        return found


def look_like_labels(
    references: Sequence[Sequence[str]], tokenize: Callable[[str], list[str]]
) -> bool:
    """Whether a test set asks for labels.

    It does if each line has one reference, of a single token; if there are 2 to 20 different ones;
    and if there are at least 5 lines for each, on average.
    """
    if len(references) != 1:
        return False
    counts = Counter(references[0])
    return (
        1 < len(counts) <= MAX_LABELS
        and len(references[0]) >= MIN_LINES * len(counts)
        and all(len(tokenize(label)) == 1 for label in counts)
    )


def check_one_reference(references: Sequence[Sequence[str]]) -> None:
    """Refuse lines of several references: there is no one label to be right about.

    Raises:
        ConfigError: there are several.
    """
    if len(references) != 1:
        raise ConfigError(
            f"--accuracy: needs one reference a line, not {len(references)}; leave it out"
        )


def count_confusion(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> Confusion:
    """Count which label was translated as which; white space at the ends never counts.

    Raises:
        ConfigError: the lines have several references.
        DataError: nothing to score, or lists of different length.
    """
    check_lengths(hypotheses, references)
    check_one_reference(references)

    def clean(text: str) -> str:
        return text.strip().lower() if settings.lowercase else text.strip()

    wanted, given = [[clean(text) for text in side] for side in (references[0], hypotheses)]
    labels = sorted(set(wanted))
    places = {label: place for place, label in enumerate(labels)}
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for label, answer in zip(wanted, given, strict=True):
        counts[places[label]][places.get(answer, len(labels))] += 1
    return Confusion(labels, counts)


def score_accuracy(confusion: Confusion, settings: ScoringSettings) -> Score:
    """Accuracy as a score from 0 to 100."""
    value = 100 * confusion.accuracy
    case = "lc" if settings.lowercase else "mixed"
    signature = f"nrefs:1|case:{case}|match:exact|labels:{len(confusion.labels)}{settings.suffix}"
    return Score("accuracy", value, signature)
