import itertools

import pytest
import torch
from conftest import KINDS, describe_kind, make_model

from s2s_cli.config import Decoding
from s2s_cli.data.batch import collate_src
from s2s_cli.decoding.beam import MAX_LENGTH_EXTRA, beam_search, length_penalty
from s2s_cli.errors import S2SError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SOURCES = [[4, 5, 6], [7], [9, 4, 8, 5, 6], [10, 11]]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def log_prob_of(model: Seq2Seq, source: list[int], tokens: list[int]) -> float:
    """Log-probability of exactly these tokens, found by stepping; pad and bos cannot be chosen."""
    state, memory = model.encode(*collate_src([source]))
    last, total = torch.tensor([BOS_ID]), 0.0
    for token in tokens:
        logits, state, _ = model.step(last, state, memory)
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf
        total += logits.log_softmax(-1)[0, token].item()
        last = torch.tensor([token])
    return total


def greedy(model: Seq2Seq, source: list[int], limit: int) -> list[int]:
    state, memory = model.encode(*collate_src([source]))
    last, tokens = torch.tensor([BOS_ID]), []
    while len(tokens) < limit:
        logits, state, _ = model.step(last, state, memory)
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf
        last = logits.argmax(-1)
        if last.item() == EOS_ID:
            break
        tokens.append(last.item())
    return tokens


@every_kind
def test_a_beam_of_one_is_greedy_search(kind: dict[str, object]) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=1, max_length_factor=1)
    for source in SOURCES:
        (found,) = beam_search(model, *collate_src([source]), config)
        assert found[0].token_ids == greedy(model, source, len(source) + MAX_LENGTH_EXTRA)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("context", ["initial", "attention"])
def test_a_wide_beam_equals_brute_force(
    alpha: float, context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.decoding.beam.MAX_LENGTH_EXTRA", 3)
    model = make_model({"context": context}, tgt_vocab=6, scale=3.0)
    source, limit = [4, 5], 3
    words = [UNK_ID, 4, 5]
    everything = [
        [*body, EOS_ID] for n in range(limit + 1) for body in itertools.product(words, repeat=n)
    ]
    scored = sorted(
        (
            (log_prob_of(model, source, tokens) / length_penalty(len(tokens), alpha), tokens)
            for tokens in everything
        ),
        reverse=True,
    )
    size = len(scored)
    config = Decoding(beam_size=size, n_best=size, length_penalty=alpha, max_length_factor=1e-6)
    (found,) = beam_search(model, *collate_src([source]), config)
    assert len(found) == size
    for hypothesis, (score, tokens) in zip(found, scored, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-5)
        assert hypothesis.is_complete == (len(tokens) <= limit)
    assert [*found[0].token_ids, EOS_ID] == scored[0][1]


@every_kind
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_batch_of_one_equals_a_batch_of_many(kind: dict[str, object], beam_size: int) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=beam_size, n_best=beam_size)
    together = beam_search(model, *collate_src(SOURCES), config)
    for source, found in zip(SOURCES, together, strict=True):
        (alone,) = beam_search(model, *collate_src([source]), config)
        assert [h.token_ids for h in found] == [h.token_ids for h in alone]
        for one, other in zip(found, alone, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)


@every_kind
def test_scores_are_the_tokens_log_probabilities(kind: dict[str, object]) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=3, n_best=3, length_penalty=0.6)
    for source, found in zip(
        SOURCES, beam_search(model, *collate_src(SOURCES), config), strict=True
    ):
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            tokens = [*hypothesis.token_ids, EOS_ID]
            expected = log_prob_of(model, source, tokens)
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)
            penalty = length_penalty(len(tokens), 0.6)
            assert hypothesis.score == pytest.approx(expected / penalty, abs=1e-4)


def test_attention_comes_with_each_hypothesis() -> None:
    model = make_model({"context": "attention"})
    for source, found in zip(
        SOURCES, beam_search(model, *collate_src(SOURCES), Decoding(beam_size=2)), strict=True
    ):
        for hypothesis in found:
            assert hypothesis.weights is not None
            assert hypothesis.weights.size(0) == len(hypothesis.token_ids) + 1
            torch.testing.assert_close(
                hypothesis.weights.sum(-1), torch.ones(hypothesis.weights.size(0))
            )
            assert not hypothesis.weights[:, len(source) + 1 :].any()


def test_no_translation_is_longer_than_its_limit() -> None:
    model = make_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[EOS_ID] = -1e3
    config = Decoding(beam_size=2, max_length_factor=2)
    for source, found in zip(
        SOURCES, beam_search(model, *collate_src(SOURCES), config), strict=True
    ):
        assert not found[0].is_complete
        assert len(found[0].token_ids) == 2 * len(source) + MAX_LENGTH_EXTRA


def test_the_length_penalty_is_gnmts() -> None:
    assert length_penalty(1, 1.0) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(7, 0.5) == pytest.approx(2.0**0.5)
    assert length_penalty(99, 0.0) == 1.0


def test_a_beam_wider_than_all_there_is_ends() -> None:
    model = make_model({"context": "attention"}, tgt_vocab=4)  # unk and eos can be chosen
    config = Decoding(beam_size=40, n_best=40, max_length_factor=1e-6)
    (found,) = beam_search(model, *collate_src([[4]]), config)
    assert len(found) == MAX_LENGTH_EXTRA + 1  # from no word to as many as there may be


@pytest.mark.parametrize("beam_size", [1, 5])
def test_scores_that_are_not_numbers_are_an_error_not_a_hang(beam_size: int) -> None:
    model = make_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[5] = torch.nan
    with pytest.raises(S2SError, match="not numbers"):
        beam_search(model, *collate_src(SOURCES), Decoding(beam_size=beam_size))
