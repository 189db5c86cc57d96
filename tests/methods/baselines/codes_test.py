"""What the methods of codes and centroids share, the manifold's clusters, and all of them on real digits."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxclust import methods, models
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.methods.baselines import centroids as centroid_model
from jaxclust.methods.baselines import n2d
from jaxclust.models import Request
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests import toy


def test_deviations_by_hand():
    codes = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 3.0]], np.float32)
    centroids = np.array([[1.0, 0.0], [10.0, 0.0], [50.0, 50.0]], np.float32)
    labels = centroid_model.nearest(codes, centroids)
    np.testing.assert_array_equal(labels, [0, 0, 1])
    each, pooled = centroid_model.deviations(codes, centroids, labels)
    assert pooled == pytest.approx(np.sqrt((1 + 1 + 9) / 6))
    np.testing.assert_allclose(each, [np.sqrt(1 / 2), np.sqrt(9 / 2), pooled], rtol=1e-6)


def test_bad_settings_are_named():
    for name in ("dec", "idec", "dcn", "dkm", "n2d", "ae-kmeans"):
        with pytest.raises(InputError, match="pretrain_epochs is 0: give a number above 0"):
            methods.find(name).Config(pretrain_epochs=0)
        if name == "n2d":  # it finds K
            continue
        with pytest.raises(InputError, match="n_clusters is 'auto': give a whole number"):
            models.check_config(methods.find(name).Config(n_clusters="auto"))
    with pytest.raises(InputError, match="clustering_weight is 0"):
        methods.find("dcn").Config(clustering_weight=0)


@pytest.mark.slow
def test_the_manifold_is_clustered_on_a_bounded_sample():
    classes = np.arange(300) % 3
    codes = (np.eye(3)[classes] * 8 + np.random.default_rng(0).normal(size=(300, 3))).astype(np.float32)
    found = n2d.clusters(toy.job(n2d.Config(n_clusters=3, max_samples=200), codes), codes)
    assert found["map"].shape == found["responsibilities"].shape == (200, 3)
    assert models.score(found["responsibilities"].argmax(1), classes[found["rows"]])["acc"] > 0.95


@pytest.mark.slow
def test_n2d_s_mixture_of_a_sample_labels_all_examples():
    classes = np.arange(300) % 3
    x = (np.eye(3)[classes] * 8 + np.random.default_rng(0).normal(size=(300, 3))).astype(np.float32)
    method = methods.find("n2d")
    changes = {"n_clusters": 3, "max_samples": 100, "hidden": (16,), "latent_dim": 3, "classifier_epochs": 2}
    request = Request(method, dataclasses.replace(method.presets["quick"], **changes))
    preprocess, rows = models.prepared(request.config, sources.load(x).images)
    result = models.fit(request, rows, preprocess, Phases())
    assert models.score(result.opinions["mixture"], classes)["acc"] > 0.95


@pytest.mark.slow
def test_n2d_s_classifier_has_its_fewest_steps_on_few_examples():
    """60 examples in batches of 20 are 3 steps an epoch: two epochs alone are far fewer than 50."""
    classes = np.arange(60) % 3
    x = (np.eye(3)[classes] * 8 + np.random.default_rng(0).normal(size=(60, 3))).astype(np.float32)
    method, report = methods.find("n2d"), Steps()
    changes = {"hidden": (8,), "latent_dim": 2, "pretrain_epochs": 2, "classifier_epochs": 2, "batch_size": 20}
    config = dataclasses.replace(method.presets["quick"], n_clusters=3, min_steps=50, **changes)
    preprocess, rows = models.prepared(config, sources.load(x).images)
    models.fit(Request(method, config), rows, preprocess, Phases(report=report))
    assert report.steps["autoencoder"] < 50 <= report.steps["classifier"], "of as many epochs"


class Steps(Silent):
    """How many steps each training has."""

    def __init__(self):
        self.now, self.steps = "", {}

    def phase(self, name):
        self.now = name

    def progress(self, done, total, examples_per_second, terms):
        self.steps[self.now] = done


@pytest.mark.slow
def test_n2d_finds_the_number_of_clusters_and_tells_how_sure_it_is():
    classes = np.arange(300) % 4
    x = (np.eye(4)[classes] * 8 + np.random.default_rng(0).normal(size=(300, 4))).astype(np.float32)
    method, phases = methods.find("n2d"), Phases()
    config = dataclasses.replace(method.presets["quick"], hidden=(16,), latent_dim=3, classifier_epochs=30)
    preprocess, rows = models.prepared(config, sources.load(x).images)
    result = models.fit(Request(method, config), rows, preprocess, phases)
    assert list(phases.seconds) == ["autoencoder", "clusters", "classifier"]
    assert result.summary["n_clusters"] == 4
    assert result.summary["clear"] is True
    assert result.levels is not None
    assert models.score(result.labels, classes)["acc"] > 0.95
    assert set(result.opinions) == {"first", "nearest_centroid"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dec", "idec", "dcn", "dkm"])
def test_a_random_start_trains_no_autoencoder_and_knows_no_k_means(name):
    x = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    method, phases = methods.find(name), Phases()
    config = dataclasses.replace(
        method.presets["quick"], start="random", n_clusters=3, hidden=(8,), latent_dim=2, epochs=2
    )
    preprocess, rows = models.prepared(config, sources.load(x).images)
    result = models.fit(Request(method, config), rows, preprocess, phases)
    assert list(phases.seconds) == ["joint"]
    assert "k-means" not in result.opinions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "floor"), [("ae-kmeans", 0.6), ("dec", 0.6), ("idec", 0.6), ("dcn", 0.6), ("dkm", 0.6), ("n2d", 0.7)]
)
def test_digits(name, floor):
    data, classes = load_digits(return_X_y=True)
    method = methods.find(name)
    config = dataclasses.replace(method.presets["quick"], hidden=(100, 100))
    preprocess, images = models.prepared(config, sources.load(data.reshape(-1, 8, 8)).images)
    result = models.fit(Request(method, config), images, preprocess, Phases())
    assert models.score(result.labels, classes)["acc"] > floor
