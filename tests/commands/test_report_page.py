import json
import re
from html import unescape
from pathlib import Path

import pytest
from toys import output_of, save_toy

from s2s_cli.commands import report_page

SOURCES = ["s t u", "v w", "s s s s", "unheard w", "<b>&", "w v u t s z"]
REFERENCES = ["A B c d", "E f a b", "b b a c", "c d", "</script><script>alert(1)</script>", "f"]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    for name, lines in (("t.de", SOURCES), ("t.en", REFERENCES)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    test = ("--test-src", tmp_path / "t.de", "--test-tgt", tmp_path / "t.en")
    output_of("eval", "-m", save_toy(tmp_path / "toy"), *test, "--report", tmp_path / "report")
    return tmp_path / "report"


def articles(page: str) -> list[str]:
    return re.findall(r"<article.*?</article>", page, re.DOTALL)


def test_the_page_has_the_scores_of_the_file(report: Path) -> None:
    page = (report / "report.html").read_text("utf-8")
    scores = json.loads((report / "scores.json").read_text("utf-8"))["scores"]
    shown = dict(re.findall(r'data-score="(\w+)">([\d.]+)<', page))
    assert shown == {name: f"{entry['score']:.2f}" for name, entry in scores.items()}
    assert all(entry["signature"] in page for entry in scores.values())


def test_every_sentence_is_there_the_worst_first(report: Path) -> None:
    found = articles((report / "report.html").read_text("utf-8"))
    lines = [int(re.findall(r'data-line="(\d+)"', one)[0]) for one in found]
    assert sorted(lines) == [1, 2, 3, 4, 5, 6]
    chrf = [float(re.findall(r'data-chrf="([\d.]+)"', one)[0]) for one in found]
    assert chrf == sorted(chrf)
    hypotheses = (report / "hypotheses.txt").read_text("utf-8").split("\n")
    for line, one in zip(lines, found, strict=True):
        texts = [unescape(re.sub("<.*?>", "", dd)) for dd in re.findall("<dd>(.*?)</dd>", one)]
        assert texts == [SOURCES[line - 1], REFERENCES[line - 1], hypotheses[line - 1]]


def test_text_of_the_data_cannot_run(report: Path) -> None:
    page = (report / "report.html").read_text("utf-8")
    assert page.count("<script>") == page.count("</script>") == 1
    assert "&lt;/script&gt;&lt;script&gt;alert(" in page.replace("<del>", "").replace("</del>", "")


def test_a_row_of_attention_per_token_sums_to_about_one_hundred(report: Path) -> None:
    for one in articles((report / "report.html").read_text("utf-8")):
        src, tgt = (
            re.findall(rf'data-side="{side}">(.*?)</div>', one)[0].count("<span")
            for side in ("src", "tgt")
        )
        rows = re.findall(r'data-weights="(.*?)"', one)[0].split(";")
        assert len(rows) == tgt
        for row in rows:
            values = [int(value) for value in row.split(",")]
            assert len(values) == src
            assert abs(sum(values) - 100) <= src


def test_sentences_with_unknown_words_are_flagged(report: Path) -> None:
    found = articles((report / "report.html").read_text("utf-8"))
    flagged = {
        int(re.findall(r'data-line="(\d+)"', one)[0])
        for one in found
        if "unknown" in re.findall(r'data-flags="(.*?)"', one)[0]
    }
    assert flagged == {4, 5}


def test_of_many_sentences_every_so_many_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_page, "MAX_SENTENCES", 20)
    (tmp_path / "t.de").write_text("".join(f"{'s t ' * (i % 5)}u\n" for i in range(50)))
    (tmp_path / "t.en").write_text("".join(f"a {'b ' * (i % 7)}\n" for i in range(50)))
    test = ("--test-src", tmp_path / "t.de", "--test-tgt", tmp_path / "t.en")
    output_of("eval", "-m", save_toy(tmp_path / "toy"), *test, "--report", tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text("utf-8")
    assert len(articles(page)) == 17
    assert "One in 3 of the 50 sentences, ranked by chrF." in page
