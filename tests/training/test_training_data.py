"""The validation pairs as text."""

from s2s_cli.scoring.metrics import ScoringSettings
from s2s_cli.sources import Direction
from s2s_cli.training.training_data import ValidText


def test_pairs_may_have_different_numbers_of_references() -> None:
    rows = [("eins", "one"), ("zwei", "two", "a pair", "twain"), ("drei", "three", "trio")]
    text = ValidText(Direction("de", "en"), rows, ScoringSettings("en"))
    assert text.references == [
        ["one", "two", "three"],
        ["one", "a pair", "trio"],
        ["one", "twain", "three"],
    ]
