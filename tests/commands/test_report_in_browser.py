"""The pages in a real browser: Debian's chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from toys import output_of, save_toy

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if CHROMIUM is None:
    pytest.skip("no chromium; Debian's package has it", allow_module_level=True)

SOURCES = ["我 喜欢 猫", "你 好", "我 我 我 我", "喜欢 猫 好 你 我 他"]
REFERENCES = ["I like cats .", "hello .", "me", "you and him"]


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(
    browser: "sync_api.Browser", tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator["sync_api.Page"]:
    """The report on a toy model; the parameter is the width of the window."""
    for name, lines in (("t.de", SOURCES), ("t.en", REFERENCES)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    model = save_toy(tmp_path / "toy", src="我你喜欢猫好")
    test = ("--test-src", tmp_path / "t.de", "--test-tgt", tmp_path / "t.en")
    output_of("eval", "-m", model, *test, "--report", tmp_path / "report")
    context = browser.new_context(
        viewport={"width": getattr(request, "param", 1200), "height": 900}, offline=True
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "report/report.html").as_uri())
    yield page
    context.close()
    assert problems == []


def lines_of(page: "sync_api.Page") -> list[str | None]:
    """Numbers of the lines that are shown, in order."""
    shown = page.locator("article:visible").all()
    return [article.get_attribute("data-line") for article in shown]


@pytest.mark.parametrize("page", [390, 1200], indirect=True)
def test_the_page_is_as_wide_as_the_window(page: "sync_api.Page") -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("article").count() == 4
    assert page.get_by_text("我 喜欢 猫").first.is_visible()


def test_sentences_are_sorted_filtered_and_found(page: "sync_api.Page") -> None:
    page.locator("#order").select_option("line")
    assert lines_of(page) == ["1", "2", "3", "4"]
    page.locator("#order").select_option("longest")
    assert lines_of(page)[0] == "4"
    page.locator("#order").select_option("worst")
    worst = lines_of(page)
    page.locator("#order").select_option("best")
    scores = [
        float(str(article.get_attribute("data-chrf"))) for article in page.locator("article").all()
    ]
    assert scores == sorted(scores, reverse=True)
    page.locator("#search").fill("HELLO")
    assert lines_of(page) == ["2"]
    assert page.locator("#count").inner_text() == "1 of 4 sentences"
    page.locator("#search").fill("")
    assert sorted(lines_of(page)) == sorted(worst)
    page.get_by_label("unknown words").check()
    assert set(lines_of(page)) == {"1", "4"}


def test_a_word_shows_what_it_looked_at(page: "sync_api.Page") -> None:
    article = page.locator("article").first
    article.locator("summary").click()
    token = article.locator("[data-side=tgt] > span").first
    sources = article.locator("[data-side=src] > span")

    def shades() -> list[str]:
        return [str(one.evaluate("e => e.style.background")) for one in sources.all()]

    assert set(shades()) == {""}
    token.hover()
    weights = str(article.locator("details").get_attribute("data-weights")).split(";")[0]
    expected = [int(weight) > 0 for weight in weights.split(",")]
    assert [bool(shade) for shade in shades()] == expected
    page.mouse.move(0, 0)
    assert set(shades()) == {""}
    token.focus()
    assert [bool(shade) for shade in shades()] == expected


def test_a_heat_map_is_drawn_on_demand(page: "sync_api.Page") -> None:
    article = page.locator("article").first
    article.locator("summary").click()
    button = article.get_by_role("button", name="heat map")
    button.click()
    rows = article.locator(".heat tr")
    weights = str(article.locator("details").get_attribute("data-weights")).split(";")
    assert rows.count() == len(weights) + 1
    shown = [cell.inner_text() for cell in rows.nth(1).locator("td").all()]
    assert shown == weights[0].split(",")
    button.click()
    assert article.locator(".heat").count() == 0
