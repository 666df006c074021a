import pytest

from s2s_cli.config import Text
from s2s_cli.sources import Direction
from s2s_cli.text.tokenizer import make_tokenizers


def test_a_recipes_normalisation_reaches_both_sides() -> None:
    text = Text(src_tokenizer="char", lowercase=True, normalize="nfkc")
    src, tgt = make_tokenizers(text, Direction("zh", "en"))
    assert (src.name, tgt.name) == ("char", "moses")
    assert src.tokenize("ＡＢ") == ["a", "b"]
    assert tgt.tokenize("ＡＢ.") == ["ab", "￭."]


def test_chinese_text_of_a_model_is_of_one_script() -> None:
    pytest.importorskip("opencc")
    text = Text(src_tokenizer="char", chinese="simplified")
    src, tgt = make_tokenizers(text, Direction("zh", "en"))
    assert src.tokenize("醫院") == ["医", "院"]
    assert tgt.detokenize(tgt.tokenize("醫院")) == "醫院"
