import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.scoring.metrics import ScoringSettings
from s2s_cli.scoring.significance import compare_accuracies, compare_scores, mcnemar_p

ENGLISH = ScoringSettings("en")
REFERENCES = [
    *("the cat sat on the mat .", "a dog runs in the park .", "he reads a book ."),
    *("she sings a song .", "we eat bread and cheese .", "they play in the garden ."),
]
GOOD = [*REFERENCES[:4], "we eat bread and butter .", "they are in the garden ."]
POOR = ["the cat is on a mat .", "dog run in park .", *REFERENCES[2:5], "they play in garden ."]


def test_intervals_and_p_values_are_those_of_sacrebleu() -> None:
    bleu, chrf = compare_scores(
        ["bleu", "chrf"], [("good", GOOD), ("poor", POOR)], [REFERENCES], ENGLISH
    )
    for found, metric in ((bleu, BLEU(force=True)), (chrf, CHRF())):
        named = [("good", GOOD), ("poor", POOR)]
        expected = {}
        for kind in ("bs", "ar"):
            _, results = PairedTest(named, {"x": metric}, [REFERENCES], test_type=kind)()
            expected[kind] = next(value for key, value in results.items() if key != "System")
        first, second = found.standings
        assert first.interval == expected["bs"][0].ci
        assert (second.score, second.interval) == (expected["bs"][1].score, expected["bs"][1].ci)
        assert second.p_bootstrap == expected["bs"][1].p_value
        # Of the six lines five differ.
        assert second.p_randomization == max(expected["ar"][1].p_value, 2**-4)
        assert second.difference == second.score - first.score < 0
        assert first.difference is first.p_bootstrap is first.p_randomization is None


def test_the_signature_names_both_tests_and_the_normalisation() -> None:
    settings = ScoringSettings("en", lowercase=True, form="nfkc")
    (found,) = compare_scores(["bleu"], [("a", GOOD), ("b", POOR)], [REFERENCES], settings)
    assert "|bs:1000|seed:12345|case:lc|" in found.signature
    assert found.signature.endswith("|ar:10000|form:nfkc")


def test_equal_translations_are_no_significant_difference() -> None:
    (found,) = compare_scores(["bleu"], [("a", GOOD), ("b", [*GOOD])], [REFERENCES], ENGLISH)
    assert found.standings[1][3:6] == (0.0, 1.0, 1.0)
    capitals = [line.upper() for line in GOOD]
    settings = ScoringSettings("en", lowercase=True)
    (found,) = compare_scores(["bleu"], [("a", GOOD), ("b", capitals)], [REFERENCES], settings)
    assert found.standings[1][3:6] == (0.0, 1.0, 1.0)


def test_few_different_lines_are_never_a_significant_difference() -> None:
    other = ["dogs .", "cats .", *GOOD[2:]]
    (found,) = compare_scores(["chrf"], [("a", GOOD), ("b", other)], [REFERENCES], ENGLISH)
    # Two lines can be exchanged in four ways, two of which have the difference observed.
    assert found.standings[1].p_randomization == 0.5


def test_ter_is_compared_with_its_bound_on_long_sentences() -> None:
    long = " ".join(str(number) for number in range(150))
    (found,) = compare_scores(
        ["ter"], [("a", [*GOOD, long]), ("b", [*POOR, long])], [[*REFERENCES, long]], ENGLISH
    )
    assert found.standings[0].score < found.standings[1].score
    assert "tok:tercom" in found.signature


def test_systems_of_different_length_are_refused() -> None:
    with pytest.raises(DataError, match="5 translations, but reference 1 has 6 lines"):
        compare_scores(["bleu"], [("a", GOOD), ("b", POOR[:5])], [REFERENCES], ENGLISH)


@pytest.mark.parametrize(
    ("gains", "losses", "expected"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 1, 1.0),
        (0, 6, 2 / 64),
        # (1 + 8) of 2 ** 8 outcomes on each side.
        (1, 7, 18 / 256),
        (7, 1, 18 / 256),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(gains: int, losses: int, expected: float) -> None:
    assert mcnemar_p(gains, losses) == pytest.approx(expected)


def test_accuracies_are_compared_line_by_line() -> None:
    labels = ["pos", "neg", "pos", "neg", "pos", "neg", "pos", "neg"]
    first = [*labels[:6], "neg", "pos"]
    second = ["neg", *labels[1:]]
    found = compare_accuracies([("a", first), ("b", second)], [labels], ENGLISH)
    assert [one.score for one in found.standings] == [75.0, 87.5]
    assert found.standings[1].difference == 12.5
    # Two lines are gained and one is lost: half of all outcomes is as extreme on each side.
    assert found.standings[1].p_mcnemar == 1.0
    assert "match:exact" in found.signature
    with pytest.raises(ConfigError, match="one reference"):
        compare_accuracies([("a", first), ("b", second)], [labels, labels], ENGLISH)
