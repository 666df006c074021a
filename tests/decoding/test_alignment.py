from s2s_cli.decoding.alignment import align_words, find_most_attended, format_pharaoh

WEIGHTS = [
    [0.1, 0.2, 0.3, 0.4],  # most at eos, which is no word
    [0.7, 0.1, 0.1, 0.1],
    [0.3, 0.3, 0.2, 0.2],
]


def test_the_most_attended_token_is_a_word_of_the_source_the_first_of_equals() -> None:
    assert find_most_attended(WEIGHTS, 3) == [2, 0, 0]


def test_links_stand_in_the_order_of_the_source() -> None:
    links = align_words(["x", "y", "z"], ["a", "b", "c"], WEIGHTS)
    assert links == [(0, 1), (0, 2), (2, 0)]
    assert format_pharaoh(links) == "0-1 0-2 2-0"


def test_the_targets_eos_is_linked_to_nothing() -> None:
    assert align_words(["x", "y", "z"], ["a"], WEIGHTS) == [(2, 0)]
    assert format_pharaoh(align_words(["x", "y", "z"], [], [])) == ""
