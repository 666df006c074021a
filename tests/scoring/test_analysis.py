import pytest

from s2s_cli.scoring.analysis import (
    Flags,
    FrequencyGroup,
    find_copies,
    find_repetition,
    flag_sentence,
    score_by_frequency,
    sum_habits,
)


@pytest.mark.parametrize(
    ("text", "is_repeated"),
    [
        ("", False),
        ("a b a", False),
        ("a a", True),
        ("x a b a b", True),
        ("a b c d a b c d", True),
        # Five words are longer than what is looked for.
        ("a b c d e a b c d e", False),
    ],
)
def test_words_repeated_at_once_are_found(text: str, is_repeated: bool) -> None:
    assert find_repetition(text.split()) == is_repeated


def test_copies_are_source_words_that_the_reference_does_not_have() -> None:
    source = ["Tom", "mag", "Berlin", ",", "und", "den", "Hund", "."]
    found = find_copies(
        source, ["Tom", "likes", "Berlin", ",", "und", "hund", "."], ["Tom", "likes", "it", "."]
    )
    assert found == ["Berlin", "und", "hund"]


def test_a_sentence_is_flagged_unless_its_reference_has_the_same_fault() -> None:
    def flag(translation: str, reference: str) -> Flags:
        return flag_sentence("der Hund", translation, reference, str.split, str.split)

    assert flag("a dog", "a dog ") == Flags(True, False, False, False)
    assert flag("", "a dog") == Flags(False, True, False, False)
    assert flag("dog dog", "a dog") == Flags(False, False, True, False)
    assert flag("dog dog", "bye bye") == Flags(False, False, False, False)
    assert flag("a Hund", "a dog") == Flags(False, False, False, True)


def test_habits_are_shares_of_the_sentences() -> None:
    flags = [Flags(True, False, False, False), Flags(False, False, True, False)]
    found = sum_habits(flags, ["a b", "c c c c"], ["a b", "c d e"], str.split)
    assert found == (6 / 5, 0.5, 0.0, 0.5, 0.0)


def test_tokens_are_scored_by_their_frequency() -> None:
    counts = {"the": 5000, "cat": 50, "dog": 50, "rare": 3}
    found = score_by_frequency(
        [["the", "the", "cat"], ["the", "dog"]],
        [["the", "cat", "rare"], ["the", "cat", "new"]],
        lambda token: counts.get(token, 0),
    )
    assert found == [
        FrequencyGroup("unknown", 1, None, 0.0),
        FrequencyGroup("1-9", 1, None, 0.0),
        FrequencyGroup("10-99", 2, 1 / 2, 1 / 2),
        FrequencyGroup("≥1000", 2, 2 / 3, 1.0),
    ]
    assert [group.f1 for group in found] == [None, None, 0.5, pytest.approx(0.8)]
