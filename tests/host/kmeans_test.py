"""k-means of codes against scikit-learn's, and data that it cannot tell apart."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from jaxclust.host import clusters, kmeans

rng = np.random.default_rng(0)
CENTRES = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6]], np.float32)
TRUTH = np.arange(200) % 4
BLOBS = (CENTRES[TRUTH] + rng.normal(0, 0.5, (200, 3))).astype(np.float32)


def rings(n=300):
    """Two circles, one around the other, in three dimensions, and which one each point is on."""
    inner = np.arange(n) % 2
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = np.where(inner, 1.0, 4.0)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n)], 1)
    return (points + rng.normal(0, 0.05, (n, 3))).astype(np.float32), inner


def test_first_centroids_are_those_of_k_means_and_its_inertia_gives_the_variance():
    found = kmeans.first_centroids(BLOBS, 4, 7)
    reference = KMeans(4, n_init=20, random_state=7).fit(BLOBS)
    np.testing.assert_allclose(found["centroids"], reference.cluster_centers_, rtol=1e-6)
    np.testing.assert_array_equal(found["labels"], reference.labels_)
    assert float(found["variance"]) == pytest.approx(reference.inertia_ / BLOBS.size, rel=1e-5)


def test_seeding_alone_takes_examples_as_centroids():
    found = kmeans.first_centroids(BLOBS, 4, 7, seeding_only=True)
    assert all((centroid == BLOBS).all(1).any() for centroid in found["centroids"])
    assert found["variance"] > kmeans.first_centroids(BLOBS, 4, 7)["variance"]


@pytest.mark.slow
def test_density_tells_rings_apart_where_k_means_cannot():
    points, truth = rings()
    found = clusters.find({"codes": points}, 2, 0, draws=1)
    assert adjusted_rand_score(truth, found.labels) == 1
    assert adjusted_rand_score(truth, kmeans.first_centroids(points, 2, 0)["labels"]) < 0.1
