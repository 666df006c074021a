"""Tests on a CPU, where nothing is recorded and replaying runs the loop again."""

from collections.abc import Iterable
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from s2s_cli.config import Model, Training
from s2s_cli.data.batching import Batch, collate
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID
from tools.experiments import cuda_graphs
from tools.experiments.cuda_graphs import graphed_loop, round_up

KINDS: list[dict[str, object]] = [
    {"cell": cell, "context": "attention", "num_layers": layers, "attend": attend}
    for cell in ("rnn", "gru", "lstm")
    for layers, attend in ((1, "before"), (2, "below"))
]

SHORT = [([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])]
SAME_BUCKET = [([5, 5, 4, 9, 9, 9], [7]), ([8, 7], [6, 6, 6, 5])]
LONG = [([4, 5, 6, 7, 8] * 3, [4, 5] * 6), ([9], [6, 7]), *SHORT, *SHORT, *SHORT]


def loss_of(model: Seq2Seq, batch: Batch) -> Tensor:
    torch.manual_seed(7)  # dropout
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    targets = batch.tgt_out[batch.tgt_mask]
    return torch.nn.functional.cross_entropy(logits.to(torch.float64), targets)


def gradients_of(model: Seq2Seq, losses: Iterable[Tensor]) -> list[Tensor]:
    model.zero_grad()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def make_model(kind: dict[str, object], scale: float = 5.0) -> Seq2Seq:
    torch.manual_seed(1)
    sizes = {"embed_size": 5, "hidden_size": 6, "attention_size": 4, "dropout": 0.3}
    model = Seq2Seq(Model.model_validate({**sizes, **kind}), 12, 10, PAD_ID)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    select_kernels(model, Training())
    return model.train()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_replayed_loop_equals_the_loop(kind: dict[str, object]) -> None:
    model = make_model(kind, scale=2.0).double()
    other = deepcopy(model)
    with graphed_loop() as loop:
        replayed = updates_of(model)
    for (loss, gradients), (expected, others) in zip(replayed, updates_of(other), strict=True):
        assert loss == pytest.approx(expected, rel=1e-12)
        for gradient, expected_gradient in zip(gradients, others, strict=True):
            torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-12)
    assert [bucket[:3] for bucket in loop.graphs] == [(4, 8, 8), (12, 16, 16)]


def updates_of(model: Seq2Seq) -> list[tuple[float, list[Tensor]]]:
    found = []
    for pairs in (SHORT, SAME_BUCKET, LONG, SHORT, LONG, SAME_BUCKET):
        loss = loss_of(model, collate(pairs))
        found.append((loss.item(), gradients_of(model, [loss])))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)  # weights change between two updates
    return found


def replays(model: Seq2Seq) -> bool:
    names, waiting = set(), [loss_of(model, collate(SHORT)).grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None:
            names.add(type(node).__name__)
            waiting += [parent for parent, _ in node.next_functions]
    return "_ReplayedBackward" in names


def test_values_that_are_not_finite_do_not_stay_in_memory() -> None:
    model = make_model(KINDS[2])
    with graphed_loop():
        with torch.no_grad():
            model.src_table[4] = torch.nan
        loss = loss_of(model, collate(LONG))
        assert loss.isnan()
        assert any(gradient.isnan().any() for gradient in gradients_of(model, [loss]))
        del loss
        with torch.no_grad():
            model.src_table[4] = 0.5
        assert replays(model)
        loss = loss_of(model, collate(SAME_BUCKET))
        assert all(gradient.isfinite().all() for gradient in gradients_of(model, [loss]))


def test_a_pending_backward_pass_is_not_overwritten() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}, scale=2.0).double()
    batches = collate(SHORT), collate(SAME_BUCKET)
    expected = gradients_of(model, (loss_of(model, batch) for batch in batches))
    with graphed_loop():
        # Both forward passes, then both backward passes.
        found = gradients_of(model, [loss_of(model, batch) for batch in batches])
        for gradient, other in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)
        assert replays(model)
        pending = loss_of(model, batches[0])
        assert not replays(model)
        del pending
        assert replays(model)


def test_gradients_of_several_batches_add_up() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}, scale=2.0).double()
    batches = collate(SHORT), collate(SAME_BUCKET), collate(SHORT)
    expected = gradients_of(model, (loss_of(model, batch) for batch in batches))
    with graphed_loop():
        found = gradients_of(model, (loss_of(model, batch) for batch in batches))
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-12)


def test_a_loss_that_is_still_held_does_not_prevent_replaying() -> None:
    model = make_model(KINDS[2])
    with graphed_loop():
        loss = loss_of(model, collate(SHORT))
        gradients_of(model, [loss])
        assert replays(model)
        assert loss.grad_fn is not None


def test_a_bucket_whose_recording_runs_out_of_memory_runs_without_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model({**KINDS[2], "dropout": 0.0}).double()
    expected = gradients_of(model, [loss_of(model, collate(SHORT))])

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with graphed_loop():
        with monkeypatch.context() as patch:
            patch.setattr(cuda_graphs, "backward_loop", fail)
            loss = loss_of(model, collate(SHORT))
        for gradient, other in zip(gradients_of(model, [loss]), expected, strict=True):
            torch.testing.assert_close(gradient, other)
        assert not replays(model)  # nor is it tried again


def test_the_number_of_buckets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "MAX_BUCKETS", 1)
    model = make_model(KINDS[2])
    with graphed_loop() as loop:
        assert replays(model)
        loss_of(model, collate(LONG))
    assert len(loop.graphs) == 1


def test_in_bfloat16_the_replayed_loop_equals_the_loop() -> None:
    model = make_model({**KINDS[2], "dropout": 0.0, "hidden_size": 32}, scale=2.0)
    batch = collate(LONG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = loss_of(model, batch)
        with graphed_loop():
            replayed = loss_of(model, batch)
    assert replayed.item() == pytest.approx(expected.item(), rel=1e-3)
    others = gradients_of(model, [expected])
    for gradient, other in zip(gradients_of(model, [replayed]), others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0.05, atol=1e-2)


def test_sizes_are_rounded_up() -> None:
    assert [round_up(size) for size in (1, 4, 5, 13, 32, 33, 64, 65, 100, 2048, 2049)] == [
        *(4, 4, 8, 16, 32, 36, 64, 72, 104, 2048, 2304)
    ]
    for size in range(33, 5000):
        assert size <= round_up(size) <= size * 9 / 8
