import pytest

from s2s_cli.pages.marking import Span, mark_differences


def test_words_that_both_texts_have_in_order_are_not_marked() -> None:
    reference, translation = mark_differences("I like the cat.", "I love a cat!")
    assert reference == [
        *(Span("I ", False), Span("like", True), Span(" ", False), Span("the", True)),
        *(Span(" cat", False), Span(".", True)),
    ]
    assert translation == [
        *(Span("I ", False), Span("love", True), Span(" ", False), Span("a", True)),
        *(Span(" cat", False), Span("!", True)),
    ]


def test_chinese_is_compared_by_character() -> None:
    reference, translation = mark_differences("我喜欢猫。", "我爱猫。")
    assert [span.text for span in reference if span.is_different] == ["喜欢"]
    assert [span.text for span in translation if span.is_different] == ["爱"]


@pytest.mark.parametrize(
    ("reference", "translation"),
    [("", ""), ("a", ""), ("", "a b"), ("a  b\tc", "c b a"), ("1<2 & 3", "2 > 1 😀")],
)
def test_spans_joined_give_the_texts(reference: str, translation: str) -> None:
    for text, spans in zip(
        (reference, translation), mark_differences(reference, translation), strict=True
    ):
        assert "".join(span.text for span in spans) == text


def test_case_may_be_ignored() -> None:
    spans = mark_differences("A Cat", "a cat", ignores_case=True)
    assert not any(span.is_different for side in spans for span in side)
    assert "".join(span.text for span in spans[1]) == "a cat"
