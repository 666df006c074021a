import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_model

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, collate
from s2s_cli.errors import DeviceError, is_out_of_memory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.loop import train
from s2s_cli.training.loss import LossModule
from s2s_cli.training.optimizer import make_optimizer
from s2s_cli.training.step import TrainingStep

PAIRS = [([4, 5, 6], [7, 8]), ([6, 5], [9])]


def make_step(model: Seq2Seq, **settings: object) -> TrainingStep:
    config = Training.model_validate({"epochs": 1, **settings})
    return TrainingStep(model, make_optimizer(model.parameters(), config), config)


@pytest.mark.parametrize("kind", ALL_KINDS, ids=describe_kind)
def test_every_weight_of_every_model_gets_a_gradient(kind: dict[str, object]) -> None:
    """DistributedDataParallel needs it: each rank waits until every gradient has arrived."""
    for forcing in (1.0, 0.0):
        model = make_model(kind)
        make_step(model).backward([collate(PAIRS)], forcing)
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_batch_without_counted_tokens_changes_nothing() -> None:
    found = []
    for more in ([], [collate(PAIRS[1:])._replace(num_tokens=0)]):
        model = make_model({"dropout": 0.0})
        step = make_step(model)
        losses, num_tokens = step.backward([collate(PAIRS[:1]), *more])
        gradients = [p.grad.tolist() for p in model.parameters() if p.grad is not None]
        found.append((losses, num_tokens, gradients, step.apply(losses, num_tokens)))
    assert found[0] == found[1]


def test_an_update_reads_its_values_from_the_device_in_one_transfer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU has to finish all its work before each of them; the CPU stands in for it here."""
    step = make_step(make_model({"context": "attention"}), accumulate=2)
    losses, num_tokens = step.backward([collate(PAIRS), collate(PAIRS[1:])])
    transfers: list[str] = []

    def spy_on(name: str) -> None:
        transfer = getattr(torch.Tensor, name)

        def noting(tensor: torch.Tensor) -> object:
            transfers.append(name)
            return transfer(tensor)

        monkeypatch.setattr(torch.Tensor, name, noting)

    for name in ("tolist", "item", "__float__", "__bool__", "__int__"):
        spy_on(name)
    assert step.apply(losses, num_tokens).is_applied
    assert transfers == ["tolist"]


MESSAGES = (
    "CUDA out of memory. Tried to allocate 20.00 MiB",
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 123 bytes. Error code 12 (Cannot allocate memory)",
    "std::bad_alloc",
)


def fail(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """Let every forward pass fail."""

    def forward(_module: LossModule, _batch: Batch, _forcing: float) -> torch.Tensor:
        raise RuntimeError(message)

    monkeypatch.setattr(LossModule, "forward", forward)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_batch_too_large_for_the_memory_is_described(
    monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    fail(monkeypatch, message)
    with pytest.raises(DeviceError) as caught:
        list(train(make_step(make_model({})), lambda _: PAIRS))
    assert "cpu: too little memory for a batch of 2 pairs of up to 4 source and 3 target" in str(
        caught.value
    )
    assert "halve training.batch_size and double training.accumulate" in str(caught.value)


def test_a_single_pair_too_large_for_the_memory_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(monkeypatch, MESSAGES[0])
    with pytest.raises(DeviceError, match=r"a single pair of \d source .* lower data\.max_length"):
        list(train(make_step(make_model({}), batch_size=1), lambda _: PAIRS))


def test_other_errors_are_not_blamed_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        list(train(make_step(make_model({})), lambda _: PAIRS))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
