from s2s_cli.data.corpus import Corpus
from s2s_cli.data.tokenized import count_tokens, encode_corpus, lengths_of, tokenize_corpus
from s2s_cli.text.tokenizer import make_tokenizer
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

SPACE = make_tokenizer("space", "en", lowercase=False)


def test_long_pairs_are_left_out_and_counted() -> None:
    corpus = Corpus("c", ["a b", "a b c", "a"], ["x", "x", "x y z"], 0, {})
    vocabulary = Vocabulary(["a", "b", "x"], [3, 2, 3])
    encoded = encode_corpus(tokenize_corpus(corpus, SPACE, SPACE), vocabulary, vocabulary, 2)
    assert encoded.pairs == [([4, 5], [6])]
    assert encoded.num_too_long == 2


def test_unknown_tokens_are_kept_as_unknown() -> None:
    corpus = Corpus("c", ["a new"], ["x"], 0, {})
    tokens = tokenize_corpus(corpus, SPACE, SPACE)
    assert tokens.count_src() == {"a": 1, "new": 1}
    vocabulary = Vocabulary(["a", "x"], [1, 1])
    assert encode_corpus(tokens, vocabulary, vocabulary).pairs == [([4, UNK_ID], [5])]


def test_tokens_and_lines_are_counted() -> None:
    corpus = Corpus("c", ["a b", "a"], ["x", "x y"], 0, {})
    counts = count_tokens(tokenize_corpus(corpus, SPACE, SPACE))
    assert counts == (2, (3, 3), {"a": 2, "b": 1}, {"x": 2, "y": 1})


def test_lengths_are_counted_where_they_are_not_known() -> None:
    assert lengths_of([([4, 5], [6]), ([], [4, 4, 4])]).tolist() == [[2, 1], [0, 3]]
    assert lengths_of([]).shape == (0, 2)
