import math

import pytest
import torch
from conftest import KINDS, describe_kind, make_model
from test_beam import log_prob_of

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.ensemble import Ensemble
from s2s_cli.decoding.predictor import Predictor
from s2s_cli.decoding.score_pairs import perplexity, score_pairs
from s2s_cli.decoding.translator import Translator
from s2s_cli.text.tokenizer import Codec, make_tokenizer
from s2s_cli.text.vocabulary import EOS_ID, Vocabulary

SPACE = make_tokenizer("space", "en", lowercase=False)
SRC = Codec(SPACE, Vocabulary(list("stuvwxyz"), [1] * 8))
TGT = Codec(SPACE, Vocabulary(list("abcdef"), [1] * 6))
PAIRS = [("s t u", "a"), ("v", "b c d e f a"), ("x new y z", "new a new"), ("s", "f f")]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def score(
    model: Predictor, pairs: list[tuple[str, str]], batch_size: int = 64
) -> list[tuple[float, int]]:
    translator = Translator(model, SRC, TGT, torch.device("cpu"))
    return score_pairs(translator, *([pair[i] for pair in pairs] for i in (0, 1)), batch_size)


@every_kind
def test_a_pairs_score_is_the_sum_of_its_steps(kind: dict[str, object]) -> None:
    models: list[Predictor] = [make_model(kind), Ensemble([make_model(kind), make_model({})])]
    for model in models:
        for (src, tgt), found in zip(PAIRS, score(model, PAIRS), strict=True):
            tokens = [*TGT.encode(tgt), EOS_ID]
            expected = log_prob_of(model, SRC.encode(src), tokens)
            assert found == (pytest.approx(expected, abs=1e-4), len(tokens))


@every_kind
def test_a_batch_of_one_equals_a_batch_of_many(kind: dict[str, object]) -> None:
    model = make_model(kind)
    together, alone = score(model, PAIRS), score(model, PAIRS, batch_size=1)
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@every_kind
def test_a_pairs_score_is_that_of_the_hypothesis(kind: dict[str, object]) -> None:
    model = make_model(kind)
    for src, _ in PAIRS:
        (found,) = beam_search(
            model, *collate_src([SRC.encode(src)]), Decoding(beam_size=3, n_best=3)
        )
        for hypothesis in found:
            target = " ".join(TGT.vocabulary.decode(hypothesis.token_ids))
            if target:
                ((log_prob, _),) = score(model, [(src, target)])
                assert log_prob == pytest.approx(hypothesis.log_prob, abs=1e-4)


def test_perplexity_counts_tokens_not_pairs() -> None:
    assert perplexity([(-3 * math.log(2), 3), (-math.log(2), 1)]) == pytest.approx(2.0)
    assert perplexity([(-1e6, 1)]) == math.inf


def test_scoring_leaves_the_model_in_its_mode() -> None:
    model = make_model({})
    model.train()
    assert score(model, PAIRS) == score(model, PAIRS)
    assert model.training
