import pytest

from s2s_cli.scoring.labels import count_confusion
from s2s_cli.scoring.metrics import Score, ScoredLines, ScoringSettings
from s2s_cli.scoring.report import format_examples, format_report

SCORES = [Score("bleu", 12.344, "nrefs:1|case:lc", interval=1.25)]


def examples(count: int) -> str:
    """A page of `count` sentences, each with a higher chrF than the one before."""
    numbers = [*range(count)]
    scored = ScoredLines(numbers, [f"hyp{i}" for i in numbers], [[f"ref{i}" for i in numbers]])
    return format_examples([f"src{i}" for i in numbers], scored, [*map(float, numbers)])


def test_best_and_worst_are_twenty_each_and_in_order() -> None:
    best, worst = examples(100).split("## Worst")
    assert best.count("- line") == worst.count("- line") == 20
    assert best.index("hyp99") < best.index("hyp98") < best.index("hyp80")
    assert worst.index("hyp0\n") < worst.index("hyp1\n") < worst.index("hyp19\n")


def test_an_example_has_the_source_of_its_line() -> None:
    scored = ScoredLines([1], ["hyp"], [["one"], ["two"]])
    page = format_examples(["blank reference", "source"], scored, [12.34])
    assert "- line 2, chrF 12.3\n  - source: source\n" in page
    assert "  - reference: one\n  - reference: two\n  - translation: hyp\n" in page


def test_a_score_stands_in_a_table_with_its_signature() -> None:
    page = format_report("title", [("model", "m")], SCORES)
    assert r"| bleu | 12.34 | 11.1 to 13.6 | `nrefs:1\|case:lc` |" in page


def test_a_note_has_a_column() -> None:
    page = format_report("t", [], [*SCORES, Score("ter", 1.0, "x", "of a|b")])
    assert "| measure | score | 95 % interval | signature | note |\n|---|---|---|---|---|\n" in page
    assert r"| ter | 1.00 |  | `x` | of a\|b |" in page
    assert "note" not in format_report("t", [], SCORES)


def test_of_few_sentences_none_is_shown_twice() -> None:
    assert examples(5).count("- line") == 5


@pytest.mark.fault("C12")
def test_text_from_the_data_cannot_format_the_page_or_run_in_it() -> None:
    nasty = "<script>alert(1)</script> | **bold** \x1b[31m \u202e [x](http://y) `code`"
    page = format_report("t", [("name", nasty)], SCORES)
    page += format_examples([nasty], ScoredLines([0], [nasty], [[nasty]]), [0.0])
    assert "<script" not in page
    assert "**bold**" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "[x]" not in page


def test_labels_have_their_confusion_table() -> None:
    confusion = count_confusion(["a|", "x"], [["a|", "b"]], ScoringSettings("en"))
    page = format_report("t", [], SCORES, confusion)
    assert r"| | *a\|* | *b* | other | precision | recall | F1 |" in page
    assert r"| *a\|* | 1 | 0 | 0 | 100.0 | 100.0 | 100.0 |" in page
    assert "| *b* | 0 | 0 | 1 | - | 0.0 | 0.0 |" in page
    labels = [f"l{n}" for n in range(30)]
    many = count_confusion(labels, [labels], ScoringSettings("en"))
    assert "## Labels" not in format_report("t", [], SCORES, many)
