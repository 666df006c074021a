"""Without a GPU what is recorded is run again: buckets, corners and order are the same."""

from collections.abc import Iterable
from copy import deepcopy

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch import Tensor

from s2s_cli.data.batching import Batch, collate
from s2s_cli.errors import ConfigError
from s2s_cli.model import graphed_loop
from s2s_cli.model.decoders import can_fuse
from s2s_cli.model.graphed_loop import GraphedLoop, round_up
from s2s_cli.model.seq2seq import Seq2Seq

KINDS: list[dict[str, object]] = [
    {"cell": cell, "context": "attention", "num_layers": layers, "attend": attend}
    for cell in ("rnn", "gru", "lstm")
    for layers, attend in ((1, "before"), (2, "below"))
]

SHORT = [([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])]
SAME_BUCKET = [([5, 5, 4, 9, 9, 9], [7]), ([8, 7], [6, 6, 6, 5])]
LONG = [([4, 5, 6, 7, 8] * 3, [4, 5] * 6), ([9], [6, 7]), *SHORT, *SHORT, *SHORT]


def _loss(model: Seq2Seq, batch: Batch) -> Tensor:
    torch.manual_seed(7)  # dropout
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    targets = batch.tgt_out[batch.tgt_mask]
    return torch.nn.functional.cross_entropy(logits.to(torch.float64), targets)


def _gradients(model: Seq2Seq, losses: Iterable[Tensor]) -> list[Tensor]:
    model.zero_grad()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def _loop_of(model: Seq2Seq) -> GraphedLoop:
    loop = model.decoder.loop
    assert isinstance(loop, GraphedLoop)
    return loop


@pytest.mark.parametrize("kind", KINDS, ids=describe_kind)
def test_the_replayed_loop_is_the_fused_one(kind: dict[str, object]) -> None:
    model = make_model(kind, scale=2.0).double().train()
    fused = deepcopy(model)
    model.replay_loop()
    for pairs in (SHORT, SAME_BUCKET, LONG, SHORT, LONG, SAME_BUCKET):
        loss, other_loss = (_loss(trained, collate(pairs)) for trained in (model, fused))
        assert loss.item() == pytest.approx(other_loss.item(), rel=1e-12)
        others = _gradients(fused, [other_loss])
        for gradient, other in zip(_gradients(model, [loss]), others, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)
        # Weights change between two updates.
        with torch.no_grad():
            for parameter in (*model.parameters(), *fused.parameters()):
                parameter.mul_(0.9)
    assert [bucket[:3] for bucket in _loop_of(model).graphs] == [(4, 8, 8), (12, 16, 16)]


def test_every_kind_that_has_the_loop_can_replay_it_and_no_other() -> None:
    for kind in ALL_KINDS:
        model = make_model(kind)
        if can_fuse(make_config(kind)):
            model.replay_loop()
        else:
            with pytest.raises(
                ConfigError, match=r"training\.kernels graphs: they are of the loop"
            ):
                model.replay_loop()


def test_what_was_not_finite_is_not_read_again() -> None:
    model = make_model(KINDS[2]).train()
    model.replay_loop()
    with torch.no_grad():
        model.src_table[4] = torch.nan
    loss = _loss(model, collate(LONG))
    assert loss.isnan()
    assert any(gradient.isnan().any() for gradient in _gradients(model, [loss]))
    del loss
    with torch.no_grad():
        model.src_table[4] = 0.5
    assert _replays(model)
    loss = _loss(model, collate(SAME_BUCKET))
    assert all(gradient.isfinite().all() for gradient in _gradients(model, [loss]))


def test_while_a_way_back_is_due_nothing_is_overwritten() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}, scale=2.0).double().train()
    batches = collate(SHORT), collate(SAME_BUCKET)
    expected = _gradients(model, (_loss(model, batch) for batch in batches))
    model.replay_loop()
    # Both forwards, then both back.
    found = _gradients(model, [_loss(model, batch) for batch in batches])
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)
    assert _replays(model)
    due = _loss(model, batches[0])
    assert not _replays(model)
    del due
    assert _replays(model)


def _replays(model: Seq2Seq) -> bool:
    names, left = set(), [_loss(model, collate(SHORT)).grad_fn]
    while left:
        node = left.pop()
        if node is not None:
            names.add(type(node).__name__)
            left += [parent for parent, _ in node.next_functions]
    return "_ReplayedBackward" in names


def test_gradients_of_several_batches_add_up() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}, scale=2.0).double().train()
    batches = collate(SHORT), collate(SAME_BUCKET), collate(SHORT)
    expected = _gradients(model, (_loss(model, batch) for batch in batches))
    model.replay_loop()
    found = _gradients(model, (_loss(model, batch) for batch in batches))
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)


def test_a_loss_that_is_still_held_does_not_stop_the_next_from_being_replayed() -> None:
    model = make_model(KINDS[2]).train()
    model.replay_loop()
    loss = _loss(model, collate(SHORT))
    _gradients(model, [loss])
    assert _replays(model)
    assert loss.grad_fn is not None


def test_where_memory_is_too_small_for_recording_it_goes_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}).double().train()
    expected = _gradients(model, [_loss(model, collate(SHORT))])

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.replay_loop()
    with monkeypatch.context() as patch:
        patch.setattr(graphed_loop, "run_backwards", fail)
        loss = _loss(model, collate(SHORT))
    for gradient, other in zip(_gradients(model, [loss]), expected, strict=True):
        torch.testing.assert_close(gradient, other)
    # Nor is it tried again.
    assert not _replays(model)


def test_no_more_buckets_are_recorded_than_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed_loop, "MOST", 1)
    model = make_model(KINDS[2]).train()
    model.replay_loop()
    assert _replays(model)
    _loss(model, collate(LONG))
    assert len(_loop_of(model).graphs) == 1


def test_in_bfloat16_it_is_the_fused_one() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0, "hidden_size": 32}, scale=2.0).train()
    batch, found = collate(LONG), []
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = _loss(model, batch)
        found.append((loss.item(), _gradients(model, [loss])))
        model.replay_loop()
    (fused, gradients), (replayed, others) = found
    assert replayed == pytest.approx(fused, rel=1e-3)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0.05, atol=1e-2)


def test_a_copy_of_the_model_has_graphs_of_its_own() -> None:
    model = make_model(KINDS[2]).train()
    model.replay_loop()
    _loss(model, collate(SHORT))
    copied = deepcopy(model)
    assert _loop_of(copied) is not _loop_of(model)
    assert not _loop_of(copied).graphs


def test_sizes_are_rounded_up() -> None:
    assert [round_up(size) for size in (1, 4, 5, 13, 32, 33, 64, 65, 100, 2048, 2049)] == [
        *(4, 4, 8, 16, 32, 36, 64, 72, 104, 2048, 2304)
    ]
    for size in range(33, 5000):
        assert size <= round_up(size) <= size * 9 / 8
