"""Consistency training: R-Drop and SimCut by hand, and fused against plain."""

import math
from typing import Any

import pytest
import torch
from conftest import make_model
from torch import Tensor
from torch.nn import functional as F

from s2s_cli.config import Training
from s2s_cli.data.batching import collate
from s2s_cli.kernels.cross_entropy import ViewWeights, linear_cross_entropy
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.recipe import check_config
from s2s_cli.training.consistency import consistency_loss, double, draw_kept_words
from s2s_cli.training.loss import LossModule, token_loss

PAIRS = [([4, 5, 6], [4, 5, 6, 7]), ([7], [8])]
RDROP = {"consistency": "rdrop", "consistency_weight": 3.0}
SIMCUT = {"consistency": "simcut", "consistency_weight": 3.0, "consistency_cut": 0.4}


def kl(first: Tensor, second: Tensor) -> float:
    """KL(first || second) of two distributions given by their logits, summed over rows."""
    p, q = first.softmax(-1), second.softmax(-1)
    return (p * (p.log() - q.log())).sum().item()


def test_the_terms_by_hand() -> None:
    first = torch.tensor([[math.log(0.75), math.log(0.25)]])
    second = torch.tensor([[math.log(0.5), math.log(0.5)]])
    targets, both = torch.tensor([0]), torch.cat([first, second])
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    weights = ViewWeights((0.5, 0.5), (2.0, 3.0))
    expected = -0.5 * math.log(0.75) - 0.5 * math.log(0.5) + 2 * forward + 3 * backward
    assert consistency_loss(both, targets, 0.0, weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("config", [RDROP, SIMCUT], ids=["rdrop", "simcut"])
def test_the_loss_of_a_batch_is_that_of_the_papers(config: dict[str, Any]) -> None:
    model = make_model({"context": "attention", "dropout": 0.5}, scale=2.0).train()
    training = Training.model_validate({**config, "kernels": "plain", "label_smoothing": 0.1})
    select_kernels(model, training)
    batch = collate(PAIRS)
    torch.manual_seed(1)
    loss = LossModule(model, training)(batch)
    torch.manual_seed(1)
    twice = double(batch)
    kept = draw_kept_words(twice.src, training), draw_kept_words(twice.tgt_in, training)
    readouts = model.compute_readouts(
        twice.src, twice.src_lengths, twice.tgt_in, twice.tgt_mask, kept
    )
    first, second = model.project(readouts).chunk(2)
    targets = batch.tgt_out[batch.tgt_mask]
    losses = [token_loss(logits, targets, 0.1).item() for logits in (first, second)]
    if config is RDROP:
        expected = sum(losses) / 2 + 3 / 4 * (kl(first, second) + kl(second, first))
    else:
        expected = losses[0] + 3 * kl(first, second)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_dropout_both_views_of_rdrop_agree() -> None:
    model = make_model({"context": "attention", "dropout": 0.0}, scale=2.0).train()
    batch = collate(PAIRS)
    plain, doubled = (
        LossModule(model, Training.model_validate(config))(batch).item() for config in ({}, RDROP)
    )
    assert doubled == pytest.approx(plain, rel=1e-5)


def test_words_are_cut_in_the_second_view_only() -> None:
    model = make_model({"context": "attention", "dropout": 0.0}, scale=2.0).train()
    training = Training.model_validate(SIMCUT)
    torch.manual_seed(2)
    twice = double(collate([([4, 5, 6] * 20, [7] * 60)] * 4))
    kept = draw_kept_words(twice.src, training)
    assert kept is not None
    assert kept[:4].all()
    assert kept[4:].float().mean().item() == pytest.approx(0.6, abs=0.1)
    embedded = model.src_embedding(twice.src, kept)
    assert torch.equal(embedded.abs().sum(-1) > 0, kept)
    assert draw_kept_words(twice.src, Training.model_validate(RDROP)) is None


WEIGHTS = [
    ViewWeights((0.5, 0.5), (0.7, 0.7)),
    ViewWeights((1.0, 0.0), (3.0, 0.0)),
    ViewWeights((0.2, 0.9), (0.0, 0.4)),
]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("block", [1, 60, 1 << 23])
def test_the_fused_loss_equals_the_plain_one_for_every_block_size(
    weights: ViewWeights, label_smoothing: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.kernels.cross_entropy.BLOCK_LOGITS", block)
    monkeypatch.setattr("s2s_cli.kernels.cross_entropy.CHUNK_LOGITS", 40)
    torch.manual_seed(1)
    sizes = ((14, 5), (9, 5), (9,))  # seven tokens in two views, five features, nine words
    given = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    targets = torch.tensor([0, 8, 3, 3, 4, 5, 1])
    plain = consistency_loss(F.linear(*given), targets, label_smoothing, weights)
    fused = linear_cross_entropy(*given, targets, label_smoothing, weights)
    torch.testing.assert_close(fused, plain)
    wanted = torch.autograd.grad(3 * plain, given)
    for found, gradient in zip(torch.autograd.grad(3 * fused, given), wanted, strict=True):
        torch.testing.assert_close(found, gradient)


@pytest.mark.parametrize("config", [RDROP, SIMCUT], ids=["rdrop", "simcut"])
def test_fused_and_plain_training_agree_in_every_gradient(config: dict[str, Any]) -> None:
    keys = {"context": "attention", "tied": "output", "dropout": 0.3}
    model = make_model(keys, scale=2.0).double().train()
    batch, found = collate(PAIRS), []
    for kernels in ("fused", "plain"):
        training = Training.model_validate({**config, "kernels": kernels, "label_smoothing": 0.1})
        select_kernels(model, training)
        model.zero_grad()
        torch.manual_seed(3)
        loss = LossModule(model, training)(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append([loss.double(), *(parameter.grad for parameter in model.parameters())])
    for fused, plain in zip(*found, strict=True):
        # The plain path computes the loss in float32.
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_consistency_is_refused_with_sampled_decoder_inputs() -> None:
    with pytest.raises(Exception, match="consistency rdrop: compares predictions"):
        check_config({"training": {**RDROP, "teacher_forcing": 0.5}}, "x")
