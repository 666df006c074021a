import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch import Tensor

from s2s_cli.data.batching import Batch, collate
from s2s_cli.model.decoders import can_fuse
from s2s_cli.model.seq2seq import Seq2Seq

BEFORE = [
    {"cell": cell, "num_layers": 1, "decoder_start": start, "layer_norm": layer_norm}
    for cell in ("rnn", "gru", "lstm")
    for start, layer_norm in (("last", False), ("dense", True))
]
FUSED_KINDS = [
    kind
    for kind in (*ALL_KINDS, *({"context": "attention", **kind} for kind in BEFORE))
    if can_fuse(make_config(kind))
]
PAIRS = [([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])]


def _loss_and_gradients(model: Seq2Seq, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    torch.manual_seed(7)  # dropout
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    targets = batch.tgt_out[batch.tgt_mask]
    loss = torch.nn.functional.cross_entropy(logits.to(torch.float64), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    named = model.named_parameters()
    return loss.detach(), {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_every_sort_of_model_that_can_be_fused_is_among_those_tested() -> None:
    views = {(str(kind["cell"]), kind.get("attend", "before") == "below") for kind in FUSED_KINDS}
    assert views == {(cell, below) for cell in ("rnn", "gru", "lstm") for below in (False, True)}


@pytest.mark.parametrize("kind", FUSED_KINDS, ids=describe_kind)
def test_the_fused_loop_is_the_plain_one(kind: dict[str, object]) -> None:
    model = make_model(kind, scale=2.0).double().train()
    batch = collate(PAIRS)
    fused, fused_gradients = _loss_and_gradients(model, batch)
    model.compute_plainly()
    plain, plain_gradients = _loss_and_gradients(model, batch)
    assert fused.item() == pytest.approx(plain.item(), rel=1e-12)
    assert fused_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-9, atol=1e-12)
        assert gradient.abs().max() > 0, name


def test_the_fused_loop_is_what_trains() -> None:
    model = make_model({"context": "attention"}).train()
    batch = collate(PAIRS)
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    assert "_FusedLoopBackward" in _names_of(logits.grad_fn)
    model.compute_plainly()
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    assert "_FusedLoopBackward" not in _names_of(logits.grad_fn)


def _names_of(node: object) -> set[str]:
    seen: set[object] = set()
    left = [node]
    while left:
        found = left.pop()
        if found is not None and found not in seen:
            seen.add(found)
            left += [parent for parent, _ in getattr(found, "next_functions", ())]
    return {type(found).__name__ for found in seen}


def test_in_bfloat16_both_loops_are_as_near_to_float32() -> None:
    kind: dict[str, object] = {"context": "attention", "dropout": 0.0, "hidden_size": 32}
    model = make_model(kind, scale=2.0).train()
    batch = collate(PAIRS)
    exact, exact_gradients = _loss_and_gradients(model, batch)
    distances = []
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, gradients = _loss_and_gradients(model, batch)
        assert loss.item() == pytest.approx(exact.item(), rel=5e-3)
        off = sum(float((gradients[name] - g).norm()) for name, g in exact_gradients.items())
        distances.append(off / sum(float(g.norm()) for g in exact_gradients.values()))
        model.compute_plainly()
    fused, plain = distances
    assert 0 < fused < max(2 * plain, 0.05)
