from typing import Literal

import pytest
import torch
from conftest import make_model
from corpora import learn_subwords

from s2s_cli.config import Decoding
from s2s_cli.decoding.constraints import MAX_LENGTH_EXTRA
from s2s_cli.decoding.translator import Translator
from s2s_cli.text.tokenizer import Codec, make_tokenizer
from s2s_cli.text.vocabulary import EOS_ID, UNK_ID, Vocabulary

SPACE = make_tokenizer("space", "en", lowercase=False)
SRC = Codec(SPACE, Vocabulary(list("stuvwxyz"), [1] * 8))
TGT = Codec(SPACE, Vocabulary(list("abcdef"), [1] * 6))
LINES = ["s t u", "", "v", "   ", "x s t w v u", "unheard of", "s"]


def make_translator(
    context: str = "attention", unk_bias: float = 0.0, eos_bias: float = 0.0
) -> Translator:
    model = make_model({"context": context})
    with torch.no_grad():
        model.output.projection.bias[UNK_ID] += unk_bias
        model.output.projection.bias[EOS_ID] += eos_bias
    return Translator(model, SRC, TGT, torch.device("cpu"))


@pytest.mark.parametrize("context", ["initial", "attention"])
def test_lines_come_back_in_order_whatever_the_batch(context: str) -> None:
    translator = make_translator(context)
    expected = [translator.translate([line], Decoding())[0].text for line in LINES]
    for batch_size in (1, 2, 64):
        found = translator.translate(LINES, Decoding(batch_size=batch_size))
        assert [translation.source for translation in found] == LINES
        assert [translation.text for translation in found] == expected


def test_blank_lines_stay_blank_and_never_meet_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.decoding.translator.SEARCHES", {"beam": None})
    found = make_translator().translate(["", " \t ", "\u2028"], Decoding())
    assert [translation.text for translation in found] == ["", "", ""]


def test_an_unknown_word_becomes_the_source_word_looked_at_most() -> None:
    translator = make_translator(unk_bias=50.0)
    kept = translator.translate(["s new t"], Decoding(keep_unk=True))[0].candidates[0]
    assert "<unk>" in kept.tokens
    replaced = translator.translate(["s new t"], Decoding())[0].candidates[0]
    assert "<unk>" not in replaced.text
    assert replaced.attention_weights is not None
    for token, row in zip(replaced.tokens, replaced.attention_weights, strict=False):
        words = row[:3]  # the eos that follows is no word
        assert token == ["s", "new", "t"][words.index(max(words))]


def test_n_best_are_different_and_ranked() -> None:
    for translation in make_translator().translate(LINES, Decoding(beam_size=4, n_best=3)):
        scores = [candidate.score for candidate in translation.candidates]
        assert scores == sorted(scores, reverse=True)
        if translation.src_tokens:
            tokens = {tuple(candidate.tokens) for candidate in translation.candidates}
            assert len(tokens) == len(translation.candidates) == 3


@pytest.mark.parametrize("search", ["beam", "sample"])
@pytest.mark.parametrize(("num_words", "factor", "length"), [(7, 1, 7), (3, 2, 6), (7, 0.5, 3)])
def test_a_language_tag_counts_as_no_word(
    search: Literal["beam", "sample"], num_words: int, factor: float, length: int
) -> None:
    config = Decoding(search=search, min_length_factor=factor, max_length_factor=factor)
    words = ["s", "t", "u", "v", "w", "x", "y"][:num_words]
    tag = tuple(SRC.vocabulary.encode(["z"]))
    for eos_bias, expected in ((1000, length), (-1000, length + MAX_LENGTH_EXTRA)):
        translator = make_translator(eos_bias=eos_bias)._replace(src_prefix=tag)
        (found,) = translator.translate([" ".join(words)], config)
        assert len(found.candidates[0].tokens) == expected
    (read,) = translator.translate([" ".join(words)], Decoding(max_source_length=num_words))
    assert (read.src_tokens, read.num_unread) == (words, 0)


def test_one_very_long_line_does_not_swell_its_batch() -> None:
    lines = ["s"] * 40 + [" ".join("stuv" * 150)]
    found = make_translator().translate(lines, Decoding(beam_size=1, batch_size=32))
    assert len(found) == 41


def test_translating_leaves_the_model_in_its_mode() -> None:
    translator = make_translator()
    translator.model.train()
    first = translator.translate(["s t u"], Decoding())[0].text
    assert translator.model.training
    assert first == translator.translate(["s t u"], Decoding())[0].text


def test_a_prefix_comes_out_as_it_was_given_and_counts() -> None:
    translator = make_translator()
    config = Decoding(beam_size=4, n_best=3)
    (found,) = translator.translate(["s t u"], config, ["a unheard b"])
    for candidate in found.candidates:
        assert candidate.tokens[:3] == ["a", "unheard", "b"]
        assert candidate.text.startswith("a unheard b")
    (free,) = translator.translate(["s t u"], config, [""])
    assert free == translator.translate(["s t u"], config)[0]
    assert found.candidates[0].score <= free.candidates[0].score


def test_a_dictionary_speaks_for_the_word_whose_piece_was_looked_at() -> None:
    subwords = learn_subwords("bpe", [["low", "lower", "lowest"]] * 9, 20, 1.0)
    tokenizer = make_tokenizer("space", "en", False, subwords)
    codec = Codec(tokenizer, Vocabulary(subwords.pieces, [1] * len(subwords.pieces)))
    model = make_model({"context": "attention"}, len(codec.vocabulary), len(codec.vocabulary))
    with torch.no_grad():
        model.output.projection.bias[UNK_ID] += 50
    translator = Translator(model, codec, codec, torch.device("cpu"), {"lowest": "least"})
    (translation,) = translator.translate(["lowest"], Decoding(min_length_factor=1))
    assert set(translation.text.split()) == {"least"}
    links = translator.align(translation)
    assert links is not None
    assert {src for src, _ in links} == {0}


@pytest.mark.parametrize("name", ["none", "char"])
def test_without_spaces_an_entry_is_whatever_tokens_spell_it(name: str) -> None:
    subwords = learn_subwords("bpe", [["我爱北京"], ["北京很大"], ["他爱京"]] * 9, 16, 1.0)
    tokenizer = make_tokenizer(name, "zh", False, subwords if name == "none" else None)
    tokens = tokenizer.tokenize("我爱北京大")
    codec = Codec(tokenizer, Vocabulary(sorted(set(tokens)), [1] * len(set(tokens))))
    model = make_model({"context": "attention"}, len(codec.vocabulary), len(TGT.vocabulary))
    with torch.no_grad():
        model.output.projection.bias[UNK_ID] += 50
    spoken = {"我爱": "love", "北京大": "Beijing", "爱": "fond"}
    translator = Translator(model, codec, TGT, torch.device("cpu"), spoken)
    (translation,) = translator.translate(["我爱北京大"], Decoding(min_length_factor=1))
    assert {*translation.text.split()} <= {"love", "Beijing"}


def test_a_prefix_stands_in_the_text_as_it_was_typed() -> None:
    words = ["It", "￭’￭", "s", "10", "￭:￭", "30", "￭.", "a"]
    moses = Codec(make_tokenizer("moses", "en", False), Vocabulary(words, [1] * len(words)))
    model = make_model({"context": "attention"}, len(SRC.vocabulary), len(moses.vocabulary))
    translator = Translator(model, SRC, moses, torch.device("cpu"))
    for prefix in ("It’s 10:30.", "It’s  unheard-of", "￭ ▁x", "a "):
        (found,) = translator.translate(["s t u"], Decoding(beam_size=2), [prefix])
        assert found.text.startswith(prefix)


def test_without_attention_unknown_words_are_never_said_unless_they_are_kept() -> None:
    translator = make_translator("initial", unk_bias=50.0)
    for search in ("beam", "sample"):
        (found,) = translator.translate(["s new t"], Decoding(search=search, n_best=2))
        assert not any("<unk>" in candidate.tokens for candidate in found.candidates)
        (kept,) = translator.translate(["s new t"], Decoding(search=search, keep_unk=True))
        assert "<unk>" in kept.text
    (forced,) = translator.translate(["s t"], Decoding(), ["a unheard"])
    assert forced.text.startswith("a unheard")
