import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.codec import Codec
from s2s_cli.text.tokenizer import choose_tokenizer, join_chinese, make_tokenizer
from s2s_cli.text.vocabulary import Vocabulary


def test_the_tutorials_sentence_is_cut_by_jieba() -> None:
    tokenizer = make_tokenizer("auto", "zh", lowercase=False)
    tokens = tokenizer.tokenize("我喜欢学习机器学习。")
    assert tokens == ["我", "喜欢", "学习", "机器", "学习", "。"]
    assert tokenizer.detokenize(tokens) == "我喜欢学习机器学习。"


@pytest.mark.parametrize(
    ("lang", "name"),
    [("zh", "jieba"), ("zh-TW", "jieba"), ("en", "moses"), ("no", "moses"), ("ja", "char")],
)
def test_the_language_chooses_the_tokeniser(lang: str, name: str) -> None:
    assert choose_tokenizer("auto", lang) == name
    assert choose_tokenizer("space", lang) == "space"


@pytest.mark.parametrize(
    "sentence",
    [
        "I don't like \"this\" one, e.g. Mr. Smith's.",
        "He said: 'Well (maybe), it costs $5 or 3.5%.'",
        "Where is it? There!",
        'Two "quoted" words and "another" pair.',
        "A well-known co-op; wait - what?",
    ],
)
def test_english_is_spaced_as_it_was(sentence: str) -> None:
    tokenizer = make_tokenizer("moses", "en", lowercase=False)
    tokens = tokenizer.tokenize(sentence)
    assert len(tokens) > len(sentence.split())
    assert tokenizer.detokenize(tokens) == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "我用iPhone 15拍照，John Smith说：“Hello, world.”",
        "3.5%的人10:30来。",
        "他在Google工作了3年！",
        "请看 https://www.baidu.com/a?d=1，或者用Node.js。".replace(" ", ""),
        "A & B和U.S.A.都在New York City。",
        "don't",
    ],
)
def test_chinese_words_close_up_and_latin_words_stay_apart(sentence: str) -> None:
    tokenizer = make_tokenizer("jieba", "zh", lowercase=False)
    assert tokenizer.detokenize(tokenizer.tokenize(sentence)) == sentence


def test_join_chinese_by_hand() -> None:
    assert join_chinese(["我", "爱", "New", "York", "，", "好", "!"]) == "我爱New York，好!"
    assert join_chinese([]) == ""


@given(st.text(max_size=40))
def test_char_and_space_give_back_what_they_got(sentence: str) -> None:
    plain = " ".join(sentence.replace("\u2581", "").split())
    for name in ("char", "space"):
        tokenizer = make_tokenizer(name, "en", lowercase=False)
        assert tokenizer.detokenize(tokenizer.tokenize(plain)) == plain


@pytest.mark.parametrize("name", ["jieba", "moses", "char", "space"])
def test_no_token_ever_holds_white_space(name: str) -> None:
    tokenizer = make_tokenizer(name, "zh" if name == "jieba" else "en", lowercase=False)

    @given(
        st.text(alphabet=st.sampled_from("a我 \t\r\x0b\x1c\x85\u2028\u3000.,'\"<>&|"), max_size=30)
    )
    def check(sentence: str) -> None:
        for token in tokenizer.tokenize(sentence):
            assert token
            assert not any(character.isspace() for character in token)

    check()


def test_lowercase_is_the_tokenisers_business() -> None:
    assert make_tokenizer("moses", "de", lowercase=True).tokenize("Ein Haus.") == [
        "ein",
        "haus",
        ".",
    ]


def test_decode_of_encode_is_the_sentence_when_every_word_is_known() -> None:
    for lang, sentence in (
        ("zh", "我喜欢学习机器学习。"),
        ("en", "I like studying machine learning."),
    ):
        tokenizer = make_tokenizer("auto", lang, lowercase=False)
        words = sorted(set(tokenizer.tokenize(sentence)))
        codec = Codec(tokenizer, Vocabulary(words, [1] * len(words)))
        assert codec.decode(codec.encode(sentence)) == sentence


@pytest.mark.fault("C11")
def test_jieba_is_silent_and_neither_reads_nor_writes_its_cache(tmp_path: Path) -> None:
    poison = tmp_path / "jieba.cache"
    poison.write_bytes(b"not a marshalled dictionary")
    code = (
        "from s2s_cli.text.tokenizer import make_tokenizer\n"
        "print(make_tokenizer('jieba', 'zh', False).tokenize('我们学习'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stdout == "['我们', '学习']\n"
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]
    assert poison.read_bytes() == b"not a marshalled dictionary"


def test_real_sentences_come_back_as_they_were(real_data: Path) -> None:
    for lang, least in (("en", 0.99), ("zh", 0.97)):
        text = (real_data / f"tatoeba-zh-en/test.{lang}").read_text(encoding="utf-8")
        tokenizer = make_tokenizer("auto", lang, lowercase=False)
        lines = text.split("\n")[:-1]
        same = sum(tokenizer.detokenize(tokenizer.tokenize(line)) == line for line in lines)
        assert same / len(lines) > least
