import pytest
import torch
from conftest import CELLS, make_config
from torch import nn

from s2s_cli.model.recurrent_layer import RecurrentLayer, Transition
from s2s_cli.model.seq2seq import Seq2Seq

CELL_CLASSES = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def as_torch_cell(transition: Transition, cell: str) -> nn.RNNCellBase:
    """Torch's cell with the same weights; those of its input are random."""
    theirs = CELL_CLASSES[cell](3, 4).double()
    with torch.no_grad():
        theirs.weight_hh.copy_(transition.recurrent.weight)
        theirs.bias_hh.copy_(transition.recurrent.bias)
        theirs.bias_ih.copy_(transition.gates)
    return theirs


@pytest.mark.parametrize("cell", CELLS)
def test_transitions_are_cells_whose_input_is_zero(cell: str) -> None:
    layer = RecurrentLayer(cell, 3, 4, depth=3).double()
    for transition in layer.transitions:
        nn.init.normal_(transition.gates)
    first = CELL_CLASSES[cell](3, 4).double()
    first.load_state_dict({name[:-3]: value for name, value in layer.rnn.state_dict().items()})
    inputs = torch.randn(2, 5, 3, dtype=torch.float64)
    outputs, last = layer(inputs, layer.zero_state(2))

    def as_input(state: tuple[torch.Tensor, ...]) -> object:
        return state if cell == "lstm" else state[0]

    state = layer.zero_state(2)
    for position in range(5):
        step_inputs = inputs[:, position]
        for torch_cell in (first, *(as_torch_cell(t, cell) for t in layer.transitions)):
            found = torch_cell(step_inputs, as_input(state))
            state = found if isinstance(found, tuple) else (found,)
            step_inputs = torch.zeros_like(step_inputs)
        torch.testing.assert_close(outputs[:, position], state[0])
    torch.testing.assert_close(last, state)


def test_a_depth_of_one_is_a_model_without_transitions() -> None:
    torch.manual_seed(1)
    deep = Seq2Seq(make_config({"transition_depth": 1}), 12, 10, 1).state_dict()
    torch.manual_seed(1)
    plain = Seq2Seq(make_config({}), 12, 10, 1).state_dict()
    assert all(torch.equal(deep[name], plain[name]) for name in plain.keys() | deep.keys())
    assert "encoder.layers.0.weight_hh_l0_reverse" in plain
    assert not any("transitions" in name for name in plain)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"transition_depth": 3}, (2 * 2, 2)),
        ({"encoder": {"transition_depth": 2}}, (2, 0)),
        ({"transition_depth": 2, "encoder": {"transition_depth": 1}}, (0, 1)),
        ({"transition_depth": 3, "num_layers": 2, "bidirectional": False}, (2 * 2, 2 * 2)),
        ({"attend": "between", "transition_depth": 4}, (3 * 2, 3)),
    ],
    ids=str,
)
def test_each_side_has_its_own_depth(keys: dict[str, object], expected: tuple[int, int]) -> None:
    model = Seq2Seq(make_config(keys), 12, 10, 1)
    found = [
        sum(isinstance(module, Transition) for module in side.modules())
        for side in (model.encoder, model.decoder)
    ]
    assert tuple(found) == expected
