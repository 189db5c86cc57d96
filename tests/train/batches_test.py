"""The order of examples: everyone once an epoch, padding without weight, the same whatever the chunks."""

import numpy as np
import pytest

from jaxclust.train.batches import even, grouped, shuffled


def test_every_example_once_an_epoch_and_padding_without_weight():
    batches = shuffled(10, 4, seed=1)
    assert (batches.size, batches.per_epoch) == (4, 3)
    index, weight = batches.indices(0, 3)
    assert sorted(index[weight > 0]) == list(range(10))
    assert weight.sum() == 10
    again, _ = batches.indices(3, 3)
    assert (again != index).any()


@pytest.mark.parametrize("make", [lambda: shuffled(23, 4, 0), lambda: grouped(np.arange(23) % 3, 3, 2, 0)])
def test_chunks_do_not_change_the_order(make):
    batches = make()
    index, weight = batches.indices(0, 20)
    for first, count in ((0, 7), (7, 5), (12, 8)):
        part = batches.indices(first, count)
        assert (part[0] == index[first : first + count]).all()
        assert (part[1] == weight[first : first + count]).all()


def test_fewer_examples_than_the_batch():
    batches = shuffled(3, 100, 0)
    assert (batches.size, batches.per_epoch) == (3, 1)


def test_groups_stay_apart_and_are_visited_evenly():
    groups = np.array([0] * 12 + [2] * 5)
    batches = grouped(groups, 3, 4, seed=0)
    assert batches.per_epoch == 3
    index, weight = batches.indices(0, 5)
    parts, weights = (a.reshape(5, 4, 3).swapaxes(1, 2) for a in (index, weight))  # (steps, group, size)
    assert (groups[parts[:, 0]] == 0).all()
    assert (groups[parts[:, 2]] == 2).all()
    assert (weights[:, 1] == 0).all()
    assert (weights[:, [0, 2]] == 1).all()
    assert sorted(parts[:3, 0].ravel()) == list(range(12))
    assert np.bincount(parts[:, 2].ravel(), minlength=17)[12:].tolist() == [4] * 5


@pytest.mark.parametrize(("n", "most", "size"), [(1797, 256, 225), (9298, 100, 100), (10, 4, 4), (9, 4, 3), (3, 9, 3)])
def test_no_batch_is_much_smaller_than_the_others(n, most, size):
    assert even(n, most) == size
    batches = shuffled(n, even(n, most), 0)
    assert batches.per_epoch == -(-n // most)
    weight = batches.indices(0, batches.per_epoch)[1]
    assert weight.sum() == n
    assert weight.sum(1).min() > size - batches.per_epoch
