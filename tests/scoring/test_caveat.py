import pytest

from s2s_cli.scoring.caveats import find_caveat
from s2s_cli.scoring.metrics import ScoringSettings

ENGLISH = ScoringSettings("en")


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
    caveat = find_caveat(references, ScoringSettings(lang))
    assert caveat is not None
    assert caveat.text == text
    assert caveat.has_labels == ("labels" in text)


def test_where_bleu_may_be_trusted() -> None:
    assert find_caveat([sentences(100)], ENGLISH) is None
    assert find_caveat([["one"] * 100, ["one two three four"] * 100], ENGLISH) is None
    assert find_caveat([["ฉันรักแมว"] * 100], ScoringSettings("th")) is None
