from collections import Counter

import pytest

from s2s_cli.checks.pair_filters import (
    FAULTS,
    Filters,
    SyntheticPair,
    choose_texts,
    describe_faults,
    find_fault,
)

GOOD = SyntheticPair("ein Haus", "a house", (2, 2), -3.0, is_cut=False)


def test_every_different_text_is_translated_once() -> None:
    seen: set[int] = set()
    lines = ["b", " ", "a", "b", "", "B", "caf\udce9"]
    texts, faults = choose_texts(lines, seen)
    assert texts == ["b", "a", "B"]
    assert faults == Counter(blank=2, repeated=1, not_utf8=1)
    assert choose_texts(["a", "c"], seen) == (["c"], Counter(repeated=1))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"translation": " "}, "blank"),
        ({"is_cut": True}, "cut"),
        ({"translation": "Ein  haus"}, "copy"),
        ({"num_tokens": (2, 8)}, None),  # 9 to 3, end marks included
        ({"num_tokens": (2, 9)}, "ratio"),
        ({"num_tokens": (9, 2)}, "ratio"),
        ({"log_prob": -3.3}, None),  # over 3 tokens: -1.1
        ({"log_prob": -3.6}, "score"),
    ],
    ids=str,
)
def test_a_pair_is_left_out_for_its_first_fault(
    change: dict[str, object], fault: str | None
) -> None:
    assert find_fault(GOOD._replace(**change), Filters(min_score=-1.15)) == fault


def test_by_default_scores_do_not_matter() -> None:
    assert find_fault(GOOD._replace(log_prob=-1000.0), Filters()) is None


def test_faults_are_counted_in_words() -> None:
    counts = {"pairs": 7, "score": 1200, "ratio": 3, "blank": 0}
    filters = Filters(max_ratio=2.5, min_score=-1)
    assert describe_faults(counts, filters) == (
        "3 with a length ratio above 2.5, 1,200 with a score below -1"
    )
    assert describe_faults({"pairs": 7}, Filters()) == ""
    assert describe_faults(dict.fromkeys(FAULTS, 1), filters).count("1 ") == len(FAULTS)
