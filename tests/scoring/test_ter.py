import random

import pytest
from sacrebleu.metrics.ter import TER

from s2s_cli.scoring.metrics import Score, ScoringSettings, score_corpus
from s2s_cli.scoring.ter import MAX_SHIFT_TOKENS, count_edits


def measure(hypotheses: list[str], references: list[list[str]], lang: str = "en") -> Score:
    (score,) = score_corpus(["ter"], hypotheses, references, ScoringSettings(lang))
    return score


def test_edits_are_counted_as_by_hand() -> None:
    for hypothesis, reference, edits in (
        ("", "", 0),
        ("", "a b", 2),
        ("a b", "", 2),
        ("kitten", "sitting", 3),
        ("a b c d", "c d a b", 4),
        ("same", "same", 0),
    ):
        ours, theirs = (
            text.split() if " " in text else list(text) for text in (hypothesis, reference)
        )
        assert count_edits(ours, theirs) == edits, (hypothesis, reference)


def test_a_long_sentence_is_scored_without_shifts_and_says_so() -> None:
    words = [f"w{number}" for number in range(MAX_SHIFT_TOKENS)]
    swapped = " ".join([*words[10:15], *words[:10], *words[15:]])
    bounded = measure([swapped], [[" ".join(words)]])
    assert bounded.value == pytest.approx(100 * 1 / MAX_SHIFT_TOKENS)  # one shift
    assert bounded.note == ""
    longer = measure([f"{swapped} end"], [[" ".join([*words, "end"])]])
    # Moved word by word: five are deleted at one place and inserted at another.
    assert longer.value == pytest.approx(100 * 10 / (MAX_SHIFT_TOKENS + 1))
    assert f"|noshift:1>{MAX_SHIFT_TOKENS}tokens|" in longer.signature
    assert "noshift" not in bounded.signature
    assert (
        f"1 sentences of more than {MAX_SHIFT_TOKENS} tokens are scored without shifts"
        in longer.note
    )


def test_thousands_of_shuffled_words_are_scored_without_shifts() -> None:
    randomly = random.Random(1)
    words = [str(randomly.randrange(50)) for _ in range(4000)]
    other = randomly.sample(words, len(words))
    assert 0 < measure([" ".join(words)], [[" ".join(other)]]).value < 100


@pytest.mark.parametrize("lang", ["en", "zh", "ja"])
def test_several_references_are_those_of_sacrebleu(lang: str) -> None:
    hypotheses = ["the cat sat there", "我喜欢机器学习。", "", "a b c d e f"]
    references = [
        ["there sat the cat", "我很喜欢学习。", "x", "d e f a b c"],
        ["the cat", "我", "", "b"],
    ]
    is_asian = lang != "en"
    metric = TER(normalized=is_asian, asian_support=is_asian)
    theirs = metric.corpus_score(hypotheses, references)
    ours = measure(hypotheses, references, lang)
    assert ours.value == pytest.approx(theirs.score)
    assert ours.signature == metric.get_signature().format()


def test_ter_without_spaces_counts_characters() -> None:
    score = measure(["ฉันรักแมว"], [["ฉันรักหมา"]], "th")
    assert score.value == pytest.approx(100 * 2 / 9)  # two of nine differ
    assert "|units:characters|" in score.signature


def test_progress_is_reported_after_each_sentence() -> None:
    reports: list[tuple[int, int]] = []
    score_corpus(
        ["ter"],
        ["a", "b"],
        [["a", "b"]],
        ScoringSettings("en"),
        lambda done, total: reports.append((done, total)),
    )
    assert reports == [(1, 2), (2, 2)]
