import sys
import unicodedata

import pytest

from s2s_cli.errors import ConfigError
from s2s_cli.text import normalize
from s2s_cli.text.normalize import Normalizer


def test_decomposed_letters_become_one_character_each() -> None:
    decomposed = unicodedata.normalize("NFD", "Müller geht über die Straße.")
    assert Normalizer("de")(decomposed) == "Müller geht über die Straße."
    assert Normalizer("de", form="none")(decomposed) == decomposed


def test_compatibility_characters_change_in_nfkc_only() -> None:
    assert Normalizer("zh", form="nfkc")("ＡＢＣ１２３，ﬁ") == "ABC123,fi"
    assert Normalizer("zh")("ＡＢＣ１２３，ﬁ") == "ＡＢＣ１２３，ﬁ"


def test_white_space_of_any_kind_counts_as_one_space_and_none_at_the_ends() -> None:
    assert Normalizer("en")("\u3000a \t\u2028 b\xa0c\x85\r") == "a b c"


def test_lower_casing_leaves_characters_composed() -> None:
    assert Normalizer("en", lowercase=True)("J\u030c MÜLLER") == "\u01f0 müller"
    assert Normalizer("en", lowercase=True).keep_case("J\u030c MÜLLER") == "J\u030c MÜLLER"


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("form", ["nfc", "nfkc", "none"])
def test_normalising_twice_is_normalising_once(form: normalize.Form, lowercase: bool) -> None:
    normalizer = Normalizer("en", lowercase, form)
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            once = normalizer(f"a{chr(code)}\u0301 {chr(code)}")
            assert normalizer(once) == once


def test_chinese_is_converted_to_the_script_of_the_recipe() -> None:
    pytest.importorskip("opencc")
    simplified = Normalizer("zh-TW", chinese="simplified")
    assert simplified("我的朋友在醫院工作。") == "我的朋友在医院工作。"
    assert Normalizer("zh", chinese="traditional")("头发和发现") == "頭髮和發現"
    assert Normalizer("ja", chinese="simplified")("醫院") == "醫院"


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)
    normalize._load_converter.cache_clear()
    with pytest.raises(ConfigError, match=r'OpenCC, .* pip install "s2s-cli\[zh\]"'):
        Normalizer("zh", chinese="simplified")("醫院")
