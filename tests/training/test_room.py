"""Batches that do not fit into the memory, against the same batches where all fit."""

import pytest
import torch
from conftest import make_model

from s2s_cli.config import Training
from s2s_cli.data.batching import Batch, collate
from s2s_cli.errors import DeviceError, is_out_of_memory
from s2s_cli.parallel import Ranks
from s2s_cli.training import step as gradients_module
from s2s_cli.training.loss import batch_loss
from s2s_cli.training.step import Gradients

PAIRS = [([4 + i % 5] * (1 + i % 4), [4 + i % 3] * (1 + i % 3)) for i in range(16)]

MESSAGES = (
    "CUDA out of memory. Tried to allocate 20.00 MiB",
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 123 bytes. Error code 12 (Cannot allocate memory)",
    "std::bad_alloc",
)


def limit_memory(
    monkeypatch: pytest.MonkeyPatch, most_rows: int, message: str = MESSAGES[0]
) -> list[int]:
    """Let the backward pass of more rows fail when it is half done; how many rows were tried."""
    tried: list[int] = []

    def limited(model: object, batch: Batch, *rest: object) -> torch.Tensor:
        tried.append(len(batch.src))
        loss: torch.Tensor = batch_loss(model, batch, *rest)  # type: ignore[arg-type]
        if len(batch.src) > most_rows:
            loss.register_hook(lambda _: _fail(message))
        return loss

    monkeypatch.setattr(gradients_module, "batch_loss", limited)
    return tried


def _fail(message: str) -> None:
    raise RuntimeError(message)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    found = []
    for most_rows in (16, 3):
        model = make_model({"dropout": 0.0}).train()
        tried = limit_memory(monkeypatch, most_rows, message)
        adding = Gradients(model, Training())
        sums = adding.add_up([collate(PAIRS)], 1.0)
        found.append((sums, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (whole, expected), (parted, gradients) = found
    assert whole.num_parts == 0
    assert parted.num_parts == len([rows for rows in tried if rows <= 3])
    assert (parted.num_tokens, parted.loss) == (whole.num_tokens, pytest.approx(whole.loss))
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    # What was learnt holds for the next batch, which is cut before it fails.
    tried.clear()
    assert adding.add_up([collate(PAIRS)], 1.0).num_parts == 0
    assert max(tried) <= 3
    assert sum(tried) == len(PAIRS)


def test_the_random_numbers_of_a_failed_pass_are_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = []
    for most_rows in (8, 16):
        torch.manual_seed(3)
        limit_memory(monkeypatch, most_rows)
        adding = Gradients(make_model({"dropout": 0.5}).train(), Training())
        torch.manual_seed(4)
        adding.add_up([collate(PAIRS[:8]), collate(PAIRS[8:])], 1.0)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    torch.manual_seed(4)
    limit_memory(monkeypatch, 8)
    adding.add_up([collate(PAIRS)], 1.0)  # fails once, then goes through in two parts
    assert torch.equal(torch.get_rng_state(), states[0])


def test_a_single_pair_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 0)
    with pytest.raises(DeviceError, match=r"single pair of \d+ source and \d+ target tokens"):
        Gradients(make_model({}).train(), Training()).add_up([collate(PAIRS)], 1.0)


def test_of_several_processes_each_needs_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 3)
    adding = Gradients(make_model({}).train(), Training())
    monkeypatch.setattr(adding, "_ranks", Ranks(0, 2))
    monkeypatch.setattr(Ranks, "total", lambda _, number: number)
    with pytest.raises(DeviceError, match=r"halve training\.batch_size"):
        adding.add_up([collate(PAIRS)], 1.0)


def test_other_errors_are_no_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 3, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        Gradients(make_model({}).train(), Training()).add_up([collate(PAIRS)], 1.0)
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
