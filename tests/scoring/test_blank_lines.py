import pytest

from s2s_cli.errors import DataError
from s2s_cli.scoring.blank_lines import choose_scored_lines


def test_a_line_counts_if_its_first_reference_is_not_blank() -> None:
    scored = choose_scored_lines(
        ["one", "said", "", " ", "five"],
        [["a", " ", "c", "d", "e"], ["A", "B", "", "D", "E"]],
    )
    assert scored.numbers == [0, 2, 3, 4]
    assert scored.hypotheses == ["one", "", " ", "five"]
    assert scored.references == [["a", "c", "d", "e"], ["A", "c", "D", "E"]]


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(DataError, match="no sentences to score"):
        choose_scored_lines(["a"], [[""]])
    with pytest.raises(DataError, match="2 translations, but reference 1 has 1 lines"):
        choose_scored_lines(["a", "b"], [["a"]])
