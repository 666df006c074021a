from s2s_cli.decoding.unknown_words import (
    align_words,
    format_pharaoh,
    number_words,
)
from s2s_cli.text.subwords import train_subwords
from s2s_cli.text.tokenizer import make_tokenizer

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
    subwords = train_subwords("bpe", [["low", "lower", "lowest"]] * 9, 20, 1.0)
    tokenizer = make_tokenizer("space", "en", False, subwords)
    words = ["lowest", "w", "owl"]
    pieces = tokenizer.tokenize(" ".join(words))
    numbers = number_words(pieces, tokenizer)
    for number, word in enumerate(words):
        parts = [piece for piece, own in zip(pieces, numbers, strict=True) if own == number]
        assert subwords.join(parts) == [word]
    assert align_words([0, 0, 1], [0, 1, 1], WEIGHTS) == [(0, 1), (1, 0)]


def test_without_a_word_tokeniser_each_piece_of_chinese_is_a_word() -> None:
    subwords = train_subwords("bpe", [["我爱北京"], ["北京很大"], ["他爱北京"]] * 9, 16, 1.0)
    pieces = make_tokenizer("none", "zh", False, subwords).tokenize("我爱北京")
    assert len(pieces) > 1
    for lang in ("zh", "zh-TW", "ja"):
        tokenizer = make_tokenizer("none", lang, False, subwords)
        assert number_words(pieces, tokenizer) == list(range(len(pieces)))
    spaced = make_tokenizer("none", "de", False, subwords)
    assert number_words(pieces, spaced) == [0] * len(pieces)
    cut = make_tokenizer("jieba", "zh", False, subwords)
    assert number_words(["\u2581北", "京", "\u2581大"], cut) == [0, 0, 1]
