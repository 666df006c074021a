import importlib.util

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from s2s_cli.errors import ConfigError
from s2s_cli.scoring.utility import UtilityName, make_utility

TEXTS = {
    "en": [
        "The cat sat on the mat.",
        "the cat sat on the mat .",
        "The cat sat, sat and sat on the mat!",
        "A dog",
        "dog",
        "It's 10:30, isn't it?",
        "",
        "a",
        "a a a a a a",
        "The cat sat on the mat.",
    ],
    "zh": ["我喜欢学习机器学习。", "我爱机器学习", "他昨天去北京了。", "我", "BERT 很好"],
}
METRICS = {
    ("chrf", "en"): CHRF(),
    ("chrf", "zh"): CHRF(),
    ("bleu", "en"): BLEU(effective_order=True, tokenize="13a"),
    ("bleu", "zh"): BLEU(effective_order=True, tokenize="zh"),
}


@pytest.mark.parametrize(("name", "lang"), METRICS)
def test_the_scores_of_all_pairs_are_those_of_sacrebleu(name: UtilityName, lang: str) -> None:
    texts = TEXTS[lang]
    metric = METRICS[name, lang]
    expected = [[metric.sentence_score(one, [other]).score for other in texts] for one in texts]
    np.testing.assert_array_equal(make_utility(name, lang)(texts), expected)


def test_chrf_can_be_computed_by_hand() -> None:
    # "ab" and "ac" share one of two letters and none of one pair: precision and recall are the
    # means of 1/2 and 0 (chrF has no order that neither of them has).
    # "a" and "ab": 1 of 1 letter and no pair, so precision is 1, recall 1/2: F2 is 5/9.
    found = make_utility("chrf", "en")(["ab", "ac", "a"])
    assert found == pytest.approx(
        np.array([[100, 25, 500 / 6], [25, 100, 500 / 6], [500 / 9, 500 / 9, 100]])
    )


def test_bleu_can_be_computed_by_hand() -> None:
    # One of two words, and none of one pair, which counts as half a match (exponential smoothing):
    # the root of 1/2 * 1/2.
    found = make_utility("bleu", "en")(["a b", "a c"])
    assert found == pytest.approx(np.array([[100, 50], [50, 100]]))


def test_a_tokeniser_that_is_not_installed_is_named_with_the_other_utility() -> None:
    if importlib.util.find_spec("mecab_ko") is not None:
        pytest.skip("mecab_ko is installed")
    with pytest.raises(ConfigError, match=r"sacrebleu\[ko\]\", or choose decoding.utility chrf"):
        make_utility("bleu", "ko")
    make_utility("chrf", "ko")
