from collections import Counter

import pytest

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.tokenizer import make_tokenizer
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID, UNK_ID, Vocabulary


def test_the_tutorials_own_vocabulary_comes_out_as_it_prints_it() -> None:
    # The tutorial prints <unk> <pad> <sos> <eos> = 0..3, i: 4, like: 5, learning: 6, machine: 7,
    # is: 8, very: 9, interesting: 10, in the order of first occurrence; ours is by frequency.
    sentences = [
        "i like learning machine learning",
        "i like machine learning",
        "machine learning is very interesting",
    ]
    tokenizer = make_tokenizer("space", "en", lowercase=True)
    counts = Counter(token for line in sentences for token in tokenizer.tokenize(line))
    vocabulary = Vocabulary.build(counts, max_size=10_000, min_freq=1)
    expected = [
        *("<unk>", "<pad>", "<sos>", "<eos>"),
        *("learning", "machine", "i", "like", "interesting", "is", "very"),
    ]
    assert list(vocabulary.tokens) == expected
    printed = Vocabulary.from_tsv(
        "<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\ni\t7\nlike\t6\nlearning\t5\nmachine\t4\n"
        "is\t3\nvery\t2\ninteresting\t1\n",
        "seed.tsv",
    )
    in_order = ["i", "like", "learning", "machine", "is", "very", "interesting"]
    assert printed.encode(in_order) == [*range(4, 11)]


def test_the_markers_are_ids_0_to_3() -> None:
    assert (UNK_ID, PAD_ID, BOS_ID, EOS_ID) == (0, 1, 2, 3)
    assert Vocabulary([], []).tokens == ("<unk>", "<pad>", "<sos>", "<eos>")


def test_max_size_counts_the_markers_and_ids_have_no_holes() -> None:
    counts = Counter({"a": 5, "b": 4, "rare": 1, "c": 3, "d": 2})
    vocabulary = Vocabulary.build(counts, max_size=7, min_freq=2)
    assert vocabulary.tokens[4:] == ("a", "b", "c")
    assert vocabulary.encode(["a", "b", "c", "d", "rare"]) == [4, 5, 6, UNK_ID, UNK_ID]


def test_ties_are_broken_by_code_point_whatever_the_order_of_counting() -> None:
    forward = Vocabulary.build(Counter(["b", "a", "中", "A"]), 100, 1)
    backward = Vocabulary.build(Counter(["A", "中", "a", "b"]), 100, 1)
    assert forward.tokens == backward.tokens == (*Vocabulary([], []).tokens, "A", "a", "b", "中")


def test_marker_spellings_in_text_are_unknown_text_never_control() -> None:
    counts = Counter(["<eos>", "<eos>", "<pad>", "<unk>", "word"])
    vocabulary = Vocabulary.build(counts, 100, 1)
    assert vocabulary.tokens[4:] == ("word",)
    assert vocabulary.encode(["<eos>", "<pad>", "<sos>"]) == [UNK_ID] * 3
    assert "<eos>" not in vocabulary


def test_coverage_is_the_share_of_running_tokens() -> None:
    vocabulary = Vocabulary(["a", "b"], [2, 1])
    assert vocabulary.coverage(Counter({"a": 3, "x": 1})) == 0.75
    assert vocabulary.coverage(Counter()) == 0.0


def test_a_vocabulary_survives_its_file() -> None:
    vocabulary = Vocabulary(["a", "中文", '"'], [9, 3, 2])
    text = vocabulary.to_tsv()
    assert text.splitlines()[:5] == ["<unk>\t0", "<pad>\t0", "<sos>\t0", "<eos>\t0", "a\t9"]
    assert Vocabulary.from_tsv(text, "v.tsv") == vocabulary


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\na\n", "v.tsv:5: expected `token TAB count`"),
        ("<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\na\tmany\n", "v.tsv:5"),
        ("a\t1\nb\t1\n", "the first four tokens"),
        ("<unk>\t0\n<pad>\t0\n<sos>\t0\n<eos>\t0\na\t1\na\t1\n", "'a' occurs twice"),
        ("", "v.tsv:1"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(DataError) as caught:
        Vocabulary.from_tsv(text, "v.tsv")
    assert place in str(caught.value)


TAGS = ("<2de>", "<2zh_TW>")


def test_tags_stand_behind_the_markers_and_count_as_entries() -> None:
    counts = Counter({"a": 3, "b": 2, "<2de>": 9, "c": 1})
    vocabulary = Vocabulary.build(counts, max_size=8, min_freq=1, tags=TAGS)
    assert vocabulary.tokens[4:] == ("<2de>", "<2zh_TW>", "a", "b")
    assert vocabulary.counts[4:] == (0, 0, 3, 2)
    assert vocabulary.encode_tag("zh_TW") == [5]
    assert vocabulary.decode([5, 6]) == ["<2zh_TW>", "a"]
    with pytest.raises(ConfigError, match="fr: the vocabulary has no tag for this language"):
        vocabulary.encode_tag("fr")


def test_a_tags_spelling_in_text_is_unknown() -> None:
    vocabulary = Vocabulary(["a"], [1], TAGS)
    assert vocabulary.encode(["<2de>", "a", "<2zh_TW>"]) == [UNK_ID, 6, UNK_ID]
    assert "<2de>" not in vocabulary


def test_tags_are_read_back_as_tags_and_text_as_text() -> None:
    tagged = Vocabulary(["a", "<2fr>"], [3, 2], TAGS)
    assert Vocabulary.from_tsv(tagged.to_tsv(), "v.tsv") == tagged
    assert Vocabulary.from_tsv(tagged.to_tsv(), "v.tsv").tags == TAGS
    plain = Vocabulary(["<2fr>", "a"], [3, 2])
    assert Vocabulary.from_tsv(plain.to_tsv(), "v.tsv") == plain
    assert plain.encode_tag("fr") == []
    with pytest.raises(DataError, match="'<2de>' occurs twice"):
        Vocabulary.from_tsv(Vocabulary(["a"], [1], ("<2de>", "<2de>")).to_tsv(), "v.tsv")
