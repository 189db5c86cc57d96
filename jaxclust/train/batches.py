"""The order in which examples are visited: pure functions of the step, so a resumed training goes on exactly."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np


class Batches(NamedTuple):
    """An endless stream of batches of static shape.

    size:      examples a batch.
    per_epoch: batches that visit every example once.
    indices:   (first, count) -> index (count, size) int32, weight (count, size) float32 (0 is padding).
    groups:    how many groups take turns in a batch: 0, 1, 2, ..., 0, 1, 2, ...
    """

    size: int
    per_epoch: int
    indices: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    groups: int = 1


def even(n: int, most: int) -> int:
    """The size, at most `most`, of as few batches as can hold n examples, with no small one at the end.

    On a few examples batch statistics, and losses of the shares of clusters in a batch, say next to nothing.
    """
    return -(-n // -(-n // min(most, n)))


def shuffled(n: int, size: int, seed: int) -> Batches:
    """All n examples in a new random order every epoch; the last batch of an epoch is padded with weight 0."""
    size = min(size, n)
    per_epoch = -(-n // size)

    @lru_cache(2)  # an epoch is made once, however many chunks it has
    def epoch(number: int) -> np.ndarray:
        order = np.random.default_rng((seed, number)).permutation(n).astype(np.int32)
        padding = per_epoch * size - n
        return np.concatenate([order, order[:padding]]).reshape(per_epoch, size)

    def indices(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        steps = np.arange(first, first + count)
        number, place = steps // per_epoch, steps % per_epoch
        index = np.concatenate([epoch(int(e))[place[number == e]] for e in np.unique(number)])
        return index, (place[:, None] * size + np.arange(size) < n).astype(np.float32)

    return Batches(size, per_epoch, indices)


def grouped(groups: np.ndarray, n_groups: int, size: int, seed: int) -> Batches:
    """Every batch holds `size` examples of each group, n_groups * size in all.

    Groups take turns, 0, 1, 2, ..., 0, 1, 2, ..., so that a part of the batch on one device has examples of each.
    groups (n,) int in [0, n_groups). A group's examples come in random order and start again when all were seen;
    an epoch ends when the largest group has been visited once. The rows of an empty group have weight 0.
    """
    members = [np.flatnonzero(groups == g).astype(np.int32) for g in range(n_groups)]
    per_epoch = -(-max(len(m) for m in members) // size)

    @lru_cache(2 * n_groups)
    def order(group: int, number: int) -> np.ndarray:
        return np.random.default_rng((seed, group, number)).permutation(members[group])

    def draw(group: int, first: int, count: int) -> np.ndarray:
        rows = members[group]
        if not len(rows):
            return np.zeros((count, size), np.int32)
        position = np.arange(first * size, (first + count) * size)
        rounds = position // len(rows)
        drawn = [order(group, int(r))[position[rounds == r] % len(rows)] for r in np.unique(rounds)]
        return np.concatenate(drawn).reshape(count, size)

    def indices(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        index = np.stack([draw(g, first, count) for g in range(n_groups)], -1).reshape(count, -1)
        weight = np.tile([float(len(m) > 0) for m in members], size).astype(np.float32)
        return index, np.broadcast_to(weight, index.shape)

    return Batches(n_groups * size, per_epoch, indices, n_groups)


def chosen_by_training(size: int, per_epoch: int, groups: int = 1) -> Batches:
    """Batches of `size` examples that the training chooses itself: all rows are 0, all weights 1."""

    def indices(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((count, size), np.int32), np.ones((count, size), np.float32)

    return Batches(size, per_epoch, indices, groups)


def padded(batches: Batches, parts: int) -> Batches:
    """The same examples in batches that `parts` devices can share equally: rows of weight 0 come last."""
    turns = batches.size // batches.groups
    more = batches.groups * next(more for more in range(parts) if batches.groups * (turns + more) % parts == 0)
    if more == 0:
        return batches

    def indices(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        index, weight = batches.indices(first, count)
        ends = ((0, 0), (0, more))
        return np.pad(index, ends, "edge"), np.pad(weight, ends)

    return Batches(batches.size + more, batches.per_epoch, indices, batches.groups)
