"""Whether systems differ by more than chance, on one test set.

BLEU, chrF and TER are compared by sacrebleu's paired tests: the bootstrap (Koehn 2004) and
approximate randomisation (Riezler and Maxwell 2005), with its numbers of samples and its seed.
Accuracies are compared by the exact form of McNemar's test (McNemar 1947).
"""

from collections.abc import Sequence
from math import comb
from typing import Any, NamedTuple

from sacrebleu.significance import PairedTest

from s2s_cli.scoring.labels import count_confusion, find_correct, score_accuracy
from s2s_cli.scoring.metrics import MetricName, ScoringSettings, check_lengths, make_metric


class Standing(NamedTuple):
    """The score of a system, and how it differs from the first system."""

    system: str
    score: float
    interval: float | None
    """Half the width of the 95 % interval, by bootstrap; None for accuracies."""
    difference: float | None = None
    """The score less that of the first system; None for the first system itself."""
    p_bootstrap: float | None = None
    """Chance of a difference as large between equally good systems, by paired bootstrap."""
    p_randomization: float | None = None
    """The same by approximate randomisation."""
    p_mcnemar: float | None = None
    """The same by McNemar's test, for accuracies."""


class Ranking(NamedTuple):
    """The systems by one metric, in the order in which they were given."""

    metric: str
    signature: str
    standings: list[Standing]


def compare_scores(
    names: Sequence[MetricName],
    systems: Sequence[tuple[str, Sequence[str]]],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
) -> list[Ranking]:
    """Compare systems with the first one by corpus scores.

    The p-values are sacrebleu's, but for two cases in which it reports the smallest ones that it
    can: equal scores have p-values of 1, and by randomisation k different lines have at least
    2^(1-k).

    Args:
        names: the metrics.
        systems: the name of each, and its translations as they are compared.
        references: one or more lists of references.
        settings: language, case and tokeniser.

    Raises:
        DataError: there is nothing to score, or lists differ in length.
        ConfigError: the tokeniser is unknown or not installed.
    """
    for _, hypotheses in systems:
        check_lengths(hypotheses, references)
    return [_compare_by(name, systems, references, settings) for name in names]


def _compare_by(
    name: MetricName,
    systems: Sequence[tuple[str, Sequence[str]]],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
) -> Ranking:
    """Run both tests by one metric."""
    named: list[tuple[str, Sequence[str]]] = [
        (system, list(hypotheses)) for system, hypotheses in systems
    ]
    sides = [list(side) for side in references]
    found: list[list[Any]] = []
    signatures = []
    for kind in ("bs", "ar"):
        metric = make_metric(name, settings)
        test = PairedTest(named, {name: metric}, sides, test_type=kind)
        by_kind, results = test()
        (key,) = by_kind
        found.append(list(results[key]))
        signatures.append(str(by_kind[key].format()))
    standings = [
        Standing(
            system,
            float(bootstrap.score),
            float(bootstrap.ci),
            *(
                (
                    float(bootstrap.score - found[0][0].score),
                    *_correct(
                        (float(bootstrap.p_value), float(randomization.p_value)),
                        num_different=_count_different(hypotheses, named[0][1]),
                        is_equal=bootstrap.score == found[0][0].score,
                    ),
                )
                if place
                else ()
            ),
        )
        for place, ((system, hypotheses), bootstrap, randomization) in enumerate(
            zip(named, *found, strict=True)
        )
    ]
    # The signature of the second test differs only by its name and number of trials.
    trials = next(part for part in signatures[1].split("|") if part.startswith("ar:"))
    return Ranking(name, f"{signatures[0]}|{trials}{settings.suffix}", standings)


def _count_different(ours: Sequence[str], theirs: Sequence[str]) -> int:
    return sum(one != other for one, other in zip(ours, theirs, strict=True))


def _correct(
    p_values: tuple[float, float], *, num_different: int, is_equal: bool
) -> tuple[float, float]:
    """Correct p-values by bootstrap and by randomisation where sacrebleu's are too small.

    Randomisation exchanges lines between systems. With k different lines it has 2^k outcomes, of
    which two have the difference that was observed.
    """
    if is_equal:
        return 1.0, 1.0
    return p_values[0], max(p_values[1], 2.0 ** (1 - num_different))


def compare_accuracies(
    systems: Sequence[tuple[str, Sequence[str]]],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
) -> Ranking:
    """Compare systems with the first one by their shares of correct labels.

    Args:
        systems: the name of each, and its labels.
        references: one list of labels.
        settings: whether case counts.

    Raises:
        ConfigError: the lines have several references.
        DataError: there is nothing to score, or lists differ in length.
    """
    first = find_correct(systems[0][1], references, settings)
    signature, standings = "", list[Standing]()
    for place, (name, labels) in enumerate(systems):
        correct = find_correct(labels, references, settings)
        accuracy = score_accuracy(count_confusion(labels, references, settings), settings)
        score, signature = accuracy.value, accuracy.signature
        standing = Standing(name, score, None)
        if place:
            gains = sum(ours and not theirs for ours, theirs in zip(correct, first, strict=True))
            losses = sum(theirs and not ours for ours, theirs in zip(correct, first, strict=True))
            standing = standing._replace(
                difference=score - standings[0].score, p_mcnemar=mcnemar_p(gains, losses)
            )
        standings.append(standing)
    return Ranking("accuracy", signature, standings)


def mcnemar_p(gains: int, losses: int) -> float:
    """The p-value of McNemar's exact test, two-sided.

    Args:
        gains: number of lines that only the second system has right.
        losses: number of lines that only the first system has right.
    """
    num = gains + losses
    tail = sum(comb(num, k) for k in range(min(gains, losses) + 1))
    return min(1.0, tail / 2 ** (num - 1)) if num else 1.0
