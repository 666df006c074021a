import pytest
from corpora import learn_subwords

from s2s_cli.decoding.unknown_words import (
    align_words,
    find_entries,
    find_source_words,
    find_word_spans,
    format_pharaoh,
    most_attended_word,
    number_words,
)
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
    subwords = learn_subwords(kind, letters * 9, 60, 1.0)
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
    subwords = learn_subwords("bpe", [[*"abcdefghij"]] * 9, 30, 1.0)
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


WEIGHTS = [
    [0.1, 0.2, 0.3, 0.4],  # the last column is eos, which is not linked
    [0.7, 0.1, 0.1, 0.1],
    [0.3, 0.3, 0.2, 0.2],
]


def test_each_word_is_linked_to_the_first_of_those_it_attends_to_most() -> None:
    links = align_words([0, 1, 2], [0, 1, 2], WEIGHTS)
    assert links == [(0, 1), (0, 2), (2, 0)]
    assert format_pharaoh(links) == "0-1 0-2 2-0"


def test_the_targets_eos_is_linked_to_nothing() -> None:
    assert align_words([0, 1, 2], [0], WEIGHTS) == [(2, 0)]
    assert format_pharaoh(align_words([0, 1, 2], [], [])) == ""


def test_without_subwords_each_token_is_a_word() -> None:
    tokenizer = make_tokenizer("space", "en", lowercase=False)
    assert number_words(["\u2581a", "b", "\u2581"], tokenizer) == [0, 1, 2]


def test_pieces_of_a_word_share_its_number_and_its_link() -> None:
    subwords = learn_subwords("bpe", [["low", "lower", "lowest"]] * 9, 20, 1.0)
    tokenizer = make_tokenizer("space", "en", False, subwords)
    words = ["lowest", "w", "owl"]
    pieces = tokenizer.tokenize(" ".join(words))
    numbers = number_words(pieces, tokenizer)
    for number, word in enumerate(words):
        parts = [piece for piece, own in zip(pieces, numbers, strict=True) if own == number]
        assert subwords.join(parts) == [word]
    assert align_words([0, 0, 1], [0, 1, 1], WEIGHTS) == [(0, 1), (1, 0)]


def test_without_a_word_tokeniser_each_piece_of_chinese_is_a_word() -> None:
    subwords = learn_subwords("bpe", [["我爱北京"], ["北京很大"], ["他爱北京"]] * 9, 16, 1.0)
    pieces = make_tokenizer("none", "zh", False, subwords).tokenize("我爱北京")
    assert len(pieces) > 1
    for lang in ("zh", "zh-TW", "ja"):
        tokenizer = make_tokenizer("none", lang, False, subwords)
        assert number_words(pieces, tokenizer) == list(range(len(pieces)))
    spaced = make_tokenizer("none", "de", False, subwords)
    assert number_words(pieces, spaced) == [0] * len(pieces)
    cut = make_tokenizer("jieba", "zh", False, subwords)
    assert number_words(["\u2581北", "京", "\u2581大"], cut) == [0, 0, 1]
