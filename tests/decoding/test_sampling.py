from collections import Counter

import pytest
import torch
from conftest import KINDS, describe_kind, make_model
from test_beam import SOURCES, log_prob_of

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import greedy_search
from s2s_cli.decoding.constraints import MAX_LENGTH_EXTRA
from s2s_cli.decoding.sampling import draw_tokens, sample
from s2s_cli.errors import S2SError
from s2s_cli.text.vocabulary import EOS_ID

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def sampling(**keys: object) -> Decoding:
    return Decoding.model_validate({"search": "sample", **keys})


@every_kind
def test_the_same_sentence_gives_the_same_samples_whatever_the_batch(
    kind: dict[str, object],
) -> None:
    model = make_model(kind)
    config = sampling(n_best=3, seed=5)
    together = sample(model, *collate_src(SOURCES), config)
    for source, found in zip(SOURCES, together, strict=True):
        (alone,) = sample(model, *collate_src([source]), config)
        assert [h.token_ids for h in found] == [h.token_ids for h in alone]


def test_more_samples_leave_the_first_as_they_are() -> None:
    model = make_model({"context": "attention"}, scale=1.0)
    few = sample(model, *collate_src(SOURCES), sampling(n_best=2))
    many = sample(model, *collate_src(SOURCES), sampling(n_best=5))
    for some, more in zip(few, many, strict=True):
        assert [h.token_ids for h in some] == [h.token_ids for h in more[:2]]
        assert len({tuple(h.token_ids) for h in more}) > 1


def test_another_seed_gives_other_samples() -> None:
    model = make_model({"context": "attention"}, scale=1.0)
    one, other = (sample(model, *collate_src(SOURCES), sampling(seed=seed)) for seed in (1, 2))
    assert [h[0].token_ids for h in one] != [h[0].token_ids for h in other]


@every_kind
@pytest.mark.parametrize("keys", [{"temperature": 0.01}, {"top_k": 1}, {"top_p": 1e-6}], ids=str)
def test_sampling_of_the_most_probable_token_is_greedy_search(
    kind: dict[str, object], keys: dict[str, object]
) -> None:
    model = make_model(kind, scale=50.0)  # so that no two tokens have nearly equal logits
    config = sampling(keep_unk=True, max_length_factor=1, **keys)
    for source in SOURCES:
        batch = collate_src([source])
        (expected,) = greedy_search(model, *batch, max_length=len(source) + MAX_LENGTH_EXTRA)
        (found,) = sample(model, *batch, config)
        assert [hypothesis.token_ids for hypothesis in found] == [expected]


def test_frequencies_approach_the_models_distribution() -> None:
    model = make_model({"context": "attention"}, tgt_vocab=6, scale=2.0)
    source, draws = [4, 5], 4000
    config = sampling(n_best=draws, max_length_factor=1e-6)
    (found,) = sample(model, *collate_src([source]), config)
    counts = Counter(tuple(h.token_ids) for h in found)
    for body, count in counts.most_common(12):
        share = torch.tensor(log_prob_of(model, source, [*body, EOS_ID])).exp().item()
        deviation = (share * (1 - share) / draws) ** 0.5
        assert abs(count / draws - share) < 4.5 * deviation


def test_log_probabilities_are_the_models_whatever_the_temperature() -> None:
    model = make_model({"context": "attention"})
    config = sampling(temperature=3.0, top_k=4, n_best=3)
    for source, found in zip(SOURCES, sample(model, *collate_src(SOURCES), config), strict=True):
        for hypothesis in found:
            expected = log_prob_of(model, source, [*hypothesis.token_ids, EOS_ID])
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-3)


PROBS = torch.tensor([[0.1, 0.4, 0.0, 0.3, 0.2]])


def drawn(config: Decoding) -> list[int]:
    """What each of a thousand evenly spread random numbers draws."""
    randoms = torch.arange(1000) / 1000
    return draw_tokens(PROBS.log().expand(1000, -1), randoms, config).tolist()


@pytest.mark.parametrize(
    ("keys", "shares"),
    [
        ({}, {0: 0.1, 1: 0.4, 3: 0.3, 4: 0.2}),
        ({"top_k": 2}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_k": 99}, {0: 0.1, 1: 0.4, 3: 0.3, 4: 0.2}),
        ({"top_p": 0.39}, {1: 1.0}),
        ({"top_p": 0.41}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_p": 0.69}, {1: 4 / 7, 3: 3 / 7}),
        ({"top_p": 0.71}, {1: 4 / 9, 3: 3 / 9, 4: 2 / 9}),
        ({"top_k": 3, "top_p": 0.5}, {1: 4 / 7, 3: 3 / 7}),
        ({"temperature": 0.5}, {0: 1 / 30, 1: 16 / 30, 3: 9 / 30, 4: 4 / 30}),
    ],
    ids=str,
)
def test_tokens_are_drawn_by_their_share(keys: dict[str, object], shares: dict[int, float]) -> None:
    counts = Counter(drawn(sampling(**keys)))
    assert set(counts) == set(shares)
    for token, share in shares.items():
        assert counts[token] == pytest.approx(1000 * share, abs=1.5)


def test_no_random_number_draws_a_token_of_no_probability() -> None:
    randoms = torch.tensor([0.0, 1.0 - 2**-24, 1.0])
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(3, -1)
    assert draw_tokens(logits, randoms, sampling()).tolist() == [1, 3, 3]


@pytest.mark.parametrize("temperature", [0.01, 100.0])
def test_no_temperature_overflows(temperature: float) -> None:
    logits = torch.tensor([[1e38, -torch.inf, -1e38, 1e38]]).expand(64, -1)
    randoms = torch.arange(64) / 64
    found = draw_tokens(logits, randoms, sampling(temperature=temperature)).tolist()
    assert set(found) == {0, 3}


def test_samples_obey_prefix_lengths_and_repeats() -> None:
    model = make_model({"context": "attention"}, scale=1.0)
    config = sampling(n_best=4, no_repeat_ngram=1, min_length_factor=1.0, max_length_factor=1.0)
    prefixes = [[5, 4], [], [6], [7]]
    found = sample(model, *collate_src(SOURCES), config, prefixes)
    for source, prefix, hypotheses in zip(SOURCES, prefixes, found, strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.token_ids[: len(prefix)] == prefix
            assert len(set(hypothesis.token_ids)) == len(hypothesis.token_ids) >= len(source)


def test_n_best_samples_need_no_beam() -> None:
    assert sampling(n_best=9).n_best == 9
    with pytest.raises(ValueError, match="requires a beam_size"):
        Decoding(n_best=9)


def test_scores_that_are_not_numbers_are_an_error_not_a_hang() -> None:
    model = make_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[5] = torch.nan
    with pytest.raises(S2SError, match="not numbers"):
        sample(model, *collate_src(SOURCES), sampling())
