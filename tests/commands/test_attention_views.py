import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.commands import attention_views
from s2s_cli.commands.attention_views import Grid, draw, readable, shade

GRID = Grid(
    1,
    "我爱猫",
    "I love",
    ["我", "爱", "猫", "<eos>"],
    ["I", "love"],
    [[1.0, 0.0, 0.0, 0.0], [0.1, 0.6, 0.3, 0.0]],
)


def test_a_row_per_token_stands_under_its_double_width_columns() -> None:
    assert draw(GRID, 80).split("\n") == [
        "      我 爱 猫 <eos>",
        "I     ██",
        "love  ░░ ▓▓ ░░",
    ]


def test_columns_that_do_not_fit_follow_below() -> None:
    assert draw(GRID, 12).split("\n") == [
        *("      我 爱", "I     ██", "love  ░░ ▓▓", ""),
        *("      猫", "I", "love  ░░", ""),
        *("      <eos>", "I", "love"),
    ]


@pytest.mark.parametrize(
    ("weight", "block"),
    [(0.0, " "), (0.09, " "), (0.11, "░"), (0.4, "▒"), (0.7, "▓"), (0.9, "█"), (1.0, "█")],
)
def test_darker_blocks_stand_for_larger_weights(weight: float, block: str) -> None:
    assert shade(weight) == block


def test_marks_of_spaces_are_left_out() -> None:
    assert readable(["▁￭.", "▁word", "￭", "<eos>"]) == ["▁.", "▁word", "￭", "<eos>"]


def test_attention_is_drawn_between_the_translations(tmp_path: Path) -> None:
    toy, text = save_toy(tmp_path / "toy"), tmp_path / "in.de"
    text.write_text("s t u\n\nv w\n")
    plain = output_of("translate", "-m", toy, text)
    done = s2s("translate", "-m", toy, text, "--attention")
    assert done.stdout == plain
    heads = [line.split() for line in done.stderr.split("\n") if "<eos>" in line]
    assert heads == [["s", "t", "u", "<eos>"], ["v", "w", "<eos>"]]


def test_a_page_and_a_picture_have_all_sentences(tmp_path: Path) -> None:
    toy, text = save_toy(tmp_path / "toy"), tmp_path / "in.de"
    text.write_text("s t u\n\nv <w>&\n")
    for name in ("a.html", "a.svg"):
        output_of("translate", "-m", toy, text, "--attention-file", tmp_path / name)
    page = (tmp_path / "a.html").read_text("utf-8")
    assert re.findall(r'<span class="soft">line (\d)</span>', page) == ["1", "3"]
    assert page.count("data-weights=") == 2
    picture = ElementTree.parse(tmp_path / "a.svg").getroot()
    titles = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert "line 1: s t u" in titles
    assert "line 3: v <w>&" in titles


def test_of_many_sentences_the_first_are_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(attention_views.MAX_SENTENCES, ".html", 2)
    (tmp_path / "in.de").write_text("s\nt\nu\n")
    toy, page = save_toy(tmp_path / "toy"), tmp_path / "a.html"
    done = s2s("translate", "-m", toy, tmp_path / "in.de", "--attention-file", page)
    assert page.read_text("utf-8").count("data-weights=") == 2
    assert "has the first 2 sentences only; left out: 1" in done.stderr


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    toy = save_toy(tmp_path / "toy", context="initial")
    (tmp_path / "in.de").write_text("s\n")
    ask = ("translate", "-m", toy, tmp_path / "in.de")
    assert "this model has no attention" in error_of(*ask, "--attention")
    assert "name a file *.html or *.svg" in error_of(*ask, "--attention-file", tmp_path / "a.png")
    assert "the same file is read by FILE" in error_of(
        "translate", "-m", toy, tmp_path / "in.html", "--attention-file", tmp_path / "in.html"
    )
