"""Clusters of clusters: what is divided and what is not, and the bookkeeping by hand."""

import numpy as np
import pytest

from jaxclust.host import clusters, nested
from jaxclust.host.leaves import Level
from jaxclust.host.nested import Division
from jaxclust.host.scores import Scored, View


def ring(n, seed, d=8):
    """A closed curve, as an object that turns makes one, with noise, somewhere."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(n) / n
    plane = np.linalg.qr(rng.normal(size=(d, 2)))[0]
    circle = np.stack([np.cos(angle), np.sin(angle)], 1) @ plane.T
    return 4 * rng.normal(size=d) + circle + rng.normal(0, 0.05, (n, d))


def test_two_rings_are_two():
    x = np.concatenate([ring(70, 0), ring(70, 1)]).astype(np.float32)
    labels, member = nested.all_parts([x], "euclidean", [0])[0]
    np.testing.assert_array_equal(labels, np.repeat([labels[0], 1 - labels[0]], 70))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(member.argmax(1), labels)
    np.testing.assert_allclose(member.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(ring(70, 0), id="a ring"),
        pytest.param(np.random.default_rng(0).normal(size=(200, 8)), id="a Gaussian", marks=pytest.mark.slow),
        pytest.param(np.random.default_rng(0).uniform(size=(200, 3)), id="a cube", marks=pytest.mark.slow),
    ],
)
def test_what_has_no_parts_stays_whole(x):
    assert nested.all_parts([x.astype(np.float32)], "euclidean", [0]) == [None]


def level(*numbers, draw=0):
    """Levels of one draw: (clusters, score)."""
    return [Scored(Level(np.zeros(1, np.int32), k, 5.0, score), "within", draw, 1.0) for k, score in numbers]


def test_all_draws_have_to_like_one_number_by_hand():
    first, second = level((2, 0.6), (3, 0.9)), level((3, 0.8), (5, 0.7), draw=1)
    assert nested.agreed(first + second, 2)
    assert not nested.agreed(first + second, 3), "a draw without a level"
    assert not nested.agreed(first + level((3, 0.6), (4, 0.8), draw=1), 2)
    assert not nested.agreed([], 2)


def test_a_number_is_doubted_where_draws_differ_by_hand():
    same = [scored._replace(draw=i) for i in range(2) for scored in level((2, 0.6), (3, 0.9 - i / 10))]
    assert clusters.unanimous(same, "within", 2)
    assert not clusters.unanimous(same, "within", 3), "the third draw has no level"
    assert not clusters.unanimous(level((3, 0.9)), "within", 1), "one draw agrees with no other"
    assert not clusters.unanimous(same + level((4, 0.9), draw=2), "within", 3)


DIVISIONS = (
    Division(0, np.array([0, 2]), np.int32([1, 0]), np.float32([[0.1, 0.9], [1, 0]])),
    Division(2, np.array([4, 5, 6]), np.int32([2, 0, 1]), np.float32([[0, 0, 1], [1, 0, 0], [0, 0.75, 0.25]])),
)


def test_a_first_part_keeps_the_number_by_hand():
    labels = np.int32([0, 1, 0, -1, 2, 2, 2])
    np.testing.assert_array_equal(nested.divided_labels(labels, DIVISIONS), [3, 1, 0, -1, 5, 2, 4])
    np.testing.assert_array_equal(labels, [0, 1, 0, -1, 2, 2, 2], "what is given stays")
    np.testing.assert_array_equal(nested.divided_labels(labels, ()), labels)


def test_memberships_are_shared_out_by_hand():
    """Row 1 is half of cluster 0, whose nearest row is 2; row 3 a fifth of cluster 2, whose nearest row is 6."""
    map = np.array([[0.0], [3.0], [2.0], [9.0], [20.0], [30.0], [10.0]])
    member = np.float32([[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [0, 0.8, 0.2], [0, 0, 1], [0, 0, 1], [0, 0.5, 0.5]])
    found = nested.divided_memberships(member, DIVISIONS, map)
    expected = [
        [0.1, 0, 0, 0.9, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0.8, 0, 0, 0.15, 0.05],
        [0, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0.5, 0, 0, 0.375, 0.125],
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert member.shape == (7, 3)


def test_small_clusters_and_single_draws_are_left(monkeypatch):
    parts = [(np.arange(nested.LEAST) % 2, np.eye(2))]
    monkeypatch.setattr(nested, "all_parts", lambda rows, metric, seeds: parts if len(rows) == 1 else [])
    labels = np.repeat([0, 1, -1], [nested.LEAST, nested.LEAST - 1, 99]).astype(np.int32)
    chosen = Scored(Level(labels, 2, 5.0, 1.0), "codes", 0, 1.0)
    x = np.zeros((len(labels), 2))
    found = nested.divisions(chosen, View(x, None, (x, x)), "euclidean", 0)
    assert [one.cluster for one in found] == [0]
    np.testing.assert_array_equal(found[0].rows, np.arange(nested.LEAST))
    assert nested.divisions(chosen, View(x, None, (x,)), "euclidean", 0) == []


def test_what_is_divided_is_told_and_is_a_level(monkeypatch):
    """Three blobs; one of them is said to be two."""
    rng = np.random.default_rng(0)
    x = (9 * np.eye(3, 6)[np.arange(90) // 30] + rng.normal(0, 0.3, (90, 6))).astype(np.float32)

    def parted(chosen, view, metric, seed):
        rows = np.flatnonzero(chosen.level.labels == 1)
        labels = (np.arange(len(rows)) % 2).astype(np.int32)
        return [Division(1, rows, labels, clusters.one_hot(labels, 2))]

    monkeypatch.setattr(nested, "divisions", parted)
    given = clusters.find({"codes": x}, 4, 0, draws=2)
    sure = clusters.find({"codes": x}, "auto", 0, draws=2)
    assert (sure.told["by_draw"], sure.told["divided"]) == ({"codes": [3, 3]}, {}), "a number on which all draws agree"
    monkeypatch.setattr(clusters, "unanimous", lambda scored, view, draws: False)
    notes = []
    found = clusters.find({"codes": x}, "auto", 0, draws=2, note=notes.append)
    assert found.told["divided"] == {"1": 2}
    assert found.told["n_clusters"] == found.memberships.shape[1] == len(set(found.labels) - {-1}) == 4
    np.testing.assert_array_equal(found.memberships.argmax(1), found.labels)
    np.testing.assert_allclose(found.memberships.sum(1), 1, rtol=1e-5)
    assert {"3", "4"} <= set(found.told["levels"]), "with and without"
    assert found.told["runner_up"] == 3
    assert [row.max() + 1 for row in found.levels] == sorted(map(int, found.told["levels"]))
    assert any("of one cluster are 2 clear ones by themselves" in line for line in notes)
    np.testing.assert_array_equal(given.labels, found.labels, "a given number that 'auto' finds")
    np.testing.assert_array_equal(given.memberships, found.memberships)
    for options in ({"n_clusters": 3}, {"n_clusters": 5}, {"n_clusters": "auto", "granularity": "coarse"}):
        assert clusters.find({"codes": x}, seed=0, draws=2, **options).told["divided"] == {}
