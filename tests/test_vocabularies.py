from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from corpora import load_training, split_on_disk

from s2s_cli.config import Config, Data, Text, Vocab
from s2s_cli.data.pairs import ParallelText, Row
from s2s_cli.data.words import WordsFile, read_words
from s2s_cli.errors import ConfigError
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.text.vocabulary import MARKERS
from s2s_cli.vocabularies import (
    TokenCounts,
    check_vocabularies,
    count_tokens,
    describe_vocabularies,
    learn_vocabularies,
    measure_coverage,
)

ROWS = load_training(Data.model_validate({"train": {"phrasebook": "valid"}})).train[0].rows
HASHES = ["1", "2"]


def configure(text: dict[str, object], **vocab: object) -> Config:
    sections = {"text": Text.model_validate(text), "vocab": Vocab.model_validate(vocab)}
    return Config.model_validate(sections)


def build(config: Config, rows: list[Row] = ROWS) -> tuple[Vocabularies, WordsFile, TokenCounts]:
    with TemporaryDirectory() as name:
        text = ParallelText("x", config.data.all_directions[0], rows, {})
        words = split_on_disk(Path(name), config, [text])
    found = learn_vocabularies(config, words, HASHES, "x", print)
    return found, words, count_tokens(words, found.subwords)


BOTH = {"src_subword": "bpe", "tgt_subword": "bpe"}


@pytest.mark.parametrize("kind", ["none", "bpe", "unigram"])
def test_a_shared_vocabulary_counts_the_tokens_of_both_sides(kind: str) -> None:
    text = {"src_subword": kind, "tgt_subword": kind}
    found, _, tokens = build(configure(text, shared=True, max_size=1_200, min_freq=1))
    assert found.src == found.tgt
    assert found.subwords[0] == found.subwords[1]
    assert found.src.counts[4:] == tuple(sorted(found.src.counts[4:], reverse=True))
    for count, token in list(zip(found.src.counts, found.src.tokens, strict=True))[4:100]:
        assert count == tokens.src[token] + tokens.tgt[token]
    assert {"我", "▁我"} & {*found.src.tokens}
    assert {"I", "▁I"} & {*found.src.tokens}


def test_all_pieces_are_kept_but_only_frequent_words() -> None:
    text = {"src_tokenizer": "none", "src_subword": "bpe"}
    found, words, _ = build(configure(text, max_size=900, min_freq=3))
    src, tgt = found.subwords
    assert src is not None
    assert tgt is None
    assert {*found.src.tokens} == {*src.pieces, *MARKERS}
    assert len(found.src) == 900
    assert min(found.tgt.counts[4:]) == 3
    assert count_tokens(words, found.subwords).tgt == words.counts[1]["en"]


def test_the_rarest_chinese_characters_are_unknown_by_default() -> None:
    text = {"src_tokenizer": "none", "src_subword": "unigram", "tgt_subword": "unigram"}
    some, *_, counts = build(configure(text, max_size=2_000))
    every, *_, of_every = build(configure(text, max_size=2_000, character_coverage=1.0))
    coverages = [
        measure_coverage("train", counts, some),
        measure_coverage("train", of_every, every),
    ]
    assert 0.99 < coverages[0][0].share < 1
    assert [side.share for side in coverages[1]] == [1, 1]
    assert coverages[0][1].share == 1  # English has few characters, and all are kept


def test_sharing_with_english_makes_no_more_chinese_characters_unknown() -> None:
    alone, *_, counts = build(configure(BOTH, max_size=2_000))
    shared, *_, of_shared = build(configure(BOTH, max_size=2_000, shared=True))
    many = [
        measure_coverage("train", counts, alone)[0].share,
        measure_coverage("train", of_shared, shared)[0].share,
    ]
    assert many[1] == pytest.approx(many[0], abs=5e-4)
    assert many[0] < 1


def test_coverage_includes_the_pieces_per_word_if_there_are_words() -> None:
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
def test_tags_take_entries_of_the_vocabulary_from_words(kind: str, shared: bool) -> None:
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


def test_a_vocabulary_too_small_for_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="6 is too small for four markers, 2 tags"):
        Config(data=Data(directions=("zh-en", "en-zh")), vocab=Vocab(max_size=6))
    Config(data=Data(directions=("zh-en", "en-zh")), vocab=Vocab(max_size=7))


def test_each_source_is_split_by_the_tokenisers_of_its_languages(tmp_path: Path) -> None:
    config = Config(data=Data(directions=("zh-en", "en-zh")))
    there = ParallelText("a", Direction("zh", "en"), [("我喜欢学习。", "I don't.")], {})
    back = ParallelText("b", Direction("en", "zh"), [there.rows[0][::-1]], {})
    words = split_on_disk(tmp_path, config, [there, back])
    zh, en = ["我", "喜欢", "学习", "。"], ["I", "don", "￭'t", "￭."]
    assert [pair for place in words.slices for pair in read_words(place)] == [(zh, en), (en, zh)]
    assert words.counts == ({"zh": Counter(zh), "en": Counter(en)},) * 2
    card = describe_vocabularies(config, HASHES)
    assert (card.src_tokenizer, card.src_lang) == ("auto", "mul")


def test_subwords_are_learnt_from_the_most_frequent_of_too_many_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("s2s_cli.vocabularies.MAX_WORDS", 4)
    rows = [("ab " * 9 + "cd " * 5 + "ef gh ij kl", "x")]
    text = {"src_tokenizer": "space", "src_subword": "bpe"}
    notes: list[str] = []
    with TemporaryDirectory() as name:
        found = ParallelText("x", Direction("zh", "en"), rows, {})
        config = configure(text, max_size=40, min_freq=1, character_coverage=1.0)
        words = split_on_disk(Path(name), config, [found])
    learnt = learn_vocabularies(config, words, HASHES, "x", notes.append)
    assert notes == ["bpe subwords of zh: learnt from the 4 most frequent of 6 different words"]
    assert learnt.subwords[0] is not None
    pieces = {*"".join(learnt.subwords[0].pieces)}
    assert {*"abcd"} < pieces
    assert len(pieces & {*"efghijkl"}) == 4
