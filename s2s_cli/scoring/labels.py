"""Scores of translations that are labels: accuracy, and a table of which label became which."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from s2s_cli.errors import ConfigError
from s2s_cli.scoring.metrics import Score, ScoringSettings, check_lengths
from s2s_cli.text.word_boundaries import make_metric_splitter

MAX_LABELS = 20
"""A test set with more labels is not taken for one of labels, and has no confusion table."""
MIN_LINES_PER_LABEL = 5
"""On average, for a test set to be taken for one of labels."""
OTHER = "other"
"""Heading of the translations that are no label."""


class Confusion(NamedTuple):
    """How often each label (row) was translated as each label (column)."""

    labels: list[str]
    counts: list[list[int]]
    """A row for each label; an additional last column counts translations that are no label."""

    @property
    def accuracy(self) -> float:
        """Share of translations that equal their reference, 0 to 1."""
        correct = sum(row[place] for place, row in enumerate(self.counts))
        return correct / sum(map(sum, self.counts))

    def qualities(self) -> list[tuple[float | None, float | None, float | None]]:
        """Precision, recall and F1 of each label, 0 to 1; None where they are not defined."""
        found = []
        for place, row in enumerate(self.counts):
            correct, num_lines = row[place], sum(row)
            num_given = sum(each[place] for each in self.counts)
            precision = correct / num_given if num_given else None
            recall = correct / num_lines if num_lines else None
            f1 = 2 * correct / (num_given + num_lines) if num_given + num_lines else None
            found.append((precision, recall, f1))
        return found


def look_like_labels(references: Sequence[Sequence[str]], tgt_lang: str) -> bool:
    """Whether the references of a test set look like labels.

    They do if each line has one reference of a single token, if there are 2 to 20 different ones,
    and if there are 5 lines or more for each, on average.
    """
    if len(references) != 1:
        return False
    counts = Counter(references[0])
    tokenize = make_metric_splitter(tgt_lang)
    return (
        1 < len(counts) <= MAX_LABELS
        and len(references[0]) >= MIN_LINES_PER_LABEL * len(counts)
        and all(len(tokenize(label)) == 1 for label in counts)
    )


def check_one_reference(references: Sequence[Sequence[str]]) -> None:
    """Check that lines have one reference each, without which there is no correct label.

    Raises:
        ConfigError: there are several.
    """
    if len(references) != 1:
        raise ConfigError(
            f"--accuracy: needs one reference per line, and there are {len(references)}; "
            "leave it out"
        )


def count_confusion(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> Confusion:
    """Count which label was translated as which, ignoring white space at the ends.

    Raises:
        ConfigError: the lines have several references.
        DataError: there is nothing to score, or lists differ in length.
    """
    wanted, given = _clean(hypotheses, references, settings)
    labels = sorted(set(wanted))
    places = {label: place for place, label in enumerate(labels)}
    counts = [[0] * (len(labels) + 1) for _ in labels]
    for label, answer in zip(wanted, given, strict=True):
        counts[places[label]][places.get(answer, len(labels))] += 1
    return Confusion(labels, counts)


def find_correct(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> list[bool]:
    """Whether each translation is the label of its reference; raises as `count_confusion`."""
    wanted, given = _clean(hypotheses, references, settings)
    return [label == answer for label, answer in zip(wanted, given, strict=True)]


def _clean(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> tuple[list[str], list[str]]:
    """The labels of references and translations as they are compared."""
    check_lengths(hypotheses, references)
    check_one_reference(references)

    def clean(text: str) -> str:
        return text.strip().lower() if settings.lowercase else text.strip()

    return [clean(text) for text in references[0]], [clean(text) for text in hypotheses]


def score_accuracy(confusion: Confusion, settings: ScoringSettings) -> Score:
    """Accuracy as a score from 0 to 100."""
    value = 100 * confusion.accuracy
    case = "lc" if settings.lowercase else "mixed"
    signature = f"nrefs:1|case:{case}|match:exact|labels:{len(confusion.labels)}{settings.suffix}"
    return Score("accuracy", value, signature)
