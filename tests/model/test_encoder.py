import pytest
import torch
from conftest import CELLS

from s2s_cli.config import Model
from s2s_cli.model.encoder import Encoder, Encoding, reverse_words

SHORT, LONG = torch.randn(1, 3, 3), torch.randn(1, 5, 3)


def make_encoder(**keys: object) -> Encoder:
    config = {"embed_size": 3, "hidden_size": 4, "num_layers": 2, **keys}
    return Encoder(Model.model_validate(config)).eval()


def encode_both(encoder: Encoder, filler: float = 0.0) -> Encoding:
    """The short sentence, padded, and the long one, in one batch."""
    padding = torch.full((1, 2, 3), filler)
    embedded = torch.cat([torch.cat([SHORT, padding], dim=1), LONG])
    return encoder(embedded, torch.tensor([3, 5]))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(
    "option",
    [
        {"reverse_source": True},
        {"residual": True},
        {"layer_norm": "output"},
        {"layer_norm": "cell"},
        {"transition_depth": 2},
    ],
    ids=str,
)
def test_padding_changes_nothing(cell: str, bidirectional: bool, option: dict[str, object]) -> None:
    encoder = make_encoder(cell=cell, bidirectional=bidirectional, **option)
    alone = encoder(SHORT, torch.tensor([3]))
    padded = encode_both(encoder, filler=7.0)
    torch.testing.assert_close(padded.outputs[:1, :3], alone.outputs)
    assert not padded.outputs[0, 3:].any()
    for tensor, expected in zip(padded.state, alone.state, strict=True):
        torch.testing.assert_close(tensor[:1], expected)
    assert padded.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_the_state_is_taken_after_the_last_real_token() -> None:
    encoding = encode_both(make_encoder(bidirectional=False))
    top = encoding.state[0][:, -1]
    torch.testing.assert_close(top[0], encoding.outputs[0, 2])
    torch.testing.assert_close(top[1], encoding.outputs[1, 4])


def test_a_bidirectional_state_concatenates_both_directions() -> None:
    encoding = make_encoder(cell="lstm")(SHORT, torch.tensor([3]))
    assert [tuple(tensor.shape) for tensor in encoding.state] == [(1, 2, 4), (1, 2, 4)]
    top = encoding.state[0][0, -1]
    torch.testing.assert_close(top[:2], encoding.outputs[0, -1, :2])
    torch.testing.assert_close(top[2:], encoding.outputs[0, 0, 2:])


def test_words_are_reversed_and_eos_and_padding_stay() -> None:
    words = torch.tensor([[1, 2, 3, 9, 0], [1, 9, 0, 0, 0], [1, 2, 3, 4, 9]]).unsqueeze(-1)
    found = reverse_words(words, torch.tensor([4, 2, 5])).squeeze(-1)
    assert found.tolist() == [[3, 2, 1, 9, 0], [1, 9, 0, 0, 0], [4, 3, 2, 1, 9]]


def test_a_reversed_source_is_read_backwards_and_kept_in_order() -> None:
    plain, reverse = (make_encoder(bidirectional=False, reverse_source=r) for r in (False, True))
    reverse.load_state_dict(plain.state_dict())
    lengths = torch.tensor([5])
    expected = plain(reverse_words(LONG, lengths), lengths)
    found = reverse(LONG, lengths)
    torch.testing.assert_close(found.state, expected.state)
    torch.testing.assert_close(found.outputs, reverse_words(expected.outputs, lengths))


def test_residual_layers_add_their_inputs() -> None:
    deep, shallow = make_encoder(residual=True), make_encoder(num_layers=1)
    shallow.layers[0].load_state_dict(deep.layers[0].state_dict())
    for parameter in deep.layers[1].parameters():
        torch.nn.init.zeros_(parameter)  # a layer whose outputs are zero
    lengths = torch.tensor([5])
    torch.testing.assert_close(deep(LONG, lengths).outputs, shallow(LONG, lengths).outputs)
