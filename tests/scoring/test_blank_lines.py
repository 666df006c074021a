import pytest

from s2s_cli.errors import DataError
from s2s_cli.scoring.metrics import choose_scored_lines


def test_a_line_counts_if_it_has_a_reference() -> None:
    hypotheses = ["one", "two", "three", "", " ", "six"]
    first = ["a", " ", "", "d", "e", "f"]
    second = ["A", "B", "", "", "E", "F"]
    scored = choose_scored_lines(hypotheses, [first, second])
    assert scored.numbers == [0, 1, 3, 4, 5]
    assert scored.hypotheses == ["one", "two", "", " ", "six"]
    assert scored.references == [["a", "B", "d", "e", "f"], ["A", "B", "d", "E", "F"]]
    swapped = choose_scored_lines(hypotheses, [second, first])
    assert swapped == scored._replace(references=scored.references[::-1])


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(DataError, match="no sentences to score"):
        choose_scored_lines(["a"], [[""]])
    with pytest.raises(DataError, match="2 translations, but reference 1 has 1 lines"):
        choose_scored_lines(["a", "b"], [["a"]])
