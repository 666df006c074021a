from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch

from s2s_cli.data.batching import (
    POOL_BATCHES,
    _draw,
    collate,
    collate_src,
    epoch_batches,
    prefetch,
)
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID


def test_target_inputs_and_outputs_differ_by_one_step() -> None:
    batch = collate([([4, 5], [6, 7, 8]), ([4], [9])])
    assert batch.src.tolist() == [[4, 5, EOS_ID], [4, EOS_ID, PAD_ID]]
    assert batch.src_lengths.tolist() == [3, 2]
    assert batch.tgt_in.tolist() == [[BOS_ID, 6, 7, 8], [BOS_ID, 9, PAD_ID, PAD_ID]]
    assert batch.tgt_out.tolist() == [[6, 7, 8, EOS_ID], [9, EOS_ID, PAD_ID, PAD_ID]]
    assert torch.equal(batch.tgt_in[0, 1:], batch.tgt_out[0, :-1])


def test_real_tokens_are_counted_and_masked() -> None:
    batch = collate([([4], [6, 7]), ([4], [])])
    assert batch.tgt_mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.num_tokens == 4 == int(batch.tgt_mask.sum())


def test_an_empty_source_consists_of_eos() -> None:
    src, lengths = collate_src([[]])
    assert src.tolist() == [[EOS_ID]]
    assert lengths.tolist() == [1]


def test_arrays_make_the_same_batch_as_lists() -> None:
    pairs = [([4, 5], [6, 7, 8]), ([4], [9]), ([7, 8, 9], [5])]
    arrays = [(np.array(src, np.uint16), np.array(tgt, np.uint16)) for src, tgt in pairs]
    for one, other in zip(collate(pairs), collate(arrays), strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


LENGTHS = [(1 + i * 7 % 23, 1 + i * 5 % 19) for i in range(1000)]


def test_every_pair_occurs_once_per_epoch() -> None:
    batches = epoch_batches(LENGTHS, batch_size=8, seed=1, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    assert all(len(batch) <= 8 for batch in batches)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return list(epoch_batches(LENGTHS, 8, seed, epoch))

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_without_weights_the_order_is_one_permutation() -> None:
    # Pairs of equal length keep their order, and a single batch has nothing to shuffle. Changing
    # this order would change trained models.
    expected = np.random.default_rng([7, 3]).permutation(50).tolist()
    assert list(epoch_batches([(1, 1)] * 50, 50, seed=7, epoch=3)) == [expected]


def one_by_one(
    lengths: list[tuple[int, int]],
    batch_size: int,
    seed: int,
    epoch: int,
    weights: list[float] | None,
    by_tokens: bool,
) -> list[list[int]]:
    """Compute the same order by a loop over single pairs. Trained models depend on it."""
    generator = np.random.default_rng([seed, epoch])
    drawn = len(lengths) if weights is None else _draw(np.asarray(weights), generator)
    order = generator.permutation(drawn).tolist()
    sizes = [max(pair) + 1 if by_tokens else 1 for pair in lengths]
    pool_size = POOL_BATCHES * max(1, batch_size * len(sizes) // sum(sizes))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool_size):
        batch: list[int] = []
        widest = 0
        for i in sorted(order[start : start + pool_size], key=lambda i: lengths[i][::-1]):
            widest = max(widest, sizes[i])
            if batch and (len(batch) + 1) * widest > batch_size:
                batches.append(batch)
                batch, widest = [], sizes[i]
            batch.append(i)
        batches.append(batch)
    return [batches[i] for i in generator.permutation(len(batches)).tolist()]


@pytest.mark.parametrize("by_tokens", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 300, 5_000])
def test_the_order_equals_that_of_a_loop_over_single_pairs(
    batch_size: int, weighted: bool, by_tokens: bool
) -> None:
    generator = np.random.default_rng(5)
    for num_pairs in (1, 2, 50, 3_000):
        lengths = generator.integers(1, 30, (num_pairs, 2))
        weights = (0.25 + 0.5 * (np.arange(num_pairs) % 5)).tolist() if weighted else None
        for epoch in (0, 3):
            found = epoch_batches(
                lengths.astype(np.int32), batch_size, 2, epoch, weights, by_tokens=by_tokens
            )
            pairs = [(src, tgt) for src, tgt in lengths.tolist()]
            expected = one_by_one(pairs, batch_size, 2, epoch, weights, by_tokens)
            assert list(found) == expected
            assert found[len(found) // 2 :] == expected[len(expected) // 2 :]
            assert found[-1] == expected[-1]


def test_the_pairs_of_a_batch_have_similar_lengths() -> None:
    batches = epoch_batches(LENGTHS, batch_size=8, seed=1, epoch=0)
    real = sum(tgt for _, tgt in LENGTHS)
    padded = sum(len(batch) * max(LENGTHS[i][1] for i in batch) for batch in batches)
    assert padded / real < 1.05


def test_neighbours_change_from_epoch_to_epoch() -> None:
    lengths = [(5, 5)] * (POOL_BATCHES * 8)
    first = {
        frozenset(pair) for batch in epoch_batches(lengths, 8, 1, 0) for pair in pairwise(batch)
    }
    second = {
        frozenset(pair) for batch in epoch_batches(lengths, 8, 1, 1) for pair in pairwise(batch)
    }
    assert len(first & second) < len(first) / 10


def test_batches_measured_in_tokens_are_full_and_have_every_pair_once() -> None:
    batches = epoch_batches(LENGTHS, batch_size=200, seed=1, epoch=0, by_tokens=True)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    sizes = [len(batch) * max(max(LENGTHS[i]) + 1 for i in batch) for batch in batches]
    assert max(sizes) <= 200
    assert sum(sizes) / len(sizes) > 150
    assert len({len(batch) for batch in batches}) > 3


def test_a_pair_longer_than_a_batch_is_a_batch_by_itself() -> None:
    batches = epoch_batches([(3, 3), (50, 3), (3, 3)], 10, seed=1, epoch=0, by_tokens=True)
    assert [1] in batches
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2]


def count(weights: list[float], epoch: int, seed: int = 1) -> Counter[int]:
    batches = epoch_batches(LENGTHS[: len(weights)], 8, seed, epoch, weights)
    return Counter(index for batch in batches for index in batch)


def test_with_weights_of_one_every_pair_is_drawn_once() -> None:
    assert count([1.0] * 100, 0) == Counter(range(100))


def test_integer_weights_repeat_pairs_and_fractions_draw_a_share() -> None:
    weights = [2.0] * 100 + [0.25] * 400 + [1.5] * 200
    drawn = count(weights, epoch=0)
    assert all(drawn[index] == 2 for index in range(100))
    assert all(drawn[index] in (0, 1) for index in range(100, 500))
    assert sum(drawn[index] for index in range(100, 500)) == pytest.approx(100, abs=1)
    assert all(drawn[index] in (1, 2) for index in range(500, 700))
    assert sum(drawn[index] for index in range(500, 700)) == pytest.approx(300, abs=1)


def test_the_drawn_share_is_a_function_of_seed_and_epoch() -> None:
    weights = [0.5] * 200
    assert count(weights, 0) == count(weights, 0)
    assert count(weights, 0) != count(weights, 1)
    assert count(weights, 0) != count(weights, 0, seed=2)


def test_over_many_epochs_each_pair_occurs_as_often_as_its_weight() -> None:
    weights = [0.3] * 20 + [1.7] * 10
    total: Counter[int] = Counter()
    for epoch in range(400):
        total.update(count(weights, epoch))
    for index, weight in enumerate(weights):
        assert total[index] / 400 == pytest.approx(weight, abs=0.12)


def test_an_epoch_is_never_empty() -> None:
    assert all(count([0.001] * 3, epoch).total() == 1 for epoch in range(20))


def test_items_are_prefetched_in_order_and_one_ahead() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(4):
            asked.append(number)
            yield number

    found = []
    for made in prefetch(str, items()):
        found.append(made)
        assert asked == list(range(min(4, len(found) + 1)))
    assert found == ["0", "1", "2", "3"]
    assert list(prefetch(str, [])) == []


def test_an_error_while_prefetching_is_raised_where_its_item_is_consumed() -> None:
    made = prefetch(lambda number: 1 // number, [1, 0, 1])
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
