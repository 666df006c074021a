from collections.abc import Iterator

import pytest

from s2s_cli.data.ahead import one_ahead


def test_all_items_come_in_order_and_one_is_made_before_it_is_asked_for() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    found = []
    for made in one_ahead(str, items()):
        found.append(made)
        assert asked == list(range(min(4, len(found) + 1)))
    assert found == ["0", "1", "2", "3"]
    assert list(one_ahead(str, [])) == []


def test_an_error_is_raised_where_its_item_is_asked_for() -> None:
    made = one_ahead(lambda number: 1 // number, [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
