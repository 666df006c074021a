import pytest
import torch

from s2s_cli.decoding.beam import BLOCK, find_top


@pytest.mark.parametrize("length", [5, BLOCK, 6 * BLOCK, 6 * BLOCK + 1, 40 * BLOCK + 17])
@pytest.mark.parametrize("number", [1, 5])
def test_the_top_is_that_of_topk(length: int, number: int) -> None:
    rows = torch.randn(50, length)
    values, places = find_top(rows, number)
    expected, expected_places = rows.topk(number)
    assert torch.equal(values, expected)
    assert torch.equal(places, expected_places)


def test_forbidden_entries_are_found_last() -> None:
    rows = torch.full((2, 10 * BLOCK + 3), -torch.inf)
    rows[0, 7 * BLOCK + 1], rows[1, -1] = 3.0, 2.0
    values, places = find_top(rows, 2)
    assert values.tolist() == [[3.0, -torch.inf], [2.0, -torch.inf]]
    assert places[:, 0].tolist() == [7 * BLOCK + 1, 10 * BLOCK + 2]
    assert len(set(places[0].tolist())) == 2
