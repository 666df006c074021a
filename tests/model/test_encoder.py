import pytest
import torch

from s2s_cli.config import Model
from s2s_cli.model.encoder import Encoder

PAD = 1


def make_encoder(cell: str, *, bidirectional: bool) -> Encoder:
    config = Model(
        cell=cell, embed_size=3, hidden_size=4, num_layers=2, bidirectional=bidirectional
    )
    return Encoder(config, vocab_size=9, pad_id=PAD).eval()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_changes_nothing(cell: str, bidirectional: bool) -> None:
    encoder = make_encoder(cell, bidirectional=bidirectional)
    alone = encoder(torch.tensor([[5, 6, 3]]), torch.tensor([3]))
    src = torch.tensor([[5, 6, 3, PAD, PAD], [4, 5, 6, 7, 3]])
    padded = encoder(src, torch.tensor([3, 5]))
    torch.testing.assert_close(padded.outputs[:1, :3], alone.outputs)
    assert not padded.outputs[0, 3:].any()
    for part, expected in zip(padded.state, alone.state, strict=True):
        torch.testing.assert_close(part[:1], expected)
    assert padded.mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_the_state_is_that_after_the_last_real_token() -> None:
    encoder = make_encoder("gru", bidirectional=False)
    encoding = encoder(torch.tensor([[5, 3, PAD], [4, 6, 3]]), torch.tensor([2, 3]))
    top = encoding.state[0][:, -1]
    torch.testing.assert_close(top[0], encoding.outputs[0, 1])
    torch.testing.assert_close(top[1], encoding.outputs[1, 2])


def test_a_bidirectional_state_joins_both_directions() -> None:
    encoder = make_encoder("lstm", bidirectional=True)
    encoding = encoder(torch.tensor([[4, 5, 3]]), torch.tensor([3]))
    assert [tuple(part.shape) for part in encoding.state] == [(1, 2, 4), (1, 2, 4)]
    top = encoding.state[0][0, -1]
    torch.testing.assert_close(top[:2], encoding.outputs[0, -1, :2])
    torch.testing.assert_close(top[2:], encoding.outputs[0, 0, 2:])
