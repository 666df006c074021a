import pytest
import torch

from s2s_cli.model.layers import (
    RecurrentStack,
    SequenceDropout,
    StackConfig,
    select_rows,
)
from s2s_cli.model.recurrent_layer import RecurrentLayer


@pytest.mark.parametrize("layer_norm", ["none", "cell"])
@pytest.mark.parametrize(("cell", "num_tensors"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_stepping_a_layer_equals_running_it(cell: str, num_tensors: int, layer_norm: str) -> None:
    layer = RecurrentLayer(cell, 3, 4, layer_norm=layer_norm)
    inputs = torch.randn(2, 5, 3)
    state = tuple(torch.randn(2, 4) for _ in range(num_tensors))
    outputs, last = layer(inputs, state)
    for position in range(5):
        state = layer.step(layer.project(inputs[:, position]), state)
        torch.testing.assert_close(state[0], outputs[:, position])
    for stepped, ran in zip(state, last, strict=True):
        torch.testing.assert_close(stepped, ran)


@pytest.mark.parametrize("layer_norm", ["output", "cell"])
@pytest.mark.parametrize(("cell", "num_tensors"), [("rnn", 1), ("gru", 1), ("lstm", 2)])
def test_stepping_a_stack_equals_running_it(cell: str, num_tensors: int, layer_norm: str) -> None:
    config = StackConfig(cell, 3, 4, 3, residual=True, layer_norm=layer_norm)
    stack = RecurrentStack(config, SequenceDropout(0.5, is_variational=False)).eval()
    inputs = torch.randn(2, 5, 3)
    state = tuple(torch.randn(2, 3, 4) for _ in range(num_tensors))
    outputs = stack(inputs, state)
    for position in range(5):
        stepped, state = stack.step(stack.project(inputs[:, position]), state)
        torch.testing.assert_close(stepped, outputs[:, position])


def test_rows_of_a_state_can_be_reordered_and_repeated() -> None:
    state = (torch.arange(6.0).view(3, 1, 2), torch.arange(6.0).view(3, 1, 2) * 10)
    h, c = select_rows(state, torch.tensor([2, 0, 0]))
    assert h.flatten().tolist() == [4, 5, 0, 1, 0, 1]
    assert c.flatten().tolist() == [40, 50, 0, 10, 0, 10]
