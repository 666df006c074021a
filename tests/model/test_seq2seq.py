import math

import pytest
import torch
from conftest import KINDS, describe_kind, make_model
from torch import Tensor

from s2s_cli.data.batch import collate
from s2s_cli.model.recurrent import select_rows
from s2s_cli.model.seq2seq import Seq2Seq

PAIRS = [([4, 5, 6], [4, 5, 6, 7]), ([7], [8]), ([9, 4, 8, 5, 6], [9, 5])]

every_kind = pytest.mark.parametrize("kind", KINDS, ids=describe_kind)


def logits_of(model: Seq2Seq, pairs: list[tuple[list[int], list[int]]]) -> Tensor:
    batch = collate(pairs)
    return model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)


@every_kind
def test_padding_changes_nothing(kind: dict[str, object]) -> None:
    model = make_model(kind)
    together = logits_of(model, PAIRS)
    alone = torch.cat([logits_of(model, [pair]) for pair in PAIRS])
    torch.testing.assert_close(together, alone)
    assert together.shape == (5 + 2 + 3, 10)


@every_kind
def test_stepping_equals_running_the_whole_sequence(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS)
    expected = model(batch.src, batch.src_lengths, batch.tgt_in, torch.ones_like(batch.tgt_mask))
    state, memory = model.encode(batch.src, batch.src_lengths)
    steps = []
    for token in batch.tgt_in.unbind(1):
        logits, state, weights = model.step(token, state, memory)
        assert (weights is None) == (kind["context"] == "initial")
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, 1).flatten(0, 1), expected)


@every_kind
def test_sampling_with_everything_forced_equals_teacher_forcing(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS)
    forced = torch.ones_like(batch.tgt_mask)
    sampled = model.forward_sampled(
        batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, forced
    )
    torch.testing.assert_close(sampled, logits_of(model, PAIRS))


@every_kind
def test_sampling_with_nothing_forced_feeds_the_models_own_choice(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate([PAIRS[0]])
    free = torch.zeros_like(batch.tgt_mask)
    logits = model.forward_sampled(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask, free)
    state, memory = model.encode(batch.src, batch.src_lengths)
    token = batch.tgt_in[:, 0]
    for row in logits:
        expected, state, _ = model.step(token, state, memory)
        torch.testing.assert_close(row, expected[0])
        token = expected.argmax(-1)


@every_kind
def test_the_rows_of_a_beam_do_not_mix(kind: dict[str, object]) -> None:
    model = make_model(kind)
    batch = collate(PAIRS[:2])
    state, memory = model.encode(batch.src, batch.src_lengths)
    rows = torch.tensor([0, 0, 1, 1])
    tokens = torch.tensor([4, 5, 6, 7])
    logits, _, _ = model.step(tokens, select_rows(state, rows), memory)
    for row, (sentence, token) in enumerate(zip(rows.tolist(), tokens, strict=True)):
        alone = collate([PAIRS[sentence]])
        first, look_back = model.encode(alone.src, alone.src_lengths)
        expected, _, _ = model.step(token.view(1), first, look_back)
        torch.testing.assert_close(logits[row], expected[0])


@every_kind
def test_every_weight_but_paddings_gets_a_gradient(kind: dict[str, object]) -> None:
    model = make_model(kind).train()
    pairs = [([*range(4, 12)], [*range(4, 10)])] * 2
    logits_of(model, pairs).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert not model.embedding.weight.grad[1].any()


def test_a_uniform_guess_costs_log_vocab() -> None:
    model = make_model({"context": "attention"}, scale=0.0)
    log_probs = logits_of(model, PAIRS).log_softmax(-1)
    torch.testing.assert_close(log_probs, torch.full_like(log_probs, -math.log(10)))


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (make_model({"context": "attention"}).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
