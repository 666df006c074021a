import csv
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpora import learn_subwords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.config import Text
from s2s_cli.sources import Direction
from s2s_cli.text.normalize import Form
from s2s_cli.text.tokenizer import Codec, Tokenizer, make_tokenizer, make_tokenizers
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.text.word_boundaries import (
    choose_tokenizer,
    keep_letters_together,
    make_metric_splitter,
)

AWKWARD = [
    *("It’s", "10:30.", "L’homme", "http://www.a.com/b?c=1", "R&B", "#1", "and/or", "5°C"),
    *(
        '"x"-y',
        "geht's",
        "Björk",
        "5.5GB",
        "2小时",
        "-",
        "3小时",
        "我喜欢学习。",
        "Zoë，café",
        "T恤",
    ),
    *("￭", "▁", "␣", "␛", "␛j", "&amp;", "&#39;", "<unk>", "DOTMULTI", "...", "..", "a@b.co.uk"),
    *(
        "👨‍👩‍👧",
        "👩🏽‍🚀",
        "🇩🇪",
        "مرحبا،",
        "שלום",
        "नमस्ते।",
        "ฉันรัก",
        "ＡＢ，１",
        "ｶﾞ",
        "e\u0301",
        "\u0301x",
    ),
    *("«x»", "‹y›", "„z“", "‚w‘", "'em", "3.5kg", "2024-01-02", "(1,234.5%)", "¿qué?", "\x01a\x7f"),
]
CHARACTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=25),
    st.lists(st.sampled_from(AWKWARD), max_size=8).map(" ".join),
    st.lists(
        st.one_of(
            st.sampled_from(AWKWARD),
            st.text(CHARACTERS, max_size=4),
            st.sampled_from(list(" .,'-’\"￭▁␣␛\u0301\u200d\ufe0f\u200f")),
        ),
        max_size=12,
    ).map("".join),
)


def come_back(tokenizer: Tokenizer, text: str) -> str:
    return tokenizer.detokenize(tokenizer.tokenize(text))


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
    ("lang", "sentence", "tokens"),
    [
        ("en", "It’s 10:30.", "It ￭’￭ s 10 ￭:￭ 30 ￭."),
        ("en", 'He said "Hello," twice.', 'He said "￭ Hello ￭, ￭" twice ￭.'),
        ("en", "don't", "don ￭'t"),
        ("fr", "l'homme", "l'￭ homme"),
        ("de", "Mu\u0308ller", "Müller"),
        ("hi", "नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("zh", "Björk用5.5GB", "Björk 用 5.5￭ GB"),
        ("zh", "2小时 - 3小时", "2 小时 ␣- 3 小时"),
        ("zh", "我和👨‍👩‍👧", "我 和 👨‍👩‍👧"),
    ],
)
def test_tokens_are_slices_with_marks_where_spaces_are_unusual(
    lang: str, sentence: str, tokens: str
) -> None:
    assert " ".join(make_tokenizer("auto", lang, lowercase=False).tokenize(sentence)) == tokens


TOKENIZERS = [
    *(("auto", lang) for lang in ("en", "fr", "de", "fi", "zh", "th", "hi")),
    *(("space", "en"), ("char", "en"), ("none", "zh"), ("moses", "zh"), ("jieba", "en")),
]


@pytest.mark.fault("F1")
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("form", ["nfc", "nfkc", "none"])
def test_any_text_comes_back_as_it_was_normalised(form: Form, lowercase: bool) -> None:
    tokenizers = [
        make_tokenizer(name, lang, lowercase, normalize=form) for name, lang in TOKENIZERS
    ]

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(TEXTS)
    def check(text: str) -> None:
        for tokenizer in tokenizers:
            tokens = tokenizer.tokenize(text)
            assert tokenizer.detokenize(tokens) == tokenizer.normalize(text)
            assert not any(character.isspace() for token in tokens for character in token)

    check()


@pytest.mark.fault("F1")
def test_any_text_comes_back_through_subwords_and_every_piece_has_a_place() -> None:
    lines = [" ".join(random.Random(seed).sample(AWKWARD, 8)) for seed in range(300)]
    tokenizers = []
    for name, lang, kind in (
        *(("auto", "en", "bpe"), ("auto", "zh", "unigram"), ("none", "zh", "bpe")),
        *(("none", "de", "unigram"), ("char", "th", "bpe")),
    ):
        words = [make_tokenizer(name, lang, lowercase=True).tokenize(line) for line in lines]
        subwords = learn_subwords(kind, words, 300, 1.0)
        tokenizers.append(make_tokenizer(name, lang, True, subwords))

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(TEXTS)
    def check(text: str) -> None:
        for tokenizer in tokenizers:
            assert come_back(tokenizer, text) == tokenizer.normalize(text)
            located = tokenizer.locate(text)
            assert located.tokens == tokenizer.tokenize(text)
            assert len(located.tokens) == len(located.spans) == len(located.word_spans)
            for (start, end), (first, last) in zip(located.spans, located.word_spans, strict=True):
                assert 0 <= first <= start <= end <= last <= len(located.text)

    check()


def real_sides(folder: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Each side of each corpus: its name, its language and its lines."""
    languages = {"zh": "zh", "lzh": "lzh", "de": "de", "fr": "fr"}
    for path in sorted(folder.glob("*/*")):
        lines = path.read_bytes().decode().split("\n")
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                english, french = zip(*csv.reader(file), strict=True)
            yield f"{path.name} en", "en", list(english)
            yield f"{path.name} fr", "fr", list(french)
        elif path.name == "cmn.txt":
            rows = [line.split("\t") for line in lines if line]
            yield "cmn.txt en", "en", [row[0] for row in rows]
            yield "cmn.txt zh", "zh", [row[1] for row in rows]
        else:
            is_chinese = "chinese" in path.name or "kdconv" in path.name
            lang = "zh" if is_chinese else languages.get(path.suffix[1:], "en")
            yield f"{path.parent.name}/{path.name}", lang, lines


@pytest.mark.fault("F1")
def test_lines_of_every_corpus_come_back(real_data: Path) -> None:
    for name, lang, lines in real_sides(real_data):
        tokenizer = make_tokenizer("auto", lang, lowercase=False)
        for line in lines[:: max(1, len(lines) // 200)]:
            assert come_back(tokenizer, line) == tokenizer.normalize(line), name


@pytest.mark.slow
@pytest.mark.fault("F1")
def test_every_line_of_every_corpus_comes_back(real_data: Path) -> None:
    for name, lang, lines in real_sides(real_data):
        tokenizer = make_tokenizer("auto", lang, lowercase=False)
        for line in lines:
            assert come_back(tokenizer, line) == tokenizer.normalize(line), name


@pytest.mark.slow
def test_marks_make_vocabularies_hardly_larger(real_data: Path) -> None:
    for name, lang, lines in real_sides(real_data):
        if len(lines) > 10_000:
            tokenizer = make_tokenizer("auto", lang, lowercase=False)
            plain, marked = Counter[str](), Counter[str]()
            for located in map(tokenizer.locate, lines):
                plain.update(located.text[start:end] for start, end in located.spans)
                marked.update(located.tokens)
            entries, more = (sum(n > 1 for n in c.values()) for c in (plain, marked))
            growth = f"{name}: {entries:,} entries, {more:,} with marks ({more / entries - 1:.2%})"
            print(growth)  # noqa: T201  (a table, by `pytest -s`)
            assert more <= 1.03 * entries, growth


def test_no_cut_is_inside_a_character_or_between_letters() -> None:
    assert keep_letters_together(["Bj", "ö", "rk", " ", "a"]) == ["Björk", " ", "a"]
    assert keep_letters_together(["e", "\u0301", "!"]) == ["e\u0301", "!"]
    assert keep_letters_together(["👩", "\u200d", "🚀", "好", "的"]) == ["👩\u200d🚀", "好", "的"]
    assert keep_letters_together(["T", "恤"]) == ["T", "恤"]


def test_literals_stand_for_the_words_of_their_tokens() -> None:
    moses = make_tokenizer("moses", "en", lowercase=True)
    assert moses.detokenize(["a", "<unk>", "￭."], {1: "O'Neill & Co."}) == "a O'Neill & Co.."
    subwords = learn_subwords("bpe", [["ab", "￭.", "x￭", "abc"]] * 9, 30, 1.0)
    pieces = make_tokenizer("moses", "en", False, subwords)
    assert pieces.detokenize(["▁ab", "▁", "<unk>", "▁￭."], {2: "Ж"}) == "ab Ж."
    assert pieces.detokenize(["▁(a", "<unk>", "c", "▁ab"], {1: "word"}) == "(word ab"
    assert (
        pieces.detokenize(["▁a", "<unk>", "<unk>", "▁", "<unk>"], {1: "x", 2: "y", 4: "z"}) == "x z"
    )
    chinese = make_tokenizer("none", "zh", False, subwords)
    assert chinese.detokenize(["▁我爱", "<unk>", "大"], {1: "北"}) == "我爱北大"


def test_words_are_located_in_the_case_of_the_text() -> None:
    tokenizer = make_tokenizer("moses", "de", lowercase=True)
    located = tokenizer.locate("  Der\u00a0Mann. ")
    assert located.tokens == ["der", "mann", "￭."]
    assert [located.original(span) for span in located.spans] == ["Der", "Mann", "."]


@pytest.mark.parametrize(
    ("lang", "form", "sentence", "words"),
    [
        ("tr", "nfc", "In İstanbul lives Bjo\u0308rk", ["In", "İstanbul", "lives", "Bjo\u0308rk"]),
        ("en", "nfkc", "\u3000Ｂｊörk  J\u030cim ﬁsh½", ["Ｂｊörk", "J\u030cim", "ﬁsh½"]),
        ("en", "nfc", "\ufeff A\u00a0\u2003B ", ["A", "B"]),
    ],
)
def test_any_word_is_found_in_the_original_text(
    lang: str, form: Form, sentence: str, words: list[str]
) -> None:
    located = make_tokenizer("space", lang, True, normalize=form).locate(sentence)
    assert [located.original(span) for span in located.spans] == words


def test_lowercase_is_the_tokenisers_business() -> None:
    tokenizer = make_tokenizer("moses", "de", lowercase=True)
    assert tokenizer.tokenize("Ein Haus.") == ["ein", "haus", "￭."]


def test_decode_of_encode_is_the_sentence_when_every_word_is_known() -> None:
    for lang, sentence in (
        ("zh", "我喜欢学习机器学习。"),
        ("en", "I like studying machine learning."),
    ):
        tokenizer = make_tokenizer("auto", lang, lowercase=False)
        words = sorted(set(tokenizer.tokenize(sentence)))
        codec = Codec(tokenizer, Vocabulary(words, [1] * len(words)))
        assert codec.decode(codec.encode(sentence)) == sentence


def test_words_for_scoring_are_those_of_the_plain_tokenisers() -> None:
    assert make_metric_splitter("en")("It's 5.") == ["It", "'s", "5", "."]
    assert make_metric_splitter("zh")("我喜欢 学习。") == ["我", "喜欢", "学习", "。"]
    assert make_metric_splitter("th")("ab c") == ["a", "b", "c"]


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
