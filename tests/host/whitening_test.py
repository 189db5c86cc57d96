"""Whitened components: their variance, what they do not depend on, and how many are kept."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from jaxclust.host.whitening import KEPT, whitened

WIDE = np.random.default_rng(0).normal(size=(30, 50)) * np.linspace(1, 5, 50) + 7
TALL = np.random.default_rng(1).normal(size=(200, 6)) @ np.random.default_rng(2).normal(size=(6, 6))


def same_up_to_signs(a, b, tolerance=1e-4):
    assert a.shape == b.shape
    np.testing.assert_allclose(a * np.sign((a * b).sum(0)), b, atol=tolerance)


@pytest.mark.parametrize("x", [WIDE, TALL], ids=["d > n", "d <= n"])
def test_components_have_variance_one_and_are_not_correlated(x):
    white = whitened(x)
    assert white.dtype == np.float32
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(white.T @ white / len(x), np.eye(white.shape[1]), atol=1e-4)


@pytest.mark.parametrize("x", [WIDE, TALL], ids=["d > n", "d <= n"])
@pytest.mark.parametrize("kept", [0.5, KEPT, 0.99])
def test_they_are_those_of_scikit_learn(x, kept):
    reference = PCA(whiten=True, svd_solver="full").fit(x)
    fewest = int((np.cumsum(reference.explained_variance_ratio_) < kept).sum()) + 1
    expected = reference.transform(x)[:, :fewest] * np.sqrt(len(x) / (len(x) - 1))
    same_up_to_signs(whitened(x, kept), expected)


def test_both_ways_give_the_same():
    """As many columns as rows by the one way; a constant column more, by the other."""
    square = np.random.default_rng(3).normal(size=(20, 20))
    same_up_to_signs(whitened(square), whitened(np.column_stack([square, np.full(20, 3.0)])))


@pytest.mark.parametrize("x", [WIDE, TALL], ids=["d > n", "d <= n"])
def test_constant_columns_and_an_offset_count_for_nothing(x):
    more = np.column_stack([np.full(len(x), 1e3), x, np.zeros(len(x))]) + 50
    same_up_to_signs(whitened(more), whitened(x), 1e-3)


def test_components_without_variance_are_left_out():
    line = np.outer(np.arange(30.0), [1, 2, 3, 4])
    for x in (line, line[:3]):
        assert whitened(x, 1.0).shape == (len(x), 1)
    flat = whitened(np.ones((10, 3)))
    assert flat.shape == (10, 1)
    assert not flat.any()


def test_a_direction_of_little_variance_counts_as_much():
    """Two groups apart in a direction of a hundredth of the variance: whitened, their centres are as far as any."""
    rng = np.random.default_rng(0)
    group = np.arange(400) % 2
    x = np.column_stack([rng.normal(0, 10, 400), group + rng.normal(0, 0.05, 400)])
    white = whitened(x, 1.0)
    apart = [abs(white[group == 0, i].mean() - white[group == 1, i].mean()) for i in (0, 1)]
    assert apart[1] > 1.9
    assert apart[1] > 10 * apart[0]
