import subprocess
import sys

import pytest
from corpora import learn_subwords, load_training
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.config import Data
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.subwords import Subwords
from s2s_cli.text.tokenizer import Codec, Tokenizer, make_tokenizer
from s2s_cli.text.vocabulary import UNK_ID, Vocabulary

KINDS = ["bpe", "unigram"]

ENGLISH = [
    "The lowest tower is lower than the newest one.",
    "A newer, wider window shows the widest view!",
    "Who knows the way to the slowest train?",
] * 5
CHINESE = [
    "我用Python 3.11写iPhone app。",
    "“你好”，（他）说：“真的？！”",
    "我们学习机器学习，他们学习写字。",
] * 5

AWKWARD = [
    "我用Python 3.11写iPhone app。",
    "“你好”，（他）说：“真的？！”　ＡＢＣ，１２３",
    "several   spaces\tand\u3000wide ones ",
    "an emoji 😀 and two 👩‍👩‍👧🇩🇪",
    "<unk> <pad> </s> ▅",
    "ﬁ ligature, e\u0301 combined, \u200bnothing\x00at all\x01",
]


def make(name: str, lang: str, kind: str, sentences: list[str], max_size: int = 150) -> Tokenizer:
    words = [make_tokenizer(name, lang, lowercase=False).tokenize(line) for line in sentences]
    return make_tokenizer(name, lang, False, learn_subwords(kind, words, max_size, 1.0))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("name", "lang"),
    [("none", "zh"), ("jieba", "zh"), ("char", "zh"), ("none", "en"), ("moses", "en")],
)
def test_subwords_take_nothing_away_that_the_tokeniser_keeps(
    name: str, lang: str, kind: str
) -> None:
    tokenizer = make(name, lang, kind, CHINESE if lang == "zh" else ENGLISH)
    for sentence in [*AWKWARD, *CHINESE, *ENGLISH, "", " "]:
        assert tokenizer.detokenize(tokenizer.tokenize(sentence)) == tokenizer.normalize(sentence)


@pytest.mark.parametrize("sentence", [*AWKWARD, "text with ▁ a ▁▁ and ␣ in it"])
def test_alone_they_give_back_the_sentence_but_for_runs_of_spaces(sentence: str, kind: str) -> None:
    tokenizer = make("none", "zh", kind, CHINESE)
    assert tokenizer.detokenize(tokenizer.tokenize(sentence)) == tokenizer.normalize(sentence)


def test_alone_they_give_back_any_text(kind: str) -> None:
    tokenizer = make("none", "en", kind, ENGLISH)

    @given(st.text(st.characters(codec="utf-8"), max_size=30))
    def check(sentence: str) -> None:
        assert tokenizer.detokenize(tokenizer.tokenize(sentence)) == tokenizer.normalize(sentence)

    check()


@pytest.mark.parametrize(("name", "lang"), [("none", "zh"), ("jieba", "zh"), ("moses", "en")])
def test_decode_of_encode_is_the_sentence(name: str, lang: str, kind: str) -> None:
    sentences = CHINESE if lang == "zh" else ENGLISH
    tokenizer = make(name, lang, kind, sentences)
    assert tokenizer.subwords is not None
    pieces = tokenizer.subwords.pieces
    codec = Codec(tokenizer, Vocabulary(pieces, [1] * len(pieces)))
    for sentence in sentences:
        token_ids = codec.encode(sentence)
        assert UNK_ID not in token_ids
        assert codec.decode(token_ids) == sentence


def test_what_no_piece_covers_is_one_unknown_token_that_keeps_its_spelling(kind: str) -> None:
    tokenizer = make("space", "en", kind, ENGLISH)
    assert tokenizer.subwords is not None
    unknown = [t for t in tokenizer.tokenize("the 魑魅 way") if t not in tokenizer.subwords.scores]
    assert unknown == ["魑魅"]


def test_frequent_words_stay_whole_and_rare_ones_are_cut(kind: str) -> None:
    words = [line.split() for line in [row[1] for row in load_training(Data()).train[0].rows]]
    subwords = learn_subwords(kind, words, 500, 1.0)
    assert subwords.segment(["the", "is"]) == ["▁the", "▁is"]
    assert len(subwords.segment(["unlearnable"])) > 3
    assert subwords.join(subwords.segment(["unlearnable", "the"])) == ["unlearnable", "the"]


def test_the_same_text_gives_the_same_bytes_in_every_process(kind: str) -> None:
    code = (
        "import sys; from s2s_cli.text.subwords import train_subwords\n"
        "from collections import Counter\n"
        "words = Counter(word for line in sys.argv[2:] for word in line.split())\n"
        "sys.stdout.buffer.write(train_subwords(sys.argv[1], words, 80, 1.0).content)"
    )
    command = [sys.executable, "-c", code, kind, *ENGLISH]
    first, second = (
        subprocess.run(command, capture_output=True, check=True, timeout=60) for _ in range(2)
    )
    assert first.stdout == second.stdout
    assert first.stderr == b""
    there = learn_subwords(kind, [line.split() for line in ENGLISH], 80, 1.0)
    assert there == Subwords(first.stdout, kind, "x")


def test_a_small_text_gives_as_many_pieces_as_it_can(kind: str) -> None:
    subwords = learn_subwords(kind, [["hello", "world"]], 8_000, 1.0)
    assert {*"helowrd"} <= {*subwords.pieces}
    assert len(subwords.pieces) < 60


def test_a_size_is_kept_to(kind: str) -> None:
    words = [line.split() for line in ENGLISH]
    assert len(learn_subwords(kind, words, 40, 1.0).pieces) == 40 - 4


def test_too_few_entries_for_the_characters_say_how_many_they_need(kind: str) -> None:
    words = [list("abcdefghij")]
    with pytest.raises(ConfigError, match=r"vocab.max_size: 9 entries .* need 15; raise it"):
        learn_subwords(kind, words, 9, 1.0)
    assert {*"abcdefghij"} <= {*learn_subwords(kind, words, 15, 1.0).pieces}


def test_text_without_words_teaches_nothing(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind} subwords cannot be learnt"):
        learn_subwords(kind, [[], []], 100, 1.0)


def test_coverage_leaves_the_rarest_characters_out(kind: str) -> None:
    words = [["甲乙丙甲乙丙甲乙丙"]] * 200 + [["魑"]]
    assert "魑" not in "".join(learn_subwords(kind, words, 40, 0.9995).pieces)
    assert "魑" in "".join(learn_subwords(kind, words, 40, 1.0).pieces)


def test_long_lines_are_learnt_from_too(kind: str) -> None:
    assert "z" in "".join(learn_subwords(kind, [["ab"] * 5_000 + ["z"]], 40, 1.0).pieces)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"\x00"])
def test_what_is_no_model_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(DataError, match=r"x\.model: .*sentencepiece model"):
        Subwords(content, kind, "x.model")


def test_a_truncated_model_is_refused_or_does_not_fit(kind: str) -> None:
    whole = learn_subwords(kind, [line.split() for line in ENGLISH], 80, 1.0)
    vocabulary = Vocabulary(whole.pieces, [1] * len(whole.pieces))
    whole.check_fits(vocabulary, "x.model")
    for length in range(0, len(whole.content) // 2, 7):
        with pytest.raises(DataError, match=r"x\.model"):
            Subwords(whole.content[:length], kind, "x.model").check_fits(vocabulary, "x.model")
