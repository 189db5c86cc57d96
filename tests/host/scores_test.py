"""Agreement of levels, by hand and beside scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from jaxclust.host import scores
from tests.host.clusters_test import level


def test_information_by_hand():
    a, renamed = level([0, 0, 1, 1, 2, 2]), level([2, 2, 0, 0, 1, 1])
    assert scores.information(a, renamed) == pytest.approx(1)
    assert scores.information(level([0, 0, 1, 1]), level([0, 1, 0, 1])) == pytest.approx(0, abs=1e-12)
    noisy = level([0, 0, 1, 1, -1, 2])
    assert scores.information(a, noisy) == pytest.approx(1), "only rows that both call clusters count"
    assert scores.information(level([0, 1, -1, -1]), level([-1, -1, 0, 1])) == 0


def test_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for k, m in ((2, 3), (5, 5), (20, 4)):
        a, b = rng.integers(0, k, 300), rng.integers(0, m, 300)
        b[:150] = a[:150] % m
        assert scores.information(level(a), level(b)) == pytest.approx(normalized_mutual_info_score(a, b))


def test_agreement_asks_levels_of_similar_number():
    a = level(np.arange(12) % 4)
    assert scores.agreement(a, [level(np.arange(12) % 6)]) == pytest.approx(
        normalized_mutual_info_score(np.arange(12) % 4, np.arange(12) % 6)
    )
    assert scores.agreement(a, [level(np.arange(12) % 6), a]) == pytest.approx(1), "the best of them"
    assert scores.agreement(a, [level(np.arange(12) % 12)]) == 0, "three times as many"
    assert scores.agreement(a, []) == 0
