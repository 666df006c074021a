import math

import pytest
import torch
from conftest import SCORERS

from s2s_cli.config import Model
from s2s_cli.model.attention import Attention

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])
WIDTH = 4

every_scorer = pytest.mark.parametrize("scorer", SCORERS)


def make_attention(scorer: str, value_size: int = WIDTH) -> Attention:
    sizes = {"encoder": {"hidden_size": value_size}, "decoder_start": "zero"}
    config = Model.model_validate(
        {"hidden_size": WIDTH, "attention": scorer, "attention_size": 6, **sizes}
    )
    attention = Attention(config)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    return attention


@every_scorer
def test_weights_sum_to_one_and_are_exactly_zero_at_padding(scorer: str) -> None:
    attention = make_attention(scorer)
    memory = attention.make_memory(torch.randn(2, 4, WIDTH), MASK)
    _, weights = attention(torch.randn(2, WIDTH), memory)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    assert (weights[~MASK] == 0).all()
    assert (weights[MASK] > 0).all()


@every_scorer
def test_attention_follows_the_papers_formulas(scorer: str) -> None:
    attention = make_attention(scorer)
    s, h = torch.randn(2, WIDTH), torch.randn(2, 4, WIDTH)
    context, weights = attention(s, attention.make_memory(h, MASK))
    scoring = attention.scorer
    query = s.unsqueeze(1)
    energies = {
        # Bahdanau et al. 2014: v . tanh(W s_{i-1} + U h_j); Luong et al. 2015: s . W h, s . h.
        "additive": lambda: torch.tanh(scoring.query(query) + scoring.key(h)) @ scoring.score,
        "general": lambda: (query * (h @ scoring.key.weight.T)).sum(-1),
        "dot": lambda: (query * h).sum(-1),
        "scaled_dot": lambda: (query * h).sum(-1) / math.sqrt(WIDTH),
    }[scorer]()
    expected = torch.softmax(energies.masked_fill(~MASK, -torch.inf), dim=-1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(context, (expected.unsqueeze(1) @ h).squeeze(1))


@pytest.mark.parametrize("scorer", ["additive", "general"])
def test_scorers_with_parameters_allow_different_widths(scorer: str) -> None:
    attention = make_attention(scorer, value_size=6)
    memory = attention.make_memory(torch.randn(2, 4, 6), MASK)
    context, _ = attention(torch.randn(2, WIDTH), memory)
    assert context.shape == (2, 6)


@pytest.mark.parametrize("scorer", ["dot", "scaled_dot"])
def test_scorers_without_parameters_need_equal_widths(scorer: str) -> None:
    with pytest.raises(ValueError, match=rf"attention {scorer}: .* choose general or additive"):
        make_attention(scorer, value_size=6)


@every_scorer
def test_the_rows_of_a_beam_share_one_memory(scorer: str) -> None:
    attention = make_attention(scorer)
    queries, values = (
        torch.randn(2, 3, WIDTH),
        torch.randn(2, 4, WIDTH),
    )  # three rows for each sentence
    memory = attention.make_memory(values, MASK)
    context, weights = attention(queries.flatten(0, 1), memory)
    for row in range(3):
        one_context, one_weights = attention(queries[:, row], memory)
        torch.testing.assert_close(context.view(2, 3, -1)[:, row], one_context)
        torch.testing.assert_close(weights.view(2, 3, -1)[:, row], one_weights)


@every_scorer
def test_values_at_padding_have_no_effect(scorer: str) -> None:
    attention = make_attention(scorer)
    query, values = torch.randn(2, WIDTH), torch.randn(2, 4, WIDTH)
    changed = values.masked_fill(~MASK.unsqueeze(-1), 99.0)
    context, _ = attention(query, attention.make_memory(values, MASK))
    other, _ = attention(query, attention.make_memory(changed, MASK))
    torch.testing.assert_close(context, other)
