import torch

from s2s_cli.model.attention import AdditiveAttention

MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def make_attention() -> AdditiveAttention:
    attention = AdditiveAttention(query_size=3, value_size=5, attention_size=6)
    torch.nn.init.normal_(attention.score)
    return attention


def test_weights_sum_to_one_and_are_exactly_zero_at_padding() -> None:
    attention = make_attention()
    _, weights = attention(torch.randn(2, 3), attention.remember(torch.randn(2, 4, 5), MASK))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    assert (weights[~MASK] == 0).all()
    assert (weights[MASK] > 0).all()


def test_it_is_the_papers_formula() -> None:
    attention = make_attention()
    query, values = torch.randn(2, 3), torch.randn(2, 4, 5)
    context, weights = attention(query, attention.remember(values, MASK))
    # e_ij = v . tanh(W s_{i-1} + U h_j), as printed in Bahdanau et al. 2014.
    hidden = torch.tanh(attention.query(query).unsqueeze(1) + attention.key(values))
    energies = (hidden @ attention.score).masked_fill(~MASK, -torch.inf)
    expected = torch.softmax(energies, dim=-1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(context, (expected.unsqueeze(1) @ values).squeeze(1))


def test_the_rows_of_a_beam_share_one_memory() -> None:
    attention = make_attention()
    queries, values = torch.randn(2, 3, 3), torch.randn(2, 4, 5)  # three rows a sentence
    memory = attention.remember(values, MASK)
    context, weights = attention(queries.flatten(0, 1), memory)
    for row in range(3):
        one_context, one_weights = attention(queries[:, row], memory)
        torch.testing.assert_close(context.view(2, 3, -1)[:, row], one_context)
        torch.testing.assert_close(weights.view(2, 3, -1)[:, row], one_weights)


def test_what_padding_holds_does_not_matter() -> None:
    attention = make_attention()
    query, values = torch.randn(2, 3), torch.randn(2, 4, 5)
    spoilt = values.masked_fill(~MASK.unsqueeze(-1), 99.0)
    context, _ = attention(query, attention.remember(values, MASK))
    other, _ = attention(query, attention.remember(spoilt, MASK))
    torch.testing.assert_close(context, other)
