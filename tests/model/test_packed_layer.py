import pytest
import torch
from conftest import CELLS
from torch.nn.utils.rnn import pack_padded_sequence

from s2s_cli.model.packed_layer import PackedLayer
from s2s_cli.model.recurrent_layer import RNN_CLASSES, RecurrentLayer, as_state

LENGTHS = torch.tensor([2, 5, 1, 4, 5])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_with_one_cell_the_loop_equals_torchs_layer(cell: str, bidirectional: bool) -> None:
    theirs = RNN_CLASSES[cell](3, 4, batch_first=True, bidirectional=bidirectional).double()
    ours = PackedLayer([RecurrentLayer(cell, 3, 4) for _ in range(1 + bidirectional)]).double()
    for suffix, layer in zip(("", "_reverse"), ours.directions, strict=False):
        weights = {name: getattr(theirs, name + suffix) for name in layer.rnn.state_dict()}
        layer.rnn.load_state_dict(weights)
    embedded = torch.randn(5, 5, 3, dtype=torch.float64)
    packed = pack_padded_sequence(embedded, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, state = ours(packed)
    expected, last = theirs(packed)
    torch.testing.assert_close(outputs.data, expected.data)
    torch.testing.assert_close(state, as_state(last))


@pytest.mark.parametrize("layer_norm", ["none", "cell"])
@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_read_each_sentence_alone(cell: str, layer_norm: str) -> None:
    forwards, backwards = (RecurrentLayer(cell, 3, 4, 3, layer_norm) for _ in range(2))
    embedded = torch.randn(5, 5, 3)
    packed = pack_padded_sequence(embedded, LENGTHS, batch_first=True, enforce_sorted=False)
    _, state = PackedLayer([forwards, backwards])(packed)
    for row, length in enumerate(LENGTHS.tolist()):
        sentence = embedded[row : row + 1, :length]
        _, last = forwards(sentence, forwards.zero_state(1))
        _, first = backwards(sentence.flip(1), backwards.zero_state(1))
        for tensor, one, other in zip(state, last, first, strict=True):
            torch.testing.assert_close(tensor[:, row], torch.cat([one, other]))
