import math

import pytest
import torch
from conftest import ALL_KINDS, KINDS, describe_kind, make_model

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search, greedy_search
from s2s_cli.decoding.constraints import MAX_LENGTH_EXTRA
from s2s_cli.decoding.hypotheses import (
    MIN_COVERAGE,
    coverage_penalty,
    init_coverage,
    length_penalty,
)
from s2s_cli.decoding.predictor import Predictor
from s2s_cli.errors import ConfigError, S2SError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import check_config
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID, UNK_ID

SOURCES = [[4, 5, 6], [7], [9, 4, 8, 5, 6], [10, 11]]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def log_prob_of(model: Seq2Seq, source: list[int], tokens: list[int]) -> float:
    """Log-probability of these tokens, step by step; padding and bos cannot be chosen."""
    state, memory = model.encode(*collate_src([source]))
    last, total = torch.tensor([BOS_ID]), 0.0
    for token in tokens:
        logits, state, _ = model.step(last, state, memory)
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf
        total += logits.log_softmax(-1)[0, token].item()
        last = torch.tensor([token])
    return total


@every_kind
def test_greedy_search_takes_the_most_probable_token_until_eos(kind: dict[str, object]) -> None:
    model = make_model(kind)
    for source, found in zip(
        SOURCES, greedy_search(model, *collate_src(SOURCES), max_length=4), strict=True
    ):
        state, memory = model.encode(*collate_src([source]))
        last, tokens = torch.tensor([BOS_ID]), []
        while len(tokens) < 4:
            logits, state, _ = model.step(last, state, memory)
            logits[:, [PAD_ID, BOS_ID]] = -torch.inf
            last = logits.argmax(-1)
            if last.item() == EOS_ID:
                break
            tokens.append(last.item())
        assert found == tokens


@every_kind
def test_a_beam_of_one_is_greedy_search(kind: dict[str, object]) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=1, max_length_factor=1, keep_unk=True)
    for source in SOURCES:
        batch = collate_src([source])
        (expected,) = greedy_search(model, *batch, max_length=len(source) + MAX_LENGTH_EXTRA)
        (found,) = beam_search(model, *batch, config)
        assert found[0].token_ids == expected


SETTINGS: dict[str, dict[str, object]] = {
    "plain sums": {"length_penalty": 0.0},
    "gnmt": {"length_penalty": 0.7},
    "length": {"length_penalty_kind": "length", "length_penalty": 0.8},
    "coverage": {"coverage_penalty": 0.4},
    "minimum": {"min_length_factor": 1.0, "max_length_factor": 1.0},
    "no word twice": {"no_repeat_ngram": 1},
    "no bigram twice": {"no_repeat_ngram": 2, "length_penalty_kind": "length"},
    "no word twice, but four words": {
        "no_repeat_ngram": 1, "min_length_factor": 2.0, "max_length_factor": 2.0
    },
    "all": {
        "coverage_penalty": 1.0,
        "length_penalty_kind": "length",
        "min_length_factor": 0.5,
        "max_length_factor": 0.5,
        "no_repeat_ngram": 2,
    },
}  # fmt: skip
PREFIXES = ([5], [4, 4], [5, UNK_ID, 4, 4, 5, 4])


def has_what_it_needs(kind: dict[str, object], setting: dict[str, object]) -> bool:
    """Whether the model has attention, if the setting penalises coverage."""
    return not setting.get("coverage_penalty") or kind.get("context", "attention") == "attention"


EVERY_SETTING = [
    pytest.param(kind, setting, id=f"{describe_kind(kind)}-{name}")
    for kind in KINDS
    for name, setting in SETTINGS.items()
    if has_what_it_needs(kind, setting)
]
UNTIED_KINDS = [kind for kind in ALL_KINDS if kind.get("tied") != "all"]
"""Those that can have a target vocabulary small enough for brute force."""

PREFIXED = [
    pytest.param({"context": context}, setting, prefix, id=f"{context}-{name}-{prefix}")
    for context in ("initial", "attention")
    for name, setting in SETTINGS.items()
    for prefix in PREFIXES
    if has_what_it_needs({"context": context}, setting)
]


def allowed_tokens(
    body: list[int], source: list[int], config: Decoding, prefix: list[int], extra: int
) -> list[int]:
    """What may follow `body` by the description of the settings: words 0, 4, 5, or eos."""
    if len(body) < len(prefix):
        return [prefix[len(body)]]
    longest = max(int(config.max_length_factor * len(source)) + extra, len(prefix))
    if len(body) == longest:
        return [EOS_ID]
    words = [UNK_ID, 4, 5]
    if size := config.no_repeat_ngram:
        grams = [tuple(body[i : i + size]) for i in range(len(body) - size + 1)]
        words = [w for w in words if tuple([*body, w][-size:]) not in grams]
    can_end = len(body) >= int(config.min_length_factor * len(source))
    return [*words, EOS_ID] if can_end or not words else words


def all_targets(
    source: list[int], config: Decoding, prefix: list[int], extra: int
) -> list[list[int]]:
    """Every translation that the settings allow, eos included."""
    whole, unfinished = [], [[]]
    while unfinished:
        body = unfinished.pop()
        for token in allowed_tokens(body, source, config, prefix, extra):
            (whole if token == EOS_ID else unfinished).append([*body, token])
    return whole


def scores_by_stepping(
    model: Predictor, source: list[int], targets: list[list[int]], config: Decoding
) -> list[float]:
    """Scores as Wu et al. 2016 define them, of targets that end in eos."""
    state, memory = model.encode(*collate_src([source] * len(targets)))
    last = torch.full((len(targets),), BOS_ID)
    sums = [0.0] * len(targets)
    attention = [[0.0] * len(source) for _ in targets]
    for position in range(max(map(len, targets))):
        logits, state, weights = model.step(last, state, memory)
        logits[:, [PAD_ID, BOS_ID]] = -torch.inf
        log_probs = logits.log_softmax(-1)
        last = torch.tensor([t[position] if position < len(t) else PAD_ID for t in targets])
        for row, target in enumerate(targets):
            if position < len(target):
                sums[row] += log_probs[row, target[position]].item()
                if weights is not None:
                    seen = weights[row, : len(source)].tolist()
                    attention[row] = [a + b for a, b in zip(attention[row], seen, strict=True)]
    found = []
    for target, total, seen in zip(targets, sums, attention, strict=True):
        length, alpha = len(target), config.length_penalty
        base = length if config.length_penalty_kind == "length" else (5 + length) / 6
        cover = sum(math.log(min(max(p, MIN_COVERAGE), 1.0)) for p in seen)
        coverage = config.coverage_penalty * cover if config.coverage_penalty else 0.0
        found.append(total / base**alpha + coverage)
    return found


@pytest.mark.parametrize(("kind", "setting"), EVERY_SETTING)
def test_a_wide_beam_equals_brute_force(
    kind: dict[str, object], setting: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_with_brute_force(kind, setting, [], monkeypatch)


@pytest.mark.parametrize("kind", UNTIED_KINDS, ids=describe_kind)
def test_a_wide_beam_equals_brute_force_with_every_kind_of_model(
    kind: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = SETTINGS["all"] | {"coverage_penalty": 0.7 * has_what_it_needs(kind, SETTINGS["all"])}
    compare_with_brute_force(kind, setting, [], monkeypatch)


@pytest.mark.parametrize(("kind", "setting", "prefix"), PREFIXED)
def test_a_wide_beam_equals_brute_force_after_a_prefix(
    kind: dict[str, object],
    setting: dict[str, object],
    prefix: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare_with_brute_force(kind, setting, prefix, monkeypatch)


def compare_with_brute_force(
    kind: dict[str, object],
    setting: dict[str, object],
    prefix: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extra = 0 if "max_length_factor" in setting else 3
    monkeypatch.setattr("s2s_cli.decoding.constraints.MAX_LENGTH_EXTRA", extra)
    model = make_model(kind, tgt_vocab=6, scale=9.0)  # so that attention is not even
    source = [4, 5]
    settings = {"max_length_factor": 1e-6, "keep_unk": True} | setting
    config = Decoding(beam_size=200, n_best=200, **settings)  # type: ignore[arg-type]
    targets = all_targets(source, config, prefix, extra)
    scores = scores_by_stepping(model, source, targets, config)
    ranked = sorted(zip(scores, targets, strict=True), reverse=True)
    (found,) = beam_search(model, *collate_src([source]), config, [prefix])
    assert len(found) == len(ranked) <= 200
    longest = max(int(config.max_length_factor * len(source)) + extra, len(prefix))
    for hypothesis, (score, target) in zip(found, ranked, strict=True):
        assert hypothesis.score == pytest.approx(score, abs=1e-4)
        assert hypothesis.token_ids[: len(prefix)] == prefix[: len(target)]
        assert hypothesis.is_complete == (len(hypothesis.token_ids) < longest)
    assert [*found[0].token_ids, EOS_ID] == ranked[0][1]
    assert sorted([*h.token_ids, EOS_ID] for h in found) == sorted(targets)
    # With a smaller n_best the search may stop early, and still finds the best.
    (best,) = beam_search(
        model, *collate_src([source]), config.model_copy(update={"n_best": 2}), [prefix]
    )
    assert [h.token_ids for h in best] == [h.token_ids for h in found[:2]]


@pytest.mark.parametrize(("kind", "setting"), EVERY_SETTING)
def test_a_translation_does_not_depend_on_its_batch(
    kind: dict[str, object], setting: dict[str, object]
) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=3, n_best=2, **setting)  # type: ignore[arg-type]
    prefixes = [[5], [], [4, 6, 7], []]
    together = beam_search(model, *collate_src(SOURCES), config, prefixes)
    for source, prefix, found in zip(SOURCES, prefixes, together, strict=True):
        (alone,) = beam_search(model, *collate_src([source]), config, [prefix])
        assert [h.token_ids for h in found] == [h.token_ids for h in alone]
        for one, other in zip(found, alone, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize(("kind", "setting"), EVERY_SETTING)
def test_how_often_the_device_is_asked_changes_nothing(
    kind: dict[str, object], setting: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=3, n_best=2, **setting)  # type: ignore[arg-type]
    prefixes = [[5], [], [4, 6, 7], []]
    found = []
    for look_every in (1, 4, 64):
        monkeypatch.setattr("s2s_cli.decoding.beam.LOOK_EVERY", {"cpu": look_every})
        found.append(beam_search(model, *collate_src(SOURCES), config, prefixes))
    always, *seldom = found
    for one, other in zip(always * 2, seldom[0] + seldom[1], strict=True):
        assert [h.token_ids for h in one] == [h.token_ids for h in other]
        assert [h.is_complete for h in one] == [h.is_complete for h in other]
        for left, right in zip(one, other, strict=True):
            assert left.score == pytest.approx(right.score, abs=1e-4)
            if left.attention_weights is not None and right.attention_weights is not None:
                torch.testing.assert_close(left.attention_weights, right.attention_weights)


def test_a_coverage_penalty_without_attention_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"decoding\.coverage_penalty: counts attention"):
        beam_search(
            make_model({"context": "initial"}),
            *collate_src(SOURCES),
            Decoding(coverage_penalty=0.1),
        )


def test_a_word_that_got_no_attention_can_still_be_ranked() -> None:
    coverage = torch.tensor([[0.0, 1.0], [0.5, 2.0], [1.0, 1.0]])
    penalties = coverage_penalty(coverage, 2.0)
    assert penalties[0].item() == pytest.approx(2 * math.log(MIN_COVERAGE))
    assert penalties[1].item() == pytest.approx(2 * math.log(0.5))
    assert penalties[2].item() == 0
    assert penalties[0] < penalties[1]


def test_only_words_need_coverage() -> None:
    lengths = torch.tensor([4, 2])  # a tag, two words or none, and eos
    covered = init_coverage(lengths, 4, num_tags=1)
    assert covered.tolist() == [[1, 0, 0, 1], [1, 1, 1, 1]]
    assert init_coverage(lengths, 4).tolist() == [[0, 0, 0, 1], [0, 1, 1, 1]]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="no translation satisfies both"):
        Decoding(min_length_factor=2.5)
    with pytest.raises(ConfigError, match=r"decoding: coverage_penalty requires a model"):
        check_config({"model": {"context": "initial"}, "decoding": {"coverage_penalty": 1.0}}, "x")


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
            weights = hypothesis.attention_weights
            assert weights is not None
            assert weights.size(0) == len(hypothesis.token_ids) + 1
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.size(0)))
            assert not weights[:, len(source) + 1 :].any()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_attention_is_that_of_the_hypothesis_itself(cell: str) -> None:
    model = make_model({"context": "attention", "cell": cell}, scale=9.0)
    config = Decoding(beam_size=4, n_best=4)
    found = beam_search(model, *collate_src(SOURCES), config)
    for source, hypotheses in zip(SOURCES, found, strict=True):
        for hypothesis in hypotheses:
            state, memory = model.encode(*collate_src([source]))
            rows = []
            for token in [BOS_ID, *hypothesis.token_ids]:
                _, state, weights = model.step(torch.tensor([token]), state, memory)
                rows.append(weights[0])
            assert hypothesis.attention_weights is not None
            torch.testing.assert_close(
                hypothesis.attention_weights[:, : len(source) + 1],
                torch.stack(rows),
                atol=1e-4,
                rtol=0,
            )


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
    assert length_penalty(9, 0.5, "length") == pytest.approx(3.0)


def test_a_beam_wider_than_all_translations_ends() -> None:
    model = make_model({"context": "attention"}, tgt_vocab=4)  # unk and eos can be chosen
    config = Decoding(beam_size=40, n_best=40, max_length_factor=1e-6)
    (found,) = beam_search(model, *collate_src([[4]]), config)
    assert len(found) == MAX_LENGTH_EXTRA + 1  # one of each length from 0 to the limit


@pytest.mark.parametrize("beam_size", [1, 5])
def test_scores_that_are_not_numbers_are_an_error_not_a_hang(beam_size: int) -> None:
    model = make_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[5] = torch.nan
    with pytest.raises(S2SError, match="not numbers"):
        beam_search(model, *collate_src(SOURCES), Decoding(beam_size=beam_size))
