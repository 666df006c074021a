from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from corpora import cut_on_disk, load_training, tokenize_on_disk

from s2s_cli.config import Config, Data, Text, Vocab
from s2s_cli.data.corpus import Corpus, join_corpora
from s2s_cli.data.tokenized import TokenCounts, TokenizedCorpus, segment_corpus, tokenize_corpus
from s2s_cli.errors import ConfigError
from s2s_cli.preparation.subwords import draw_evenly, learn_subwords
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.text.tokenizer import make_tokenizers
from s2s_cli.text.vocabulary import MARKERS
from s2s_cli.vocabularies import (
    build_vocabularies,
    check_vocabularies,
    describe_vocabularies,
    measure_coverage,
    tokenize_corpora,
)

CORPUS = join_corpora(load_training(Data.model_validate({"train": {"phrasebook": "valid"}}))[0])
HASHES = list(CORPUS.origin.values())


def configure(text: dict[str, object], **vocab: object) -> Config:
    sections = {"text": Text.model_validate(text), "vocab": Vocab.model_validate(vocab)}
    return Config.model_validate(sections)


def build(
    config: Config, corpus: Corpus = CORPUS
) -> tuple[Vocabularies, TokenizedCorpus, TokenCounts]:
    with TemporaryDirectory() as name:
        words = tokenize_on_disk(Path(name), config, [corpus])
        subwords = learn_subwords(config, words, print)
        counts = cut_on_disk(Path(name), words, subwords).count(words)
    found = build_vocabularies(config, counts, subwords, corpus.origin.values(), corpus.name)
    return (
        found,
        tokenize_corpus(corpus, *make_tokenizers(config.text, config.data.languages)),
        counts,
    )


BOTH = {"src_subword": "bpe", "tgt_subword": "bpe"}


@pytest.mark.parametrize("kind", ["none", "bpe", "unigram"])
def test_a_shared_vocabulary_is_one_of_both_texts(kind: str) -> None:
    text = {"src_subword": kind, "tgt_subword": kind}
    found, words, _ = build(configure(text, shared=True, max_size=1_200, min_freq=1))
    assert found.src == found.tgt
    assert found.subwords[0] == found.subwords[1]
    tokens = segment_corpus(words, found.subwords)
    assert found.src.counts[4:] == tuple(sorted(found.src.counts[4:], reverse=True))
    for count, token in list(zip(found.src.counts, found.src.tokens, strict=True))[4:100]:
        assert count == tokens.count_src()[token] + tokens.count_tgt()[token]
    assert {"我", "▁我"} & {*found.src.tokens}
    assert {"I", "▁I"} & {*found.src.tokens}


def test_pieces_are_all_kept_and_words_by_their_frequency() -> None:
    text = {"src_tokenizer": "none", "src_subword": "bpe"}
    found, words, _ = build(configure(text, max_size=900, min_freq=3))
    src, tgt = found.subwords
    assert src is not None
    assert tgt is None
    assert {*found.src.tokens} == {*src.pieces, *MARKERS}
    assert len(found.src) == 900
    assert min(found.tgt.counts[4:]) == 3
    assert segment_corpus(words, found.subwords).tgt == words.tgt


def test_the_rarest_characters_of_chinese_are_unknown_unless_asked_for() -> None:
    text = {"src_tokenizer": "none", "src_subword": "unigram", "tgt_subword": "unigram"}
    some, *_, counts = build(configure(text, max_size=2_000))
    every, *_, of_every = build(configure(text, max_size=2_000, character_coverage=1.0))
    coverages = [
        measure_coverage("train", counts, some),
        measure_coverage("train", of_every, every),
    ]
    assert 0.99 < coverages[0][0].share < 1
    assert [side.share for side in coverages[1]] == [1, 1]
    assert coverages[0][1].share == 1  # English has few characters, and needs them all


def test_beside_english_no_more_chinese_characters_are_unknown_than_alone() -> None:
    alone, *_, counts = build(configure(BOTH, max_size=2_000))
    shared, *_, of_shared = build(configure(BOTH, max_size=2_000, shared=True))
    many = [
        measure_coverage("train", counts, alone)[0].share,
        measure_coverage("train", of_shared, shared)[0].share,
    ]
    assert many[1] == pytest.approx(many[0], abs=5e-4)
    assert many[0] < 1


def test_coverage_tells_how_many_pieces_a_word_takes_where_there_are_words() -> None:
    text = {"src_tokenizer": "none", **BOTH}
    found, *_, counts = build(configure(text, max_size=900))
    src, tgt = measure_coverage("train", counts, found)
    assert src.tokens_per_word is None
    assert tgt.tokens_per_word is not None
    assert 1 < tgt.tokens_per_word < 2
    plain, *_, counts = build(configure({}, max_size=900))
    assert [side.tokens_per_word for side in measure_coverage("train", counts, plain)] == [None] * 2


@pytest.mark.parametrize(
    ("text", "vocab", "problem"),
    [
        ({"src_subword": "unigram", "tgt_subword": "bpe"}, {}, "with src_subword bpe"),
        ({"src_tokenizer": "none", **BOTH}, {}, "with src_tokenizer jieba"),
        (BOTH, {"shared": True}, "with shared False"),
    ],
)
def test_vocabularies_of_other_subwords_are_refused(
    text: dict[str, object], vocab: dict[str, object], problem: str
) -> None:
    found = describe_vocabularies(configure(BOTH), HASHES)
    wanted = describe_vocabularies(configure(text, **vocab), HASHES)
    with pytest.raises(ConfigError, match=f"was built {problem}; build it again"):
        check_vocabularies(found, wanted, RunFolder(Path("r")))
    sizes = configure(BOTH, max_size=99, min_freq=9, character_coverage=0.99)
    check_vocabularies(found, describe_vocabularies(sizes, HASHES), RunFolder(Path("r")))


@pytest.mark.parametrize("kind", ["none", "bpe"])
@pytest.mark.parametrize("shared", [False, True])
def test_tags_take_room_from_words_on_the_sides_that_have_them(kind: str, shared: bool) -> None:
    config = configure({"src_subword": kind, "tgt_subword": kind}, shared=shared, max_size=900)
    data = Data(directions=("zh-en", "en-zh"))
    found, *_ = build(config.model_copy(update={"data": data}))
    assert found.src.tags == ("<2en>", "<2zh>")
    assert found.tgt.tags == (found.src.tags if shared else ())
    for vocabulary, subwords in zip((found.src, found.tgt), found.subwords, strict=True):
        assert len(vocabulary) <= 900
        if subwords is not None:
            assert len(vocabulary) == 900
            subwords.check_fits(vocabulary, "here")


def test_a_vocabulary_without_room_for_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="6 is too small for four markers, 2 tags"):
        Config(data=Data(directions=("zh-en", "en-zh")), vocab=Vocab(max_size=6))
    Config(data=Data(directions=("zh-en", "en-zh")), vocab=Vocab(max_size=7))


def test_each_corpus_is_split_by_the_tokenisers_of_its_languages() -> None:
    config = Config(data=Data(directions=("zh-en", "en-zh")))
    there = Corpus("a", ["我喜欢学习。"], ["I don't."], 0, {}, src_lang="zh", tgt_lang="en")
    back = Corpus("b", there.tgt, there.src, 0, {}, src_lang="en", tgt_lang="zh")
    words = tokenize_corpora(config, [there, back])
    assert words.src == words.tgt[::-1] == [["我", "喜欢", "学习", "。"], ["I", "don", "￭'t", "￭."]]
    assert list(map(str, words.directions)) == ["zh-en", "en-zh"]
    card = describe_vocabularies(config, HASHES)
    assert (card.src_tokenizer, card.src_lang) == ("auto", "mul")


def test_of_many_sentences_as_many_as_allowed_are_drawn_evenly() -> None:
    sentences = [[str(number)] for number in range(1_000)]
    drawn = [int(one[0]) for one in draw_evenly(sentences, 1_000, 96)]
    assert len(drawn) == 96
    assert all(
        place * 1_000 // 96 <= number < (place + 1) * 1_000 // 96
        for place, number in enumerate(drawn)
    )
    assert drawn == [int(one[0]) for one in draw_evenly(sentences, 1_000, 96)]
    assert list(draw_evenly(sentences, 1_000, 1_000)) == sentences


def test_subwords_of_fewer_sentences_are_learnt_and_it_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    config = configure(BOTH, max_size=600, subword_sentences=200, character_coverage=1.0)
    words = tokenize_on_disk(tmp_path, config, [CORPUS])
    some = learn_subwords(config, words, told.append)
    assert ["of zh: learnt from 200 of 500" in told[0], "of en: " in told[1]] == [True, True]
    every = configure(BOTH, max_size=600, subword_sentences=500, character_coverage=1.0)
    assert learn_subwords(every, words, told.append) != some
    assert len(told) == 2
