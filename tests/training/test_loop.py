import random
from collections.abc import Callable, Sequence

import pytest
import torch
from conftest import ALL_KINDS, KINDS, describe_kind, make_model
from torch.amp.grad_scaler import GradScaler

from s2s_cli.config import Model, Training
from s2s_cli.data.batching import Batch, collate
from s2s_cli.data.dataset import EncodedPair
from s2s_cli.decoding.beam import beam_search
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training import loop
from s2s_cli.training.loop import Position, train
from s2s_cli.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.validate import GREEDY

GRU_KINDS = [kind for kind in ALL_KINDS if kind["cell"] == "gru"] + KINDS
"""For rounding, cells differ less than what surrounds them; `KINDS` has LSTMs too."""

PAIRS = [([4 + i % 5, 4 + i % 7], [4 + i % 3, 4 + i % 4]) for i in range(20)]


def make_step(model: Seq2Seq, config: Training) -> TrainingStep:
    return TrainingStep(model, make_optimizer(model.parameters(), config), config)


def update(step: TrainingStep, batches: Sequence[Batch], forcing: float = 1.0) -> float:
    """One update; the loss."""
    return step.apply(*step.backward(batches, forcing)).loss


def small_model(kind: dict[str, object], vocab: int = 12, hidden: int = 32) -> Seq2Seq:
    torch.manual_seed(1)
    config = Model(embed_size=16, hidden_size=hidden, attention_size=16, dropout=0.0, **kind)
    return Seq2Seq(config, vocab, vocab, PAD_ID)


@pytest.mark.parametrize(
    ("kind", "teacher_forcing"),
    [(kind, 0.5 if number % 3 else 1.0) for number, kind in enumerate(KINDS)],
    ids=str,
)
def test_a_single_batch_is_memorised(kind: dict[str, object], teacher_forcing: float) -> None:
    model = small_model(kind)
    config = Training(learning_rate=0.02)
    step = make_step(model, config)
    batch = collate([([4, 5, 6], [7, 8]), ([6, 5, 4], [9]), ([8, 8], [4, 5, 6, 7])])
    losses = (update(step, [batch], teacher_forcing) for _ in range(400))
    assert any(loss / batch.num_tokens < 0.01 for loss in losses)
    found = beam_search(model.eval(), batch.src, batch.src_lengths, GREEDY)
    assert [hypotheses[0].token_ids for hypotheses in found] == [[7, 8], [9], [4, 5, 6, 7]]


@pytest.mark.parametrize("context", ["initial", "attention"])
def test_a_copy_task_is_solved_on_unseen_input(context: str) -> None:
    generator = random.Random(1)
    sequences = sorted(
        {
            tuple(generator.randrange(4, 8) for _ in range(generator.randint(1, 4)))
            for _ in range(1200)
        }
    )
    generator.shuffle(sequences)
    unseen, known = sequences[:40], sequences[40:]
    model = small_model({"context": context}, vocab=8)
    config = Training(
        learning_rate=0.01,
        batch_size=16,
        epochs=40,
        schedule="exponential",
        learning_rate_decay=0.9,
        decay_after=20,
    )
    pairs = [([*sequence], [*sequence]) for sequence in known]
    for _ in train(make_step(model, config), lambda _: pairs):
        pass
    batch = collate([([*sequence], [*sequence]) for sequence in unseen])
    found = beam_search(model.eval(), batch.src, batch.src_lengths, GREEDY)
    right = sum(tuple(hyps[0].token_ids) == seq for hyps, seq in zip(found, unseen, strict=True))
    assert right / len(unseen) >= 0.9


def test_progress_counts_updates_epochs_and_real_tokens() -> None:
    model = small_model({"context": "attention"})
    config = Training(epochs=2, batch_size=8)
    progress = list(train(make_step(model, config), lambda _: PAIRS))
    assert [p.position.step for p in progress] == [1, 2, 3, 4, 5, 6]
    assert [p.is_epoch_end for p in progress] == [False, False, True] * 2
    assert sum(p.result.num_tokens for p in progress[:3]) == sum(len(tgt) + 1 for _, tgt in PAIRS)


def lengthen(epoch: int) -> list[EncodedPair]:
    """The same pairs with different sources in every epoch."""
    return [(src + [4 + epoch] * (i % 3), tgt) for i, (src, tgt) in enumerate(PAIRS)]


@pytest.mark.parametrize("pairs_of", [lambda _: PAIRS, lengthen], ids=["same", "resampled"])
def test_resuming_from_a_position_equals_never_having_stopped(
    pairs_of: Callable[[int], list[EncodedPair]],
) -> None:
    config = Training(epochs=2, batch_size=8)

    def run_from(model: Seq2Seq, start: Position, stop_at: int | None) -> dict[str, torch.Tensor]:
        step = make_step(model, config)
        for progress in train(step, pairs_of, start):
            if progress.position.step == stop_at:
                break
        return optimizer_tensors(step.optimizer)

    whole = small_model({"context": "attention"})
    run_from(whole, Position(), None)
    halved = small_model({"context": "attention"})
    tensors = run_from(halved, Position(), 4)
    step = make_step(halved, config)
    restore_optimizer(step.optimizer, tensors)
    for _ in train(step, pairs_of, Position(1, 1, 4)):
        pass
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, halved.state_dict()[name]), name


def test_each_epoch_trains_on_its_own_pairs_and_counts_their_tokens() -> None:
    model, config = small_model({"context": "initial"}), Training(epochs=2, batch_size=8)
    asked: list[int] = []

    def resample(epoch: int) -> list[EncodedPair]:
        asked.append(epoch)
        return [([4], [5] * (epoch + 1)) for _ in PAIRS]

    progress = list(train(make_step(model, config), resample))
    assert asked == [0, 1]
    tokens = [sum(p.result.num_tokens for p in progress if p.position.epoch == e) for e in range(2)]
    assert tokens == [len(PAIRS) * 2, len(PAIRS) * 3]


def test_a_gradient_that_is_not_finite_never_reaches_the_weights() -> None:
    model = small_model({"context": "attention"})
    with torch.no_grad():
        model.output.projection.bias[5] = torch.inf
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = list(train(make_step(model, Training(epochs=1)), lambda _: PAIRS))
    assert [progress.result.is_applied for progress in done] == [False]
    assert sorted(done[0].pairs) == list(range(len(PAIRS)))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_prefetched_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Training(epochs=2, batch_size=3, accumulate=2)
    found = []
    for kinds in ((), ("cpu",)):
        monkeypatch.setattr(loop, "PREFETCHED_DEVICES", frozenset(kinds))
        model = small_model({"context": "attention"})
        done = train(make_step(model, config), lambda _: PAIRS, Position(0, 2, 1))
        found.append(([update._replace(seconds=0) for update in done], model.state_dict()))
    (one, weights), (other, others) = found
    assert one == other
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())


def test_the_loss_scale_falls_until_float16_no_longer_overflows() -> None:
    model = small_model({"context": "attention"})
    config = Training(precision="fp16", epochs=4, batch_size=5, learning_rate=0.01)
    step = make_step(model, config)
    step.scaler = GradScaler("cpu", init_scale=2.0**30)
    before = model.output.projection.weight.detach().clone()
    done = [progress.result for progress in train(step, lambda _: PAIRS)]
    assert [result.is_applied for result in done] == [not result.is_overflow for result in done]
    num_overflows = sum(result.is_overflow for result in done)
    assert 0 < num_overflows < len(done) - 1
    assert done[0].is_overflow
    assert done[-1].is_applied
    assert step.scaler.get_scale() == 2.0 ** (30 - num_overflows)
    assert not torch.equal(model.output.projection.weight, before)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_loss_that_is_not_finite_is_not_blamed_on_float16() -> None:
    model = small_model({"context": "attention"})
    config = Training(precision="fp16", epochs=1)
    with torch.no_grad():
        model.output.projection.bias[5] = torch.nan
    (done,) = train(make_step(model, config), lambda _: PAIRS)
    assert (done.result.is_applied, done.result.is_overflow) == (False, False)


@pytest.mark.parametrize("kernels", ["fused", "plain"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", GRU_KINDS, ids=describe_kind)
def test_16_bit_training_differs_from_float32_by_rounding_only(
    kind: dict[str, object], precision: str, kernels: str
) -> None:
    model = make_model(
        {**kind, "dropout": 0.0, "word_dropout": 0.0, "output_dropout": 0.0}, scale=1.0
    )
    select_kernels(model, Training(precision=precision, kernels=kernels))
    optimizer = make_optimizer(model.parameters(), Training(optimizer="sgd", learning_rate=1e-9))
    batch = [collate(PAIRS[:6])]
    losses, gradients = [], []
    for name in ("float32", precision):
        config = Training(precision=name, clip_norm=100.0, kernels=kernels)
        losses.append(update(TrainingStep(model, optimizer, config), batch))
        found = (p.grad for p in model.parameters() if p.grad is not None)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert not torch.equal(*gradients)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    # Scheduled sampling runs step by step.
    step = TrainingStep(model, optimizer, Training(precision=precision))
    assert update(step, batch, 0.5) > 0


def test_gradients_are_clipped_to_the_global_norm() -> None:
    model = make_model({"context": "attention"}, scale=20.0)
    update(make_step(model, Training(clip_norm=0.01)), [collate([([4, 5], [6, 7])])])
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert norms.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_accumulated_batches_give_the_gradient_of_the_whole() -> None:
    model = small_model({"context": "attention"})
    step = make_step(model, Training(optimizer="sgd", learning_rate=0.1))
    gradients = []
    for batches in ([PAIRS[:12]], [PAIRS[:5], PAIRS[5:12]]):
        saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        loss = update(step, [collate(pairs) for pairs in batches])
        gradients.append((loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
        model.load_state_dict(saved)
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for whole, parts in zip(gradients[0][1], gradients[1][1], strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


def test_an_epoch_of_accumulated_batches_counts_updates_and_batches() -> None:
    model = small_model({"context": "initial"})
    config = Training(batch_size=4, accumulate=2, epochs=2)  # five batches: 2, 2 and 1
    found = list(train(make_step(model, config), lambda _: PAIRS))
    positions = [Position(0, 2, 1), Position(0, 4, 2), Position(0, 5, 3)]
    assert [p.position for p in found[:3]] == positions
    assert [p.is_epoch_end for p in found] == [False, False, True] * 2
    assert sum(p.result.num_tokens for p in found[:3]) == sum(len(tgt) + 1 for _, tgt in PAIRS)


OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adadelta")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_as_if_never_stopped(name: str) -> None:
    momentum = 0.9 if name in {"sgd", "rmsprop"} else 0.0
    config = Training(optimizer=name, momentum=momentum, weight_decay=0.01, learning_rate=0.01)
    models = [small_model({"context": "initial"}) for _ in range(2)]
    first, second = (make_step(model, config) for model in models)
    for part in range(4):
        batch = collate(PAIRS[part : part + 4])
        update(first, [batch])
        update(second, [batch])
        saved = optimizer_tensors(second.optimizer)
        second = make_step(models[1], config)
        restore_optimizer(second.optimizer, saved)
    for name_, tensor in models[0].state_dict().items():
        assert torch.equal(tensor, models[1].state_dict()[name_]), name_


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    model = small_model({"context": "initial"})
    rate = {"sgd": 1.0, "adadelta": 1.0}.get(name, 0.01)
    config = Training(optimizer=name, learning_rate=rate)
    step = make_step(model, config)
    losses = [update(step, [collate(PAIRS)]) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_adam_is_fused_on_the_cpu() -> None:
    model = small_model({"context": "initial"})
    assert make_optimizer(model.parameters(), Training()).param_groups[0]["fused"]
