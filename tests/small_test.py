"""Few rows, and few different ones: labels, or one line of an InputError, from every method.

EVERY=1 pytest -m slow tests/small_test.py asks every method about all data, which is some 900 fits.
"""

import os
from itertools import product

import numpy as np
import pytest

from jaxclust.errors import InputError
from jaxclust.estimators import ESTIMATORS, KMeans
from jaxclust.host import clusters, density, manifold
from tests.sklearn_test import SETTINGS

BASE = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32) + 5 * (np.arange(12) % 2)[:, None]
DATA = {f"n={n}": BASE[:n] for n in range(1, 13)} | {
    "constant": np.ones((9, 5), np.float32),
    "two of 9": BASE[np.arange(9) % 2],
    "three of 12": BASE[np.arange(12) % 3],
    "two of 30": BASE[np.arange(30) % 2],
    "one column": BASE[:, :1],
    "one apart": np.vstack([np.zeros((8, 5)), BASE[:1]]).astype(np.float32),
}
CHEAP = ("kmeans", "gmm", "igmm")  # no networks: they are asked in the fast tests, about some of the data
SOME = ("n=1", "n=2", "n=4", "constant", "two of 9", "one apart")
OF_NETWORKS = (("n=2", "auto"), ("one column", 2))  # what slow tests ask the others about
EVERY = bool(os.environ.get("EVERY"))


def or_a_line(call):
    """What comes out; None where it is one line of an InputError instead."""
    try:
        return call()
    except InputError as error:
        line = str(error)
    assert "\n" not in line
    return None


def asked():
    for estimator, rows, n_clusters in product(ESTIMATORS, DATA, ("auto", 2, 3)):
        cheap = estimator.method in CHEAP
        if EVERY or cheap or (rows, n_clusters) in OF_NETWORKS:
            marks = [] if cheap and rows in SOME else [pytest.mark.slow]
            yield pytest.param(estimator, rows, n_clusters, id=f"{estimator.method}-{rows}-{n_clusters}", marks=marks)


@pytest.mark.parametrize(("estimator", "rows", "n_clusters"), asked())
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_labels_or_one_line(estimator, rows, n_clusters):
    x = DATA[rows]
    model = estimator(**{**SETTINGS[estimator.method], "n_clusters": n_clusters})
    if or_a_line(lambda: model.fit(x)) is None:
        return
    assert model.labels_.shape == (len(x),)
    assert np.isfinite(model.probabilities_).all()
    assert np.isfinite(model.embedding_).all()
    np.testing.assert_array_equal(model.predict(x), model.labels_)


def test_two_rows_are_two_clusters():
    assert len(set(KMeans(n_clusters=2).fit(DATA["n=2"]).labels_)) == 2


@pytest.mark.parametrize("n_clusters", [3, 5])
def test_fewer_different_rows_than_clusters_are_a_line(n_clusters):
    line = f"^n_clusters is {n_clusters} but only 2 of the 30 examples differ: give fewer clusters$"
    with pytest.raises(InputError, match=line):
        KMeans(n_clusters=n_clusters).fit(DATA["two of 30"])


@pytest.mark.parametrize("n_clusters", ["auto", 2, 3])
@pytest.mark.parametrize("rows", DATA)
def test_clusters_of_codes(rows, n_clusters):
    """The stage on the host that most methods share."""
    found = or_a_line(lambda: clusters.find({"codes": DATA[rows]}, n_clusters, 0, draws=1))
    if found is not None:
        assert found.labels.shape == (len(DATA[rows]),)
        np.testing.assert_allclose(found.memberships.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("how", ["leaf", "eom"])
@pytest.mark.parametrize(("n", "d"), [(4, 3), (7, 2), (60, 2), (30, 30)])
def test_density_clusters_of_clouds(n, d, how):
    """Of any size, also where all is noise: clusters, or a line."""
    x = np.random.default_rng(1).normal(size=(n, d)).astype(np.float32)
    for size in (2, 5, n // 3, n // 2, n, 2 * n):
        found = or_a_line(lambda size=size: density.hdbscan(x, max(2, size), selection=how))
        assert found is None or (found.labels.shape == (n,) and np.isfinite(found.memberships).all())


@pytest.mark.filterwarnings("ignore:invalid value encountered in scalar divide")  # of the package hdbscan
def test_density_clusters_of_copies():
    x = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)[np.arange(400) % 4]
    found = density.hdbscan(x, 20)
    assert 4 <= found.memberships.shape[1] <= 6
    np.testing.assert_allclose(found.memberships.sum(1), 1, atol=1e-5)


def test_two_rows_have_no_map():
    with pytest.raises(InputError, match=r"^2 examples are too few for UMAP: give at least 3$"):
        manifold.umap(BASE[:2], 2, 0)
