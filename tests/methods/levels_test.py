"""Levels by their cells: hand-worked, and new examples by the nearest cell of their own cluster."""

import numpy as np
import pytest

from jaxclust import levels
from jaxclust.errors import InputError

PLACES = np.array([[0.0], [1.0], [10.0], [11.0], [30.0], [31.0]], np.float32)
LABELS = np.array([0, 0, 1, 1, 2, 2], np.int32)
COARSE = np.array([0, 0, 0, 0, 1, 1], np.int32)  # joins the first two clusters
FINE = np.array([0, 1, 2, 2, 3, 3], np.int32)  # divides the first
BOTH = levels.of_labels(np.stack([COARSE, FINE]), LABELS, PLACES)


def test_the_numbers_are_those_of_the_levels():
    assert levels.numbers(BOTH) == (2, 4)
    assert levels.numbers(None) == ()


def test_what_was_fitted_gets_the_level_s_own_labels():
    np.testing.assert_array_equal(levels.labels_at(BOTH, 2, LABELS, PLACES), COARSE)
    np.testing.assert_array_equal(levels.labels_at(BOTH, 4, LABELS, PLACES), FINE)


def test_a_new_example_belongs_to_the_nearest_cell_of_its_own_cluster():
    """At 9 a cell of cluster 1 is nearest, but the model says cluster 0: its nearer half counts."""
    new, cluster = np.array([[9.0], [0.4], [10.4]], np.float32), np.array([0, 0, 1])
    np.testing.assert_array_equal(levels.labels_at(BOTH, 4, cluster, new), [1, 0, 2])
    np.testing.assert_array_equal(levels.labels_at(BOTH, 2, cluster, new), [0, 0, 0])


def test_a_few_strays_are_no_cell():
    labels = np.zeros(200, np.int32)
    level = np.zeros(200, np.int32)
    level[0] = 1  # 0.5 % of the cluster
    found = levels.of_labels(level[None], labels, np.zeros((200, 1), np.float32))
    assert found.label.tolist() == [0]


@pytest.mark.parametrize(("given", "known"), [(BOTH, "choose one of 2, 4"), (None, "this model has none")])
def test_a_number_without_a_level_is_one_line(given, known):
    with pytest.raises(InputError, match=f"there is no level of 3 clusters: {known}"):
        levels.labels_at(given, 3, LABELS, PLACES)
