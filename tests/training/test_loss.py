import math

import pytest
import torch
from conftest import make_model

from s2s_cli.config import Training
from s2s_cli.data.batching import collate
from s2s_cli.decoding.score_pairs import perplexity, score_pairs
from s2s_cli.decoding.translator import Translator
from s2s_cli.kernels.cross_entropy import linear_cross_entropy
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.text.tokenizer import Codec, make_tokenizer
from s2s_cli.text.vocabulary import BOS_ID, PAD_ID, Vocabulary
from s2s_cli.training.loss import LossModule, measure_tokens, token_loss

PAIRS = [([4, 5, 6], [4, 5, 6, 7]), ([7], [8])]


def test_a_uniform_guess_costs_log_vocab_per_real_token() -> None:
    logits, targets = torch.zeros(5, 10), torch.tensor([4, 5, 6, 7, 3])
    for smoothing in (0.0, 0.1):
        assert token_loss(logits, targets, smoothing).item() == pytest.approx(5 * math.log(10))


def test_label_smoothing_by_hand() -> None:
    # Two tokens, probabilities 0.75 and 0.25; the target gets 0.9 + 0.05, the other 0.05.
    logits = torch.tensor([[math.log(0.75), math.log(0.25)]])
    expected = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
    assert token_loss(logits, torch.tensor([0]), 0.1).item() == pytest.approx(expected)


def test_measures_of_a_uniform_guess() -> None:
    model = make_model({"context": "attention"}, scale=0.0)
    with torch.no_grad():
        model.output.projection.bias[4] = 1e-4  # the likeliest everywhere, by a hair
    measures = measure_tokens(model, [collate(PAIRS)])
    # Of ten entries padding and bos are no choice.
    assert measures.loss == pytest.approx(math.log(8), abs=1e-3)
    assert measures.perplexity == pytest.approx(8, abs=1e-2)
    assert measures.accuracy == pytest.approx(1 / 7)  # one 4 among 7 real tokens


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("block", [1, 30, 1 << 23])
def test_the_fused_loss_equals_the_plain_one_for_every_block_size(
    label_smoothing: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.kernels.cross_entropy.BLOCK_LOGITS", block)
    monkeypatch.setattr("s2s_cli.kernels.cross_entropy.CHUNK_LOGITS", 20)
    sizes = ((7, 5), (9, 5), (9,))  # seven tokens, five features, nine words
    given = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    targets = torch.tensor([0, 8, 3, 3, 4, 5, 1])
    plain = token_loss(torch.nn.functional.linear(*given), targets, label_smoothing)
    fused = linear_cross_entropy(*given, targets, label_smoothing)
    torch.testing.assert_close(fused, plain)
    wanted = torch.autograd.grad(3 * plain, given)
    for found, gradient in zip(torch.autograd.grad(3 * fused, given), wanted, strict=True):
        torch.testing.assert_close(found, gradient)


def test_no_tokens_cost_nothing() -> None:
    weight, bias = torch.randn(9, 5, requires_grad=True), torch.randn(9, requires_grad=True)
    loss = linear_cross_entropy(torch.empty(0, 5), weight, bias, torch.empty(0, dtype=torch.long))
    gradients = torch.autograd.grad(loss, [weight, bias])
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("forcing", [1.0, 0.0])
def test_fused_and_plain_training_agree_in_loss_and_every_gradient(forcing: float) -> None:
    model = make_model({"context": "attention", "tied": "output"}, scale=2.0).double().train()
    batch, found = collate(PAIRS), []
    for kernels in ("fused", "plain"):
        config = Training.model_validate({"kernels": kernels, "label_smoothing": 0.1})
        select_kernels(model, config)
        model.zero_grad()
        torch.manual_seed(3)
        loss = LossModule(model, config)(batch, forcing)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.item(), [p.grad for p in model.parameters() if p.grad is not None]))
    (fused, fused_gradients), (plain, plain_gradients) = found
    assert fused == pytest.approx(plain, rel=1e-6)  # plain logits become float32
    for ours, theirs in zip(fused_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("context", ["initial", "attention"])
def test_perplexity_is_that_of_scored_pairs(context: str) -> None:
    model = make_model({"context": context})
    with torch.no_grad():
        model.output.projection.bias[[PAD_ID, BOS_ID]] += 5
    space = make_tokenizer("space", "en", lowercase=False)
    src = Codec(space, Vocabulary(list("stuvwxyz"), [1] * 8))
    tgt = Codec(space, Vocabulary(list("abcdef"), [1] * 6))
    texts = ["s t u", "v"], ["a b c d", "new"]
    pairs = [(src.encode(s), tgt.encode(t)) for s, t in zip(*texts, strict=True)]
    scores = score_pairs(Translator(model, src, tgt, torch.device("cpu")), *texts, 64)
    measured = measure_tokens(model, [collate(pairs)]).perplexity
    assert measured == pytest.approx(perplexity(scores), rel=1e-5)


def test_measures_do_not_depend_on_batching() -> None:
    model = make_model({"context": "attention"})
    together = measure_tokens(model, [collate(PAIRS)])
    alone = measure_tokens(model, [collate([pair]) for pair in PAIRS])
    assert together == pytest.approx(alone)


def test_a_hopeless_model_has_a_perplexity_that_json_can_write() -> None:
    model = make_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[9] = 1e6
    measures = measure_tokens(model, [collate(PAIRS)])
    assert measures.loss > 1e4
    assert math.isfinite(measures.perplexity)
    with torch.no_grad():
        model.output.projection.bias[9] = torch.nan
    assert math.isnan(measure_tokens(model, [collate(PAIRS)]).loss)
