import pytest
import torch
from conftest import CELLS, make_config
from textbook import compute_cell
from torch import Tensor, nn

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


def normalize(sums: Tensor, norm: nn.Module) -> Tensor:
    """Ba et al. 2016, equation 4, for one sentence; `norm` only holds gains and biases."""
    mean = sum(sums.tolist()) / len(sums)
    variance = sum((x - mean) ** 2 for x in sums.tolist()) / len(sums)
    return norm.weight * (sums - mean) / (variance + 1e-5) ** 0.5 + norm.bias  # type: ignore[operator]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_normalises_the_sums_from_its_inputs_and_from_its_state(cell: str) -> None:
    layer = RecurrentLayer(cell, 3, 4, depth=2, layer_norm="cell").double()
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1, 1)
    inputs = torch.randn(2, 3, dtype=torch.float64)
    gates = layer.project(inputs)
    context = torch.randn_like(gates)  # what a decoder adds from its attention
    before = tuple(torch.randn_like(h) for h in layer.zero_state(2))
    with torch.no_grad():
        found = layer.step(gates + context, before)
        (transition,) = layer.transitions
        for row in range(2):
            state = tuple(tensor[row] for tensor in before)
            from_x = layer.rnn.weight_ih_l0 @ inputs[row] + context[row]
            from_h = normalize(layer.rnn.weight_hh_l0 @ state[0], layer.state_norm)
            state = compute_cell(cell, normalize(from_x, layer.input_norm), from_h, state)
            from_h = normalize(transition.recurrent.weight @ state[0], transition.norm)
            state = compute_cell(cell, transition.gates, from_h, state)
            torch.testing.assert_close(tuple(tensor[row] for tensor in found), state)


def test_only_norms_inside_cells_have_biases_of_gates() -> None:
    layers = {kind: RecurrentLayer("gru", 3, 4, 2, kind) for kind in ("none", "output", "cell")}
    names = {kind: set(layer.state_dict()) for kind, layer in layers.items()}
    assert names["none"] == names["output"]
    assert names["cell"] - names["none"] == {
        *(f"{norm}.{name}" for norm in ("input_norm", "state_norm") for name in ("weight", "bias")),
        *("transitions.0.norm.weight", "transitions.0.norm.bias"),
    }
    assert names["none"] - names["cell"] == {
        *("rnn.bias_ih_l0", "rnn.bias_hh_l0", "transitions.0.recurrent.bias")
    }


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
