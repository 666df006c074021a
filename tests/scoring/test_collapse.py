import pytest

from s2s_cli.scoring.caveats import find_collapse

DIFFERENT = [f"sentence {number}" for number in range(20)]


@pytest.mark.parametrize(
    ("hypotheses", "references", "share"),
    [
        (["a man ."] * 12 + DIFFERENT[:8], DIFFERENT, 0.6),
        ([""] * 20, DIFFERENT, 1.0),
        (["good"] * 20, ["good"] * 13 + ["bad"] * 7, 1.0),
    ],
)
def test_one_translation_of_most_sentences_is_a_collapse(
    hypotheses: list[str], references: list[str], share: float
) -> None:
    found = find_collapse(hypotheses, references)
    assert found is not None
    assert found.share == share
    assert f"{share:.0%}" in str(found)
    assert "nothing at all" in str(found) or f'"{hypotheses[0]}"' in str(found)


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
def test_what_is_as_alike_as_its_references_is_none(
    hypotheses: list[str], references: list[str]
) -> None:
    assert find_collapse(hypotheses, references) is None
