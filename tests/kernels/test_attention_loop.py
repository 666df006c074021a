import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_model
from torch import Tensor

from s2s_cli.data.batching import Batch, collate
from s2s_cli.model.kernel_selection import TrainingKernels, has_attention_loop, use_training_kernels
from s2s_cli.model.seq2seq import Seq2Seq

BEFORE = [
    {"cell": cell, "num_layers": 1, "decoder_start": start, "layer_norm": layer_norm}
    for cell in ("rnn", "gru", "lstm")
    for start, layer_norm in (("last", "none"), ("dense", "output"))
]
FUSED_KINDS = [
    kind
    for kind in (*ALL_KINDS, *({"context": "attention", **kind} for kind in BEFORE))
    if has_attention_loop(make_model(kind).decoder)
]
FUSED, PLAIN = TrainingKernels(attention_loop=True), TrainingKernels()
PAIRS = [([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])]


def loss_and_gradients(
    model: Seq2Seq, batch: Batch, kernels: TrainingKernels
) -> tuple[Tensor, dict[str, Tensor]]:
    use_training_kernels(model, kernels)
    model.zero_grad()
    torch.manual_seed(7)  # dropout
    logits = model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask)
    targets = batch.tgt_out[batch.tgt_mask]
    loss = torch.nn.functional.cross_entropy(logits.to(torch.float64), targets)
    loss.backward()  # type: ignore[no-untyped-call]
    named = model.named_parameters()
    return loss.detach(), {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_all_cells_and_both_decoders_are_tested() -> None:
    kinds = {(str(kind["cell"]), kind.get("attend", "before") == "below") for kind in FUSED_KINDS}
    assert kinds == {(cell, below) for cell in ("rnn", "gru", "lstm") for below in (False, True)}


@pytest.mark.parametrize("kind", FUSED_KINDS, ids=describe_kind)
def test_the_kernel_equals_the_plain_loop(kind: dict[str, object]) -> None:
    model = make_model(kind, scale=2.0).double().train()
    batch = collate(PAIRS)
    fused, fused_gradients = loss_and_gradients(model, batch, FUSED)
    plain, plain_gradients = loss_and_gradients(model, batch, PLAIN)
    assert fused.item() == pytest.approx(plain.item(), rel=1e-12)
    assert fused_gradients.keys() == plain_gradients.keys()
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-9, atol=1e-12)
        assert gradient.abs().max() > 0, name


def test_in_bfloat16_both_loops_are_equally_close_to_float32() -> None:
    kind: dict[str, object] = {"context": "attention", "dropout": 0.0, "hidden_size": 32}
    model = make_model(kind, scale=2.0).train()
    batch = collate(PAIRS)
    exact, exact_gradients = loss_and_gradients(model, batch, FUSED)
    distances = []
    for kernels in (FUSED, PLAIN):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, gradients = loss_and_gradients(model, batch, kernels)
        assert loss.item() == pytest.approx(exact.item(), rel=5e-3)
        off = sum(float((gradients[name] - g).norm()) for name, g in exact_gradients.items())
        distances.append(off / sum(float(g.norm()) for g in exact_gradients.values()))
    fused, plain = distances
    assert 0 < fused < max(2 * plain, 0.05)
