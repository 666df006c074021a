import pytest

from s2s_cli.data.resampling import Resampling
from s2s_cli.data.tokenized import TokenizedCorpus, encode_corpus, segment_corpus
from s2s_cli.sources import Direction
from s2s_cli.text.subword import Subwords, train_subwords
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.text.vocabulary import Vocabulary

LINES = [
    ["the", "lowest", "tower", "is", "lower"],
    ["a", "newer", "wider", "window"],
    ["lowest"],
] * 4
WORDS = TokenizedCorpus([["x"] * len(line) for line in LINES], LINES)
X = Vocabulary(["x"], [1])


def vocabulary_of(subwords: Subwords) -> Vocabulary:
    return Vocabulary(subwords.pieces, [1] * len(subwords.pieces))


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def subwords(request: pytest.FixtureRequest) -> Subwords:
    return train_subwords(str(request.param), LINES, 60, 1.0)


def make(subwords: Subwords, seed: int = 1, max_length: int = 100) -> Resampling:
    sampler = SubwordSampler(subwords, 0.3)
    return Resampling((None, sampler), (X, vocabulary_of(subwords)), seed, max_length)


def test_epochs_see_other_pieces_of_the_same_words(subwords: Subwords) -> None:
    tokens = segment_corpus(WORDS, (None, subwords))
    resampling, vocabulary = make(subwords), vocabulary_of(subwords)
    epochs = [resampling.pairs(tokens, epoch) for epoch in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    for pairs in epochs:
        for (src, tgt), words in zip(pairs, LINES, strict=True):
            assert src == X.encode(["x"] * len(words))
            assert subwords.join(vocabulary.decode(tgt)) == words


def test_an_epochs_pieces_follow_from_seed_epoch_and_index(subwords: Subwords) -> None:
    tokens = segment_corpus(WORDS, (None, subwords))
    resampling = make(subwords)
    third = resampling.pairs(tokens, 2)
    assert make(subwords).pairs(tokens, 2) == third  # whatever came before
    assert make(subwords, seed=2).pairs(tokens, 2) != third
    twins = [tgt for (_, tgt), words in zip(third, LINES, strict=True) if words == LINES[0]]
    assert len(set(map(tuple, twins))) > 1  # equal sentences of one epoch are drawn apart


def test_no_draw_is_longer_than_pairs_may_be(subwords: Subwords) -> None:
    tokens = segment_corpus(WORDS, (None, subwords))
    longest = max(map(len, tokens.tgt))
    short = make(subwords, max_length=longest)
    likeliest = encode_corpus(tokens, X, vocabulary_of(subwords)).pairs
    free = make(subwords).pairs(tokens, 0)
    for kept, drawn, usual in zip(short.pairs(tokens, 0), free, likeliest, strict=True):
        assert kept == (drawn if len(drawn[1]) <= longest else usual)
    assert max(len(tgt) for _, tgt in free) > longest


def test_every_epochs_sources_begin_with_their_tags(subwords: Subwords) -> None:
    tagged = Vocabulary(subwords.pieces, [1] * len(subwords.pieces), ["<2en>", "<2fr>"])
    directions = [Direction("de", lang) for lang in ("fr", "en")] * 6
    words = TokenizedCorpus(LINES, [["x"] * len(line) for line in LINES], directions)
    tokens = segment_corpus(words, (subwords, None))
    resampling = Resampling((SubwordSampler(subwords, 0.3), None), (tagged, X), 1, 100)
    for pairs in (resampling.pairs(tokens, 0), encode_corpus(tokens, tagged, X).pairs):
        assert [src[0] for src, _ in pairs] == [5, 4] * 6
        for (src, _), line in zip(pairs, LINES, strict=True):
            assert subwords.join(tagged.decode(src[1:])) == line
