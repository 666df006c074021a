"""The conditional decoder, against its equations for one sentence and one step at a time."""

import pytest
import torch
from conftest import CELLS, make_config
from textbook import compute_cell
from torch import Tensor

from s2s_cli.kernels.cells import State
from s2s_cli.model.conditional import ConditionalDecoder
from s2s_cli.model.encoder import Encoding
from s2s_cli.model.recurrent_layer import RecurrentLayer

NUM_PAIRS, SRC_LEN, TGT_LEN = 2, 4, 3
LENGTHS = (4, 2)


def make_decoder(cell: str, **keys: object) -> ConditionalDecoder:
    """A decoder in float64 with embeddings of 5, states of 6 and an attention layer of 4."""
    decoder = ConditionalDecoder(make_config({"cell": cell, "attend": "between", **keys}))
    for parameter in decoder.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return decoder.double().eval()


def make_encoding(cell: str) -> Encoding:
    """Two sentences of four and two tokens."""
    mask = torch.arange(SRC_LEN) < torch.tensor(LENGTHS).unsqueeze(1)
    outputs = torch.randn(NUM_PAIRS, SRC_LEN, 6, dtype=torch.float64) * mask.unsqueeze(-1)
    state = tuple(
        torch.randn(NUM_PAIRS, 1, 6, dtype=torch.float64).tanh()
        for _ in range(2 if cell == "lstm" else 1)
    )
    return Encoding(outputs, mask, state)


def run_layer(cell: str, layer: RecurrentLayer, x: Tensor, state: State) -> State:
    """One step of one sentence."""
    rnn = layer.rnn
    from_x = rnn.weight_ih_l0 @ x + rnn.bias_ih_l0
    from_h = rnn.weight_hh_l0 @ state[0] + rnn.bias_hh_l0
    return compute_cell(cell, from_x, from_h, state)


def attend(decoder: ConditionalDecoder, query: Tensor, values: Tensor) -> Tensor:
    """The weighted average of the encoder's outputs `(src_len, value)` of one sentence."""
    scorer = decoder.attention.scorer
    energies = [
        scorer.score @ torch.tanh(scorer.query.weight @ query + scorer.key(value))
        for value in values
    ]
    weights = torch.softmax(torch.stack(energies), dim=0)
    return sum((w * value for w, value in zip(weights, values, strict=True)), torch.zeros(6))


@pytest.mark.parametrize("cell", CELLS)
def test_the_decoder_computes_its_equations(cell: str) -> None:
    decoder, encoding = make_decoder(cell), make_encoding(cell)
    embedded = torch.randn(NUM_PAIRS, TGT_LEN, 5, dtype=torch.float64)
    with torch.no_grad():
        features = decoder(embedded, *decoder.init_state(encoding))
        for row, length in enumerate(LENGTHS):
            state = tuple(tensor[row, 0] for tensor in encoding.state)  # decoder_start last
            values = encoding.outputs[row, :length]
            for position in range(TGT_LEN):
                word = embedded[row, position]
                between = run_layer(cell, decoder.word_layer, word, state)
                context = attend(decoder, between[0], values)
                state = run_layer(cell, decoder.context_layer, context, between)
                expected = torch.cat([state[0], word, context])
                torch.testing.assert_close(features[row, position], expected)


def test_the_layers_above_get_the_context_as_an_input() -> None:
    decoder = make_decoder("gru", num_layers=2, decoder_start="zero")
    encoding = make_encoding("gru")
    state, memory = decoder.init_state(encoding)
    word = torch.randn(NUM_PAIRS, 5, dtype=torch.float64)
    with torch.no_grad():
        features = decoder.step(word, state, memory).features
        top, context = features[:, :6], features[:, 11:]
        for row in range(NUM_PAIRS):
            zeros = (torch.zeros(6, dtype=torch.float64),)
            between = run_layer("gru", decoder.word_layer, word[row], zeros)
            bottom = run_layer("gru", decoder.context_layer, context[row], between)
            upper = decoder.stack.bottom
            (expected,) = run_layer("gru", upper, torch.cat([bottom[0], context[row]]), zeros)
            torch.testing.assert_close(top[row], expected)
