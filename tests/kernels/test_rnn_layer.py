import gc
from collections.abc import Sequence

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config, make_model
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from s2s_cli.data.batching import collate
from s2s_cli.kernels.cells import NUM_PARTS, State
from s2s_cli.kernels.rnn_layer import run_packed, run_sequences
from s2s_cli.model.layers import RNN_CLASSES, as_state
from s2s_cli.model.seq2seq import Seq2Seq

CELLS = ("rnn", "gru", "lstm")
LENGTHS: list[list[int]] = [[5, 3, 3, 1], [2, 7, 1, 4], [4], [3, 3, 3]]


def _assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def _differentiate(results: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a sum in which every entry counts differently."""
    torch.manual_seed(5)
    total = torch.stack([(part * torch.randn_like(part)).sum() for part in results]).sum()
    return torch.autograd.grad(total, wanted, retain_graph=True)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_packed_sequences_give_what_torch_gives(
    cell: str, bidirectional: bool, lengths: list[int]
) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True, bidirectional=bidirectional).double()
    inputs = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64, requires_grad=True)
    packed = pack_padded_sequence(
        inputs, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    theirs, last = rnn(packed)
    outputs, state = run_packed(rnn, cell, packed)
    results: list[tuple[Tensor, ...]] = [(outputs, *state), (theirs.data, *as_state(last))]
    _assert_same(*results)
    wanted = [inputs, *rnn.parameters()]
    _assert_same(*(_differentiate(result, wanted) for result in results))


@pytest.mark.parametrize("cell", CELLS)
def test_a_graph_goes_with_what_it_gave(cell: str) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True)
    first = (torch.zeros(2, 4),) * NUM_PARTS[cell]
    gc.collect()
    gc.disable()  # no graph is to wait for the collector of cycles
    try:
        for _ in range(3):
            run_sequences(rnn, cell, torch.randn(2, 5, 3), first)
        assert "_FusedLayerBackward" not in {type(each).__name__ for each in gc.get_objects()}
    finally:
        gc.enable()


@pytest.mark.parametrize("cell", CELLS)
def test_sequences_from_a_state_give_what_torch_gives(cell: str) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True).double()
    inputs = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    first: State = tuple(
        torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(NUM_PARTS[cell])
    )
    given = tuple(part.unsqueeze(0) for part in first)
    theirs, last = rnn(inputs, given if len(given) > 1 else given[0])
    outputs, state = run_sequences(rnn, cell, inputs, first)
    results = [(outputs, *state), (theirs, *(part[0] for part in as_state(last)))]
    _assert_same(*results)
    wanted = [inputs, *first, *rnn.parameters()]
    _assert_same(*(_differentiate(result, wanted) for result in results))


@pytest.mark.parametrize("kind", ALL_KINDS[::5], ids=describe_kind)
def test_fused_and_plain_models_have_the_same_gradients(kind: dict[str, object]) -> None:
    model = make_model(kind, scale=2.0).double().train()
    fused = _gradients(model)
    model.compute_plainly()
    _assert_same(fused, _gradients(model))


def _gradients(model: Seq2Seq) -> list[Tensor]:
    batch = collate([([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])])
    model.zero_grad()
    torch.manual_seed(7)  # dropout
    model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask).logsumexp(-1).sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("cell", CELLS)
def test_in_bfloat16_a_fused_layer_stays_near_float32(cell: str) -> None:
    kind: dict[str, object] = {"cell": cell, "context": "initial", "dropout": 0.0}
    model = make_model({**kind, "hidden_size": 32}, scale=1.0).train()
    exact = _gradients(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = _gradients(model)
    off = sum(float((a - b).norm()) for a, b in zip(rough, exact, strict=True))
    assert 0 < off < 0.05 * sum(float(gradient.norm()) for gradient in exact)
    assert make_config(kind).cell == cell
