import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jieba
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacremoses import MosesTokenizer

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.scoring.metrics import (
    METRIC_NAMES,
    ScoringSettings,
    choose_scored_lines,
    score_corpus,
    score_sentences,
    score_tokens,
)

ENGLISH = (
    ["The cat sat on the mat.", "It is raining today", "We like to study machine learning."],
    ["The cat is on the mat.", "It rains today.", "We like studying machine learning."],
    ["A cat sat on a mat.", "Today it is raining.", "We enjoy learning machines."],
)
CHINESE = (
    ["我喜欢学习机器学习。", "今天天气好。", "他昨天去北京了。"],
    ["我喜欢学习机器学习。", "今天天气很好。", "他昨天去了北京。"],
)


def sacrebleu_command(folder: Path, texts: tuple[list[str], ...], *options: str) -> list[dict]:
    paths = []
    for number, lines in enumerate(texts):
        path = folder / f"{number}.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        paths.append(str(path))
    hypotheses, *references = paths
    command = [sys.executable, "-m", "sacrebleu", *references, "-i", hypotheses]
    command += ["-m", "bleu", "chrf", "ter", "-w", "8", *options]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize(
    ("texts", "settings", "options"),
    [
        (ENGLISH, ScoringSettings("en"), []),
        (ENGLISH[:2], ScoringSettings("en", lowercase=True), ["-lc", "--chrf-lowercase"]),
        (
            CHINESE,
            ScoringSettings("zh"),
            ["-tok", "zh", "--ter-normalized", "--ter-asian-support"],
        ),
    ],
)
def test_scores_are_the_sacrebleu_commands(
    tmp_path: Path, texts: tuple[list[str], ...], settings: ScoringSettings, options: list[str]
) -> None:
    theirs = sacrebleu_command(tmp_path, texts, *options)
    hypotheses, *references = texts
    ours = score_corpus(METRIC_NAMES, hypotheses, references, settings)
    for mine, other in zip(ours, theirs, strict=True):
        assert round(mine.value, 8) == other["score"], other["name"]
        assert mine.signature == other["signature"]


@pytest.mark.parametrize(
    ("lang", "token"),
    [
        *((lang, "tok:zh") for lang in ("zh", "zh-TW", "yue", "lzh")),
        *((lang, "tok:13a") for lang in ("en", "de", "vi", "jv")),
        *(
            (lang, "tok:char")
            for lang in ("th", "tha", "th-TH", "lo", "km", "my", "bo", "tib", "dz", "shn")
        ),
    ],
)
def test_the_target_language_chooses_the_tokeniser(lang: str, token: str) -> None:
    score = score_corpus(["bleu"], ["a"], [["a"]], ScoringSettings(lang))[0]
    assert token in score.signature
    other = score_corpus(["bleu"], ["a"], [["a"]], ScoringSettings(lang, tokenize="char"))[0]
    assert "tok:char" in other.signature


@pytest.mark.parametrize(("lang", "extra"), [("ja", "sacrebleu[ja]"), ("ko", "sacrebleu[ko]")])
def test_a_tokeniser_that_is_not_installed_is_named_with_its_remedy(
    lang: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        score_corpus(["bleu"], ["a"], [["a"]], ScoringSettings(lang))
    assert extra in str(caught.value)


def test_a_language_without_spaces_is_scored_by_characters() -> None:
    hypothesis, reference = "ฉันรักแมวสีขาวตัวนี้มากที่สุด", "ฉันรักแมวสีดำตัวนี้มากที่สุด"
    for lang, value in (("th", 83.3), ("en", 0.0)):
        score = score_corpus(["bleu"], [hypothesis], [[reference]], ScoringSettings(lang))[0]
        assert score.value == pytest.approx(value, abs=0.05)


def test_an_unknown_tokeniser_is_refused() -> None:
    with pytest.raises(ConfigError, match="13a"):
        score_corpus(["bleu"], ["a"], [["a"]], ScoringSettings("en", tokenize="15b"))


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [[]], "no sentences to score"),
        (["a"], [], "no references"),
        (["a", "b"], [["a", "b", "c", "d", "e"]], "2 translations, but reference 1 has 5 lines"),
        (["a"], [["a"], []], "reference 2 has 0 lines"),
    ],
)
def test_what_sacrebleu_scores_without_a_warning_is_refused(
    hypotheses: list[str], references: list[list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score_corpus(["bleu"], hypotheses, references, ScoringSettings("en"))


def test_sentences_are_scored_one_by_one() -> None:
    scores = score_sentences(["same here", "xyz"], [["same here", "abc"]], ScoringSettings("en"))
    assert scores[0] == pytest.approx(100)
    assert scores[1] == 0


def test_bleu_of_tokens_is_the_sacrebleu_commands_on_tokenised_files(tmp_path: Path) -> None:
    for texts, lang, lowercase in ((ENGLISH, "en", True), (CHINESE, "zh", False)):
        split = MosesTokenizer("en").tokenize if lang == "en" else jieba.cut
        kwargs = {"escape": False} if lang == "en" else {}
        cut = tuple([" ".join(split(line, **kwargs)) for line in side] for side in texts)
        options = ["-tok", "none", "--force", *(["-lc"] if lowercase else [])]
        theirs = sacrebleu_command(tmp_path, cut, *options)[0]
        hypotheses, *references = texts
        ours = score_tokens(hypotheses, references, ScoringSettings(lang, lowercase))
        assert round(ours.value, 8) == theirs["score"]
        assert (
            ours.signature == f"{theirs['signature']}|words:{'moses' if lang == 'en' else 'jieba'}"
        )
        assert ours.name == "bleu-tokens"


def test_a_line_counts_if_it_has_a_reference() -> None:
    hypotheses = ["one", "two", "three", "", " ", "six"]
    first = ["a", " ", "", "d", "e", "f"]
    second = ["A", "B", "", "", "E", "F"]
    scored = choose_scored_lines(hypotheses, [first, second])
    assert scored.numbers == [0, 1, 3, 4, 5]
    assert scored.hypotheses == ["one", "two", "", " ", "six"]
    assert scored.references == [["a", "B", "d", "e", "f"], ["A", "B", "d", "E", "F"]]
    swapped = choose_scored_lines(hypotheses, [second, first])
    assert swapped == scored._replace(references=scored.references[::-1])


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(DataError, match="no sentences to score"):
        choose_scored_lines(["a"], [[""]])
    with pytest.raises(DataError, match="2 translations, but reference 1 has 1 lines"):
        choose_scored_lines(["a", "b"], [["a"]])


def test_intervals_are_those_of_sacrebleu() -> None:
    hypotheses = ["the cat sat on the mat .", "a dog runs in a park .", "he reads books ."]
    references = [["the cat sat on the mat .", "a dog runs in the park .", "he reads a book ."]]
    settings = ScoringSettings("en")
    ours = score_corpus(METRIC_NAMES, hypotheses, references, settings, has_intervals=True)
    for score, metric in zip(ours, (BLEU(force=True), CHRF(), TER()), strict=True):
        theirs: Any = metric.corpus_score(hypotheses, references, n_bootstrap=1000)
        assert score.interval == theirs._ci > 0
        assert score.signature == metric.get_signature().format()
        assert "|bs:1000|seed:12345|" in score.signature
    words = score_tokens(hypotheses, references, settings, has_intervals=True)
    assert words.interval == ours[0].interval
    plain = score_corpus(METRIC_NAMES, hypotheses, references, settings)
    assert [score.interval for score in plain] == [None, None, None]
    assert [score.value for score in plain] == [score.value for score in ours]
