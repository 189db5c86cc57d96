"""Typicality: shares of a cluster's examples that lie as far out, and what is said of data as a whole."""

import numpy as np
import pytest

from jaxclust import outliers


def made(n, d, kinds=3, seed=0):
    """Codes (n, d) of `kinds` Gaussians of unequal width, and sure probabilities (n, kinds)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % kinds
    means = np.random.default_rng(99).normal(0, 8, (kinds, d))
    codes = means[labels] + rng.normal(size=(n, d)) * np.linspace(0.2, 2, d) * (1 + labels[:, None])
    return codes.astype(np.float32), np.eye(kinds, dtype=np.float32)[labels]


def test_a_share_by_hand():
    """Codes of one number, 5 examples: as far out as the middle are all, beyond the last one there is none."""
    codes = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]], np.float32)
    one = np.ones((5, 1), np.float32)
    known = outliers.of_fit(codes, one)
    assert known.mean.tolist() == [[2.0]]
    variance = (10 + 2) / 6  # scatter 10, and q = 1 example more of the variance within, 2
    assert known.whitening[0, 0, 0] == pytest.approx(variance**-0.5, rel=1e-4)
    assert known.distance[0] == pytest.approx(np.sort(known.distance[0]))
    found = outliers.typicality(known, np.array([[2.0], [2.5], [1e6], [-1e9]], np.float32), np.ones((4, 1), np.float32))
    assert found[:2] == pytest.approx([1.0, 5 / 6])  # all 5 and itself of 6; without the one in the middle
    assert 0 < found[3] < found[2] < 1 / 6 / 1000, "outliers have an order"


def test_left_out_is_as_if_it_had_not_been_there():
    """Against a loop that leaves out each example, its part in the covariance within all clusters too."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    pooled = outliers._within(x, np.zeros(40, int))
    mean, whitening = outliers._gaussian(x, pooled, 1e-12)
    fast = outliers._left_out(np.linalg.norm((x - mean) @ whitening.T, axis=1), 3, 40)
    slow = []
    for i in range(40):
        others = np.delete(x, i, 0)
        own, inverse = outliers._gaussian(others, outliers._within(others, np.zeros(39, int)), 1e-12)
        slow.append(np.linalg.norm(inverse @ (x[i] - own)))
    np.testing.assert_allclose(fast, slow, rtol=0.03)  # but for one part in 43 of the covariance's scale


@pytest.mark.parametrize(("n", "d"), [(60, 10), (300, 4), (1000, 8)])
def test_new_data_like_the_old_are_below_a_share_as_often_as_it_says(n, d):
    found = []
    for seed in range(10):
        codes, probabilities = made(2 * n, d, seed=seed)
        known = outliers.of_fit(codes[:n], probabilities[:n])
        found.append(outliers.typicality(known, codes[n:], probabilities[n:]))
    found = np.concatenate(found)
    for share in (0.1, 0.3, 0.5):
        assert (found < share).mean() == pytest.approx(share, abs=0.08 if n < 100 else 0.04)


def test_unsure_examples_are_less_typical_than_sure_ones():
    codes, probabilities = made(300, 4)
    sure = np.clip(probabilities, 0.01, 0.98)
    known = outliers.of_fit(codes, sure)
    torn = np.where(sure > 0.5, 0.5, 0.25).astype(np.float32)
    both = [outliers.typicality(known, codes, of) for of in (sure, torn)]
    assert (both[1] < both[0]).all()
    assert (both[1] < 0.1).mean() > 0.5


def test_each_example_is_judged_alone_and_each_cluster_by_its_own():
    codes, probabilities = made(600, 4)
    known = outliers.of_fit(codes, probabilities)
    whole = outliers.typicality(known, codes, probabilities)
    np.testing.assert_array_equal(outliers.typicality(known, codes[100:103], probabilities[100:103]), whole[100:103])
    assert whole.dtype == np.float32
    assert 0 < whole.min() <= whole.max() <= 1
    assert [whole[k::3].mean() for k in range(3)] == pytest.approx([0.5] * 3, abs=0.03), "whatever its width"
    wrong = outliers.typicality(known, codes, np.roll(probabilities, 1, 1))
    assert wrong.max() < 0.01


def test_codes_of_many_numbers_are_judged_along_their_main_directions_and_off_them():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(5, 200))
    x = rng.normal(size=(4000, 5)) @ plane + 0.1 * rng.normal(size=(4000, 200))
    x, one = x.astype(np.float32), np.ones((4000, 1), np.float32)
    known = outliers.of_fit(x[:2000], one[:2000])
    assert known.mean.shape == (1, outliers.MOST_COLUMNS)
    like = outliers.typicality(known, x[2000:], one[2000:])
    assert (like < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    off = x[2000:] + 0.4 * rng.normal(size=(2000, 200)).astype(np.float32)
    assert outliers.typicality(known, off, one[2000:]).max() < 0.01


@pytest.mark.parametrize("codes", [np.ones((9, 3), np.float32), made(9, 3)[0], np.zeros((2, 100), np.float32)])
def test_few_and_equal_examples_and_empty_clusters_have_finite_shares(codes):
    probabilities = np.tile(np.float32([0.7, 0.3, 0, 0]), (len(codes), 1))
    probabilities[0] = 0.1, 0.9, 0, 0
    known = outliers.of_fit(codes, probabilities)
    assert all(np.isfinite(part[part > -np.inf]).all() for part in known)
    new = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    for at in (codes[:1], codes[:1] + 100):
        found = outliers.typicality(known, np.repeat(at, 4, 0), new)
        assert ((found > 0) & (found <= 1)).all()


def test_many_values_are_thinned_and_keep_the_largest(monkeypatch):
    monkeypatch.setattr(outliers, "MOST_KEPT", 100)
    codes, probabilities = made(1500, 2)
    known = outliers.of_fit(codes, probabilities)
    assert known.distance.shape == (3, 100)
    assert known.kept.tolist() == [100] * 3
    whole = outliers.typicality(known, codes, probabilities)
    assert whole[::3].mean() == pytest.approx(0.5, abs=0.03)


def test_data_as_a_whole_are_unlike_only_where_many_examples_are():
    uniform = (np.arange(1000) + 0.5) / 1000
    assert outliers.unlike(uniform) is None
    assert outliers.unlike(uniform[:1]) is None, "one example proves nothing"
    assert outliers.unlike(np.where(np.arange(1000) < 80, 0.01, uniform)) is None, "nor do a few more than usual"
    line = outliers.unlike(np.where(np.arange(1000) < 300, 0.01, uniform))
    assert line is not None
    assert "30% of 1000 examples have a typicality below 0.05, where 5% are usual" in line
