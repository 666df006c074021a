import pytest
import torch
from conftest import KINDS, describe_kind, make_model
from test_beam import SOURCES, log_prob_of

from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate, collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.ensemble import Ensemble
from s2s_cli.decoding.sampling import sample
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def make_other(kind: dict[str, object], scale: float = 3.0) -> Seq2Seq:
    """A model with other weights than `make_model`'s."""
    model = make_model(kind, scale=scale)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.flip(0))
    return model


MIXED = [
    make_model({"cell": "lstm", "num_layers": 2}),
    make_other({"context": "initial"}),
    make_model({"cell": "rnn", "context": "every_step"}, scale=2.0),
    make_model({"attend": "after", "input_feeding": True}, scale=3.0),
]


@every_kind
def test_a_model_with_itself_is_the_model(kind: dict[str, object]) -> None:
    model = make_model(kind)
    config = Decoding(beam_size=3, n_best=3)
    ensemble = Ensemble([model, model])
    alone = beam_search(model, *collate_src(SOURCES), config)
    together = beam_search(ensemble, *collate_src(SOURCES), config)
    for one, other in zip(alone, together, strict=True):
        assert [h.token_ids for h in one] == [h.token_ids for h in other]
        for mine, theirs in zip(one, other, strict=True):
            assert mine.score == pytest.approx(theirs.score, abs=1e-4)
            ours, others = mine.attention_weights, theirs.attention_weights
            assert (ours is None) == (others is None)
            if ours is not None:
                torch.testing.assert_close(ours, others, atol=1e-4, rtol=0)


@every_kind
def test_two_models_say_the_mean_of_their_probabilities(kind: dict[str, object]) -> None:
    members = [make_model(kind), make_other({"cell": "lstm", "context": "attention"})]
    ensemble = Ensemble(members)
    state, memory = ensemble.encode(*collate_src(SOURCES))
    encoded = [member.encode(*collate_src(SOURCES)) for member in members]
    states = [own_state for own_state, _ in encoded]
    for token in (BOS_ID, 5, 7, 4):
        tokens = torch.full((len(SOURCES),), token)
        logits, state, weights = ensemble.step(tokens, state, memory)
        probs, seen = [], []
        for index, (member, (_, own_memory)) in enumerate(zip(members, encoded, strict=True)):
            own, states[index], attention = member.step(tokens, states[index], own_memory)
            own[:, [PAD_ID, BOS_ID]] = -torch.inf
            probs.append(own.softmax(-1))
            if attention is not None:
                seen.append(attention)
        torch.testing.assert_close(logits.softmax(-1), (probs[0] + probs[1]) / 2)
        assert weights is not None
        torch.testing.assert_close(weights, sum(seen) / len(seen))


def test_an_ensemble_of_different_kinds_searches_and_samples_alike_in_any_batch() -> None:
    ensemble = Ensemble(MIXED)
    for search, config in (
        (beam_search, Decoding(beam_size=3, n_best=3, coverage_penalty=0.2)),
        (sample, Decoding(search="sample", n_best=3)),
    ):
        together = search(ensemble, *collate_src(SOURCES), config)
        for source, found in zip(SOURCES, together, strict=True):
            (alone,) = search(ensemble, *collate_src([source]), config)
            assert [h.token_ids for h in found] == [h.token_ids for h in alone]
            for hypothesis in found:
                expected = log_prob_of(ensemble, source, [*hypothesis.token_ids, EOS_ID])
                assert hypothesis.log_prob == pytest.approx(expected, abs=1e-3)


def test_whole_targets_equal_steps() -> None:
    ensemble = Ensemble(MIXED)
    pairs = [(SOURCES[0], [5, 4, 6]), (SOURCES[1], [7])]
    batch = collate(pairs)
    whole = ensemble(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask).log_softmax(-1)
    row = 0
    for source, target in pairs:
        total = 0.0
        for token in [*target, EOS_ID]:
            total += whole[row, token].item()
            row += 1
        assert total == pytest.approx(log_prob_of(ensemble, source, [*target, EOS_ID]), abs=1e-4)


def test_members_without_attention_have_none_to_average() -> None:
    ensemble = Ensemble([make_model({"context": "initial"}), make_other({"context": "initial"})])
    (found,) = beam_search(ensemble, *collate_src(SOURCES[:1]), Decoding())
    assert found[0].attention_weights is None
