import pytest

from s2s_cli.decoding.unknown_words import (
    find_entries,
    find_source_words,
    find_word_spans,
    most_attended_word,
)
from s2s_cli.text.subwords import train_subwords
from s2s_cli.text.tokenizer import Tokenizer, make_tokenizer


def words_of(tokenizer: Tokenizer, sentence: str) -> list[str]:
    located = tokenizer.locate(sentence)
    return [located.original(span) for span in find_word_spans(tokenizer, located)]


@pytest.mark.parametrize(
    ("lang", "sentence", "words"),
    [
        ("de", "Herr O'Neill kommt.", ["Herr", *["O'Neill"] * 3, "kommt", "."]),
        ("fr", "l'homme dort", ["l'", "homme", "dort"]),
        ("en", "I don't", ["I", "don", "'t"]),
        ("en", "AT&T, 10:30!", [*["AT&T"] * 3, ",", *["10:30"] * 3, "!"]),
        ("en", "see http://a.com/b?c=1.", ["see", *["http://a.com/b?c=1"] * 11, "."]),
        ("en", "C++ or C#, 5°C", [*["C++"] * 3, "or", *["C#"] * 2, ",", *["5°C"] * 3]),
        ("en", "a,b www.a.com/b?c=1", ["a", ",", "b", *["www.a.com/b?c=1"] * 7]),
        ("zh", "我爱O'Neill的T恤", ["我", "爱", *["O'Neill"] * 3, "的", "T恤"]),
    ],
)
def test_a_word_is_what_a_reader_sees_as_one(lang: str, sentence: str, words: list[str]) -> None:
    tokenizer = make_tokenizer("auto", lang, lowercase=False)
    assert words_of(tokenizer, sentence) == words


@pytest.mark.fault("F2")
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize(
    ("name", "lang", "sentence", "words"),
    [
        ("moses", "de", "Kalomiren wohnt in Tosbur.", {"Kalomiren", "wohnt", "in", "Tosbur", "."}),
        ("none", "de", "Kalomiren, in Tosbur.", {"Kalomiren", ",", "in", "Tosbur", "."}),
        ("none", "zh", "我爱Kalomiren。", {"我", "爱", "我爱", "Kalomiren", "。"}),
        ("char", "zh", "我爱Kalomiren。", {"我", "爱", "Kalomiren", "。"}),
    ],
)
def test_pieces_stand_for_the_whole_word_in_the_case_of_the_text(
    name: str, lang: str, sentence: str, words: set[str], kind: str
) -> None:
    letters = [[*"abcdefghijklmnopqrstuvwxyz我爱。.,"], ["in", "wo", "lo"]]
    subwords = train_subwords(kind, letters * 9, 60, 1.0)
    tokenizer = make_tokenizer(name, lang, True, None if name == "char" else subwords)
    found = words_of(tokenizer, sentence)
    assert len(found) == len(tokenizer.tokenize(sentence))
    assert {*found} <= words
    assert "Kalomiren" in found


def replace(tokenizer: Tokenizer, sentence: str, weights: list[float], **entries: str) -> tuple:
    """What replaces an unknown token with this attention, and the entry used."""
    words = find_source_words(tokenizer, sentence, len(weights), entries)
    return most_attended_word(words, weights)[1:]


def test_attention_on_all_pieces_of_a_word_counts_together() -> None:
    subwords = train_subwords("bpe", [[*"abcdefghij"]] * 9, 30, 1.0)
    tokenizer = make_tokenizer("space", "en", False, subwords)
    assert tokenizer.tokenize("abc de") == ["▁a", "b", "c", "▁d", "e"]
    spread, at_end = [0.15, 0.15, 0.2, 0.3, 0.1], [0.0, 0.0, 0.0, 0.0, 0.1]
    assert replace(tokenizer, "abc de", spread) == ("abc", None)
    assert replace(tokenizer, "abc de", at_end) == ("de", None)
    assert replace(tokenizer, "abc de", spread, abc="x y") == ("x y", "abc")
    assert replace(tokenizer, "abc de", at_end, abc="x y") == ("de", None)


def test_of_a_truncated_sentence_only_what_was_read_counts() -> None:
    tokenizer = make_tokenizer("space", "en", lowercase=False)
    words = find_source_words(tokenizer, "a b c", 2, {})
    assert most_attended_word(words, [0.1, 0.2, 0.7]).replacement == "b"


def test_of_entries_that_overlap_the_longest_counts_and_of_equals_the_first() -> None:
    entries = dict.fromkeys(("ab", "bcd", "de", "x"), "")
    assert find_entries(["a", "b", "c", "d", "e", "f"], entries) == [
        *("ab", "bcd", "bcd", "bcd", "de", ""),
    ]
    assert find_entries(["a", "b"], dict.fromkeys(("a", "ab"), "")) == ["ab", "ab"]
    assert find_entries(["b", "ab"], dict.fromkeys(("ba", "ab"), "")) == ["", "ab"]
    assert find_entries(["a", "b"], {}) == ["", ""]
