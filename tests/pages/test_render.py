import pytest
from jinja2 import UndefinedError

from s2s_cli.pages.render import render


def test_text_cannot_format_the_page_or_run() -> None:
    page = render("base.html", title="<script>alert(1)</script> & \u202e\x07")
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; \\u202e\\x07" in page


def test_a_page_asks_nothing_of_the_network() -> None:
    page = render("base.html", title="t")
    assert "http" not in page
    assert "src=" not in page


def test_a_variable_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("base.html")
