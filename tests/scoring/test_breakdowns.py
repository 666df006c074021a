from s2s_cli.scoring.breakdowns import SentenceChange, find_changes, group_by_length


def test_every_sentence_is_in_one_range_of_lengths() -> None:
    groups = group_by_length([0, 1, 5, 6, 10, 21, 50, 51, 300])
    assert [(group.range, group.places) for group in groups] == [
        ("0-5", [0, 1, 2]),
        ("6-10", [3, 4]),
        ("21-30", [5]),
        ("31-50", [6]),
        (">50", [7, 8]),
    ]


def test_without_blank_sentences_the_shortest_have_one_word() -> None:
    assert group_by_length([1, 5]) == [("1-5", [0, 1])]


def test_changes_are_sorted_by_size_and_counted() -> None:
    first, second = [10.0, 50.0, 90.0, 40.0, 40.0], [30.0, 50.0, 10.0, 100.0, 39.0]
    found = find_changes(first, second, 1)
    assert found.improved == [SentenceChange(3, (40.0, 100.0))]
    assert found.worse == [SentenceChange(2, (90.0, 10.0))]
    assert (found.num_improved, found.num_worse, found.num_same) == (2, 2, 1)
