from itertools import pairwise

from s2s_cli.data.sampler import POOL_BATCHES, epoch_batches

LENGTHS = [(1 + i * 7 % 23, 1 + i * 5 % 19) for i in range(1000)]


def test_every_pair_comes_once_an_epoch() -> None:
    batches = epoch_batches(LENGTHS, batch_size=8, seed=1, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    assert all(len(batch) <= 8 for batch in batches)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return epoch_batches(LENGTHS, 8, seed, epoch)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_batches_hold_pairs_of_like_length() -> None:
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


def test_batches_by_tokens_hold_as_many_as_fit_and_every_pair_once() -> None:
    batches = epoch_batches(LENGTHS, batch_size=200, seed=1, epoch=0, by_tokens=True)
    assert sorted(i for batch in batches for i in batch) == list(range(1000))
    sizes = [len(batch) * max(max(LENGTHS[i]) + 1 for i in batch) for batch in batches]
    assert max(sizes) <= 200
    assert sum(sizes) / len(sizes) > 150
    assert len({len(batch) for batch in batches}) > 3


def test_a_pair_of_more_tokens_than_a_batch_stands_alone() -> None:
    batches = epoch_batches([(3, 3), (50, 3), (3, 3)], 10, seed=1, epoch=0, by_tokens=True)
    assert [1] in batches
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2]
