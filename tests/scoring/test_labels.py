import pytest

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.scoring.labels import (
    count_confusion,
    look_like_labels,
    score_accuracy,
)
from s2s_cli.scoring.metrics import ScoringSettings

ENGLISH = ScoringSettings("en")


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([["good", "bad"] * 5], True),
        ([["good", "bad"] * 4], False),  # too few lines to tell
        ([["good"] * 50], False),  # nothing to tell apart
        ([["very good", "bad"] * 50], False),
        ([["good", ""] * 50], False),
        ([[f"label{n % 20}" for n in range(100)]], True),
        ([[f"label{n % 21}" for n in range(200)]], False),
        ([["good", "bad"] * 50, ["fine", "bad"] * 50], False),
    ],
)
def test_few_single_tokens_with_many_lines_each_look_like_labels(
    references: list[list[str]], expected: bool
) -> None:
    assert look_like_labels(references, "en") == expected


def test_the_confusion_table_counts_references_in_rows() -> None:
    references = [["a", "a", "a", "b", "b", "c"]]
    hypotheses = ["a", "b", "x", "b ", " b", "a"]
    confusion = count_confusion(hypotheses, references, ENGLISH)
    assert confusion.labels == ["a", "b", "c"]
    assert confusion.counts == [[1, 1, 0, 1], [0, 2, 0, 0], [1, 0, 0, 0]]
    assert confusion.accuracy == pytest.approx(3 / 6)
    assert confusion.qualities() == [
        (1 / 2, 1 / 3, pytest.approx(2 / 5)),
        (2 / 3, 1, pytest.approx(4 / 5)),
        (None, 0, 0),  # never given: no precision
    ]
    score = score_accuracy(confusion, ENGLISH)
    assert (score.name, score.value) == ("accuracy", pytest.approx(50))
    assert score.signature == "nrefs:1|case:mixed|match:exact|labels:3"


def test_case_counts_unless_scores_ignore_it() -> None:
    hypotheses, references = ["Good", "bad"], [["good", "BAD"]]
    assert count_confusion(hypotheses, references, ENGLISH).accuracy == 0
    ignoring = ScoringSettings("en", lowercase=True)
    assert count_confusion(hypotheses, references, ignoring).accuracy == 1


def test_one_reference_for_each_translation_is_needed() -> None:
    with pytest.raises(ConfigError, match="one reference per line, and there are 2"):
        count_confusion(["a"], [["a"], ["b"]], ENGLISH)
    with pytest.raises(DataError, match="1 translations, but reference 1 has 2 lines"):
        count_confusion(["a"], [["a", "b"]], ENGLISH)
