from collections import Counter

import numpy as np
import pytest
from corpora import learn_subwords

from s2s_cli.config import Config, Text
from s2s_cli.data.dataset import EncodedPair
from s2s_cli.data.resampling import ResampledPairs, Resampling
from s2s_cli.run import Vocabularies, VocabularyCard
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.text.subwords import Subwords
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary
from s2s_cli.training.training_data import make_resampling

LINES = [
    ["the", "lowest", "tower", "is", "lower"],
    ["a", "newer", "wider", "window"],
    ["lowest"],
] * 4
X = Vocabulary(["x"], [1])


def vocabulary_of(subwords: Subwords) -> Vocabulary:
    return Vocabulary(subwords.pieces, [1] * len(subwords.pieces))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def subwords(request: pytest.FixtureRequest) -> Subwords:
    return learn_subwords(str(request.param), LINES, 60, 1.0)


def make(subwords: Subwords, seed: int = 1, max_length: int = 100) -> Resampling:
    sampler = SubwordSampler(subwords, 0.3)
    return Resampling((None, sampler), (X, vocabulary_of(subwords)), seed, max_length)


def most_likely(subwords: Subwords) -> list[EncodedPair]:
    vocabulary = vocabulary_of(subwords)
    return [
        (X.encode(["x"] * len(words)), vocabulary.encode(subwords.segment(words)))
        for words in LINES
    ]


def draw_epoch(
    subwords: Subwords, epoch: int, seed: int = 1, max_length: int = 100
) -> list[tuple[list[int], list[int]]]:
    """Draw all pairs of an epoch."""
    resampling = make(subwords, seed, max_length)
    pairs = ResampledPairs(most_likely(subwords), resampling, epoch)
    return [(list(src), list(tgt)) for src, tgt in (pairs[i] for i in range(len(pairs)))]


def test_epochs_have_different_pieces_of_the_same_words(subwords: Subwords) -> None:
    vocabulary = vocabulary_of(subwords)
    epochs = [draw_epoch(subwords, epoch) for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for pairs in epochs:
        for (src, tgt), words in zip(pairs, LINES, strict=True):
            assert src == X.encode(["x"] * len(words))
            assert subwords.join(vocabulary.decode(tgt)) == words


def test_the_pieces_of_a_pair_depend_only_on_seed_epoch_and_index(subwords: Subwords) -> None:
    third = draw_epoch(subwords, 2)
    pairs = ResampledPairs(most_likely(subwords), make(subwords), 2)
    for index in (7, 0, 7):  # in any order, any number of times
        src, tgt = pairs[index]
        assert (list(src), list(tgt)) == third[index]
    assert draw_epoch(subwords, 2, seed=2) != third
    twins = [tgt for (_, tgt), words in zip(third, LINES, strict=True) if words == LINES[0]]
    assert len(set(map(tuple, twins))) > 1  # equal sentences of an epoch are drawn independently


def test_lengths_are_those_of_the_most_likely_pieces(subwords: Subwords) -> None:
    known = most_likely(subwords)
    lengths = ResampledPairs(known, make(subwords), 0).lengths
    assert lengths.tolist() == [[len(src), len(tgt)] for src, tgt in known]


def test_no_draw_is_longer_than_the_maximum_length(subwords: Subwords) -> None:
    usual = most_likely(subwords)
    longest = max(len(tgt) for _, tgt in usual)
    free = draw_epoch(subwords, 0)
    for kept, drawn, known in zip(
        draw_epoch(subwords, 0, max_length=longest), free, usual, strict=True
    ):
        assert kept == (drawn if len(drawn[1]) <= longest else known)
    assert max(len(tgt) for _, tgt in free) > longest


def test_arrays_are_drawn_like_lists(subwords: Subwords) -> None:
    resampling = make(subwords)
    for index, (src, tgt) in enumerate(most_likely(subwords)):
        arrays = np.array(src, np.uint16), np.array(tgt, np.uint16)
        one, other = resampling.draw((src, tgt), 0, index), resampling.draw(arrays, 0, index)
        assert list(map(list, one)) == list(map(list, other))


def test_unknown_pieces_keep_their_places(subwords: Subwords) -> None:
    vocabulary = vocabulary_of(subwords)
    known = vocabulary.encode(subwords.segment(["lowest"]))
    resampling = make(subwords)
    for epoch in range(20):
        _, drawn = resampling.draw(([4], [*known, UNK_ID, *known, UNK_ID]), epoch, 0)
        first, second = (at for at, token_id in enumerate(drawn) if token_id == UNK_ID)
        assert second == len(drawn) - 1
        for part in (drawn[:first], drawn[first + 1 : second]):
            assert subwords.join(vocabulary.decode(part)) == ["lowest"]


def test_sources_keep_their_tags_in_every_epoch(subwords: Subwords) -> None:
    tagged = Vocabulary(subwords.pieces, [1] * len(subwords.pieces), ["<2en>", "<2fr>"])
    usual = [
        (tagged.encode_tag(lang) + tagged.encode(subwords.segment(words)), X.encode(["x"]))
        for words, lang in zip(LINES, ["fr", "en"] * 6, strict=True)
    ]
    resampling = Resampling((SubwordSampler(subwords, 0.3), None), (tagged, X), 1, 100)
    drawn = [resampling.draw(pair, 0, index) for index, pair in enumerate(usual)]
    for pairs in (drawn, usual):
        assert [src[0] for src, _ in pairs] == [5, 4] * 6
        for (src, _), line in zip(pairs, LINES, strict=True):
            assert subwords.join(tagged.decode(src[1:])) == line


def test_each_side_is_sampled_according_to_its_key(subwords: Subwords) -> None:
    vocabulary = Vocabulary.build(Counter(subwords.pieces), 100, min_freq=0)
    card = VocabularyCard.model_construct()
    both = Vocabularies(vocabulary, vocabulary, card, (subwords, subwords))
    for wanted, keys in (
        ((True, True), {"subword_sampling": 0.1}),
        ((True, False), {"subword_sampling": 0.1, "tgt_subword_sampling": 0}),
        ((False, True), {"tgt_subword_sampling": 0.1}),
    ):
        text = Text.model_validate({"src_subword": "bpe", "tgt_subword": "bpe", **keys})
        resampling = make_resampling(Config(text=text), both)
        assert resampling is not None
        assert tuple(sampler is not None for sampler in resampling.samplers) == wanted
    assert make_resampling(Config(), both) is None
