import gc
from collections.abc import Sequence

import pytest
import torch
from conftest import ALL_KINDS, CELLS, describe_kind, make_model
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from s2s_cli.data.batching import collate
from s2s_cli.kernels.cells import NUM_STATE_TENSORS, State
from s2s_cli.kernels.rnn_layer import run_packed, run_sequences
from s2s_cli.model.kernel_selection import TrainingKernels, use_training_kernels
from s2s_cli.model.layers import RNN_CLASSES, as_state
from s2s_cli.model.seq2seq import Seq2Seq

FUSED, PLAIN = TrainingKernels(rnn_layer=True), TrainingKernels()
LENGTHS: list[list[int]] = [[5, 3, 3, 1], [2, 7, 1, 4], [4], [3, 3, 3]]


def assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def differentiate(results: Sequence[Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of a sum that weights every entry differently."""
    torch.manual_seed(5)
    total = torch.stack([(each * torch.randn_like(each)).sum() for each in results]).sum()
    return torch.autograd.grad(total, wanted, retain_graph=True)


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_packed_sequences_equal_torchs(cell: str, bidirectional: bool, lengths: list[int]) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True, bidirectional=bidirectional).double()
    inputs = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64, requires_grad=True)
    packed = pack_padded_sequence(
        inputs, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    theirs, last = rnn(packed)
    outputs, state = run_packed(cell, rnn.all_weights, packed)
    results: list[tuple[Tensor, ...]] = [(outputs, *state), (theirs.data, *as_state(last))]
    assert_same(*results)
    wanted = [inputs, *rnn.parameters()]
    assert_same(*(differentiate(result, wanted) for result in results))


@pytest.mark.parametrize("cell", CELLS)
def test_a_graph_is_freed_with_its_outputs(cell: str) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True)
    first = (torch.zeros(2, 4),) * NUM_STATE_TENSORS[cell]
    gc.collect()
    gc.disable()  # a graph must not need the collector of reference cycles
    try:
        for _ in range(3):
            run_sequences(cell, rnn.all_weights[0], torch.randn(2, 5, 3), first)
        assert "_RNNLayerBackward" not in {type(each).__name__ for each in gc.get_objects()}
    finally:
        gc.enable()


@pytest.mark.parametrize("cell", CELLS)
def test_sequences_from_a_state_equal_torchs(cell: str) -> None:
    rnn = RNN_CLASSES[cell](3, 4, batch_first=True).double()
    inputs = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    first: State = tuple(
        torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
        for _ in range(NUM_STATE_TENSORS[cell])
    )
    hidden, *cells = (tensor.unsqueeze(0) for tensor in first)
    theirs, last = rnn(inputs, (hidden, *cells) if cells else hidden)
    outputs, state = run_sequences(cell, rnn.all_weights[0], inputs, first)
    results = [(outputs, *state), (theirs, *(tensor[0] for tensor in as_state(last)))]
    assert_same(*results)
    wanted = [inputs, *first, *rnn.parameters()]
    assert_same(*(differentiate(result, wanted) for result in results))


@pytest.mark.parametrize("kind", ALL_KINDS[::5], ids=describe_kind)
def test_models_have_the_same_gradients_with_and_without_the_kernel(
    kind: dict[str, object],
) -> None:
    model = make_model(kind, scale=2.0).double().train()
    assert_same(gradients(model, FUSED), gradients(model, PLAIN))


def gradients(model: Seq2Seq, kernels: TrainingKernels) -> list[Tensor]:
    use_training_kernels(model, kernels)
    batch = collate([([4, 5, 6, 7, 8], [4, 5]), ([9], [6, 7, 8, 4, 5, 9]), ([4, 4], [9])])
    model.zero_grad()
    torch.manual_seed(7)  # dropout
    model(batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask).logsumexp(-1).sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("cell", CELLS)
def test_in_bfloat16_the_kernel_stays_close_to_float32(cell: str) -> None:
    kind: dict[str, object] = {"cell": cell, "context": "initial", "dropout": 0.0}
    model = make_model({**kind, "hidden_size": 32}, scale=1.0).train()
    exact = gradients(model, FUSED)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = gradients(model, FUSED)
    off = sum(float((a - b).norm()) for a, b in zip(rounded, exact, strict=True))
    assert 0 < off < 0.05 * sum(float(gradient.norm()) for gradient in exact)
