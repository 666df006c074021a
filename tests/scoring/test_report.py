import pytest

from s2s_cli.scoring.labels import count_confusion
from s2s_cli.scoring.metrics import Score, ScoringSettings
from s2s_cli.scoring.report import Example, format_report

SCORES = [Score("bleu", 12.344, "nrefs:1|case:lc")]


def examples(count: int) -> list[Example]:
    return [Example(i + 1, f"src{i}", [f"ref{i}"], f"hyp{i}", float(i)) for i in range(count)]


def test_best_and_worst_are_twenty_each_and_in_order() -> None:
    page = format_report("title", [("model", "m")], SCORES, examples(100))
    best, worst = page.split("## Worst")
    assert best.count("- line") == worst.count("- line") == 20
    assert best.index("hyp99") < best.index("hyp98") < best.index("hyp80")
    assert worst.index("hyp0\n") < worst.index("hyp1\n") < worst.index("hyp19\n")
    assert r"| bleu | 12.34 | `nrefs:1\|case:lc` |" in page


def test_a_note_stands_beside_its_score() -> None:
    page = format_report("t", [], [*SCORES, Score("ter", 1.0, "x", "of a|b")], examples(2))
    assert "| measure | score | signature | note |\n|---|---|---|---|\n" in page
    assert r"| ter | 1.00 | `x` | of a\|b |" in page
    assert "note" not in format_report("t", [], SCORES, examples(2))


def test_of_few_sentences_none_is_shown_twice() -> None:
    page = format_report("title", [], SCORES, examples(5))
    assert page.count("- line") == 5


@pytest.mark.fault("C12")
def test_text_from_the_data_cannot_format_the_page_or_run_in_it() -> None:
    nasty = "<script>alert(1)</script> | **bold** \x1b[31m \u202e [x](http://y) `code`"
    page = format_report("t", [("name", nasty)], SCORES, [Example(1, nasty, [nasty], nasty, 0.0)])
    assert "<script" not in page
    assert "**bold**" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "[x]" not in page


def test_every_reference_of_a_sentence_is_shown() -> None:
    page = format_report("t", [], SCORES, [Example(1, "src", ["one", "two"], "hyp", 1.0)])
    assert page.count("- reference: ") == 2
    assert page.index("- reference: one") < page.index("- reference: two")


def test_labels_have_their_confusion_table() -> None:
    confusion = count_confusion(["a|", "x"], [["a|", "b"]], ScoringSettings("en"))
    page = format_report("t", [], SCORES, examples(2), confusion)
    assert r"| | *a\|* | *b* | other | precision | recall | F1 |" in page
    assert r"| *a\|* | 1 | 0 | 0 | 100.0 | 100.0 | 100.0 |" in page
    assert "| *b* | 0 | 0 | 1 | - | 0.0 | 0.0 |" in page
    labels = [f"l{n}" for n in range(30)]
    many = count_confusion(labels, [labels], ScoringSettings("en"))
    assert "## Labels" not in format_report("t", [], SCORES, examples(2), many)
