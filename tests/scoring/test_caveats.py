import pytest

from s2s_cli.scoring.caveats import find_caveat, find_collapse
from s2s_cli.scoring.metrics import ScoringSettings

ENGLISH = ScoringSettings("en")
DIFFERENT = [f"sentence {number}" for number in range(20)]


def sentences(count: int) -> list[str]:
    return [f"this is sentence number {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("references", "lang", "text"),
    [
        ([sentences(99)], "en", "BLEU says little: fewer than 100 sentences"),
        ([["apple"] * 100], "en", "BLEU says little: no reference has four tokens"),
        ([["one two three"] * 200], "en", "BLEU says little: no reference has four tokens"),
        ([["ฉัน"] * 100], "th", "BLEU says little: no reference has four tokens"),
        (
            [["apple", "banana"]],
            "en",
            "BLEU says little: no reference has four tokens, fewer than 100 sentences",
        ),
        ([["good", "bad"] * 50], "en", "BLEU says little: the references look like labels"),
    ],
)
def test_where_bleu_says_little(references: list[list[str]], lang: str, text: str) -> None:
    assert find_caveat(references, ScoringSettings(lang)) == text


def test_where_bleu_may_be_trusted() -> None:
    assert find_caveat([sentences(100)], ENGLISH) is None
    assert find_caveat([["one"] * 100, ["one two three four"] * 100], ENGLISH) is None
    assert find_caveat([["ฉันรักแมว"] * 100], ScoringSettings("th")) is None


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (
            ["a man ."] * 12 + DIFFERENT[:8],
            DIFFERENT,
            '60% of the sentences have the same translation, "a man ."',
        ),
        ([""] * 20, DIFFERENT, "100% of the sentences have an empty translation"),
        (
            ["good"] * 20,
            ["good"] * 13 + ["bad"] * 7,
            '100% of the sentences have the same translation, "good"',
        ),
    ],
)
def test_one_translation_of_most_sentences_is_a_collapse(
    hypotheses: list[str], references: list[str], message: str
) -> None:
    assert find_collapse(hypotheses, references) == message


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (DIFFERENT, DIFFERENT),
        (["a man ."] * 10 + DIFFERENT[:10], DIFFERENT),
        (["good"] * 14 + ["bad"] * 6, ["good"] * 13 + ["bad"] * 7),
        (["yes"] * 20, ["yes"] * 20),
        (["a man ."] * 9, DIFFERENT[:9]),
    ],
)
def test_translations_as_equal_as_their_references_are_no_collapse(
    hypotheses: list[str], references: list[str]
) -> None:
    assert find_collapse(hypotheses, references) is None
