from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.spacing import (
    ESCAPE,
    JOIN,
    PIECE_SPACE,
    SPACE,
    always,
    by_script,
    join_tokens,
    locate_characters,
    mark_tokens,
    never,
)


def mark(*parts: str) -> str:
    """The tokens of a text that is given in parts, spaces among them, joined by spaces."""
    spans, place = [], 0
    for part in parts:
        if part != " ":
            spans.append((place, place + len(part)))
        place += len(part)
    return " ".join(mark_tokens("".join(parts), spans, by_script))


def test_words_need_no_marks_and_punctuation_carries_them() -> None:
    assert mark("It", "’", "s", " ", "10", ":", "30", ".") == "It ￭’￭ s 10 ￭:￭ 30 ￭."
    assert mark("R", "&", "B", ",", " ", "a") == "R ￭&￭ B ￭, a"
    assert mark("(", '"', "x", '"', ")") == '(￭ "￭ x ￭" ￭)'
    assert mark("don", "'t") == "don ￭'t"
    assert mark("L'", "homme") == "L'￭ homme"
    assert mark("5.5", "GB") == "5.5￭ GB"


def test_scripts_without_spaces_need_a_mark_where_there_is_one() -> None:
    assert mark("我", "爱", "你", "。") == "我 爱 你 。"
    assert mark("小时", " ", "-", " ", "3", "小时") == "小时 ␣- 3 小时"
    assert mark("我", " ", "love", "你") == "我 ␣love 你"
    assert mark("好", " ", "谢谢") == "好 ␣谢谢"
    assert mark("ฉัน", "รัก", " ", "แมว") == "ฉัน รัก ␣แมว"


def test_joining_follows_the_default_and_the_marks() -> None:
    assert join_tokens(["It", "￭’￭", "s", "on", "￭."], by_script) == "It’s on."
    assert join_tokens(["我", "爱", "New", "York", "，", "好"], by_script) == "我爱New York，好"
    assert join_tokens(["我", "␣love", "你"], by_script) == "我 love你"
    assert join_tokens(["a", "我"], always) == "a 我"
    assert join_tokens(["a", "b", "␣c"], never) == "ab c"


def test_marks_that_only_a_model_writes_mean_something() -> None:
    assert join_tokens(["a", "￭", "b"], by_script) == "ab"
    assert join_tokens(["a￭", "␣b"], by_script) == "ab"
    assert join_tokens(["￭a￭"], by_script) == "a"
    assert join_tokens(["a￭b␣c"], by_script) == "ab c"
    assert join_tokens(["我", "￭好"], by_script) == "我好"
    assert join_tokens(["x" + ESCAPE, "y"], by_script) == "x y"
    assert join_tokens([], by_script) == ""


def test_marks_in_the_text_are_escaped() -> None:
    text = f"{JOIN}{SPACE}{PIECE_SPACE}{ESCAPE}j"
    assert mark_tokens(text, [(0, len(text))], by_script) == ["␛j␛s␛u␛ej"]
    assert join_tokens(["␛j␛s␛u␛ej"], by_script) == text


def test_no_mark_survives_whatever_the_tokens() -> None:
    marks = [JOIN, SPACE, PIECE_SPACE]

    @given(st.lists(st.text(st.sampled_from([*marks, ESCAPE, "a", "我", ".", "q"]), min_size=1)))
    def check(tokens: list[str]) -> None:
        for default in (always, never, by_script):
            text = join_tokens(tokens, default)
            assert not any(mark in text for mark in marks)

    check()


def test_characters_of_a_token_are_located_in_the_text() -> None:
    assert list(locate_characters("￭abc", (5, 8))) == [5, 5, 6, 7]
    assert list(locate_characters("a␛jb␣", (2, 5))) == [2, 3, 3, 4, 5]
