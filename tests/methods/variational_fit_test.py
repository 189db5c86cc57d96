"""Small fits of vc through the public contract: both starts, restarts and their choice, clusters that are dropped."""

import numpy as np
import pytest

from jaxclust import VariationalClustering, methods, models
from jaxclust.cli import fit as fit_command
from jaxclust.errors import InputError
from jaxclust.models import Request
from jaxclust.train.phases import Phases
from tests import toy
from tests.contract_test import TINY
from tests.methods.variational_test import darker

pytestmark = pytest.mark.slow  # each fit compiles several trainings
IMAGES, LABELS = toy.blobs(150)


def fit(data=IMAGES[..., None], seed=0, **options):
    method = methods.find("vc")
    request = Request(method, type(method.presets["quick"])(**{**SETTINGS, **options}), seed)
    preprocess, images = models.prepared(request.config, data)
    result = models.fit(request, images, preprocess, Phases())
    return models.fitted(request, preprocess, result), result


SETTINGS = {**TINY["vc"], "network": "size", "shared_trunk": True, "restarts": 1}


def test_the_manifold_s_clusters_are_followed():
    model, result = fit(start="manifold")
    assert models.score(result.labels, LABELS)["acc"] > 0.95
    known = result.opinions["first"] >= 0
    assert (result.labels[known] == result.opinions["first"][known]).mean() > 0.95
    assert result.summary["effective_clusters"] == 3
    drawn = models.sample(model, 4, cluster=1)
    assert drawn.shape == (4, 8, 8, 1)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    by_numbers = models.interpolate(model, 0, 2, 5, "clusters")
    on_a_line = models.interpolate(model, 0, 2, 5)
    for ends in (0, -1):  # both ways begin and end at the same two centroids
        np.testing.assert_allclose(by_numbers[ends], on_a_line[ends], atol=1e-4)
    assert np.abs(by_numbers[2] - on_a_line[2]).max() < 1


def test_the_number_of_clusters_is_the_manifold_s():
    _, result = fit(start="manifold", n_clusters="auto", draws=2)
    assert result.probabilities.shape[1] == result.summary["effective_clusters"] == 3


def test_empty_clusters_of_a_random_start_are_dropped():
    options = {"start": "random", "n_clusters": "auto", "max_clusters": 6, "least_share": 0.25, "epochs": 10}
    model, result = fit(**options)
    shares = np.bincount(result.labels) / len(LABELS)
    assert result.probabilities.shape[1] == model.n_clusters == len(shares) < 6
    np.testing.assert_allclose(result.probabilities.sum(1), 1, rtol=1e-5)
    assert models.sample(model, 2, cluster=len(shares) - 1).shape == (2, 8, 8, 1)


@pytest.mark.parametrize("choice", ["elbo", "agreement"])
def test_the_restart_with_the_best_score_is_kept(choice):
    _, result = fit(start="random", restarts=3, choice=choice)
    scores = result.summary[f"restarts_{choice}"]
    assert len(scores) == 3
    assert result.summary["restart"] == int(np.argmax(scores))
    np.testing.assert_array_equal(result.labels, result.opinions[f"restart_{result.summary['restart']}"])
    if choice == "agreement":
        assert 0 <= min(scores) <= max(scores) <= 1


def test_restarts_do_not_depend_on_how_many_there_are():
    one, two = (fit(start="random", restarts=count)[1] for count in (1, 2))
    np.testing.assert_allclose(one.summary["restarts_elbo"][0], two.summary["restarts_elbo"][0], rtol=1e-3)


def smaller(key, image):
    """No augmentation: another shape."""
    return image[1:]


def broken(key, image):
    """No augmentation: an error."""
    return image @ image[:3, 0]


def test_a_user_s_augmentation_trains():
    _, result = fit(start="random", augmentation="tests.methods.variational_test:darker")
    assert np.isfinite(result.summary["restarts_elbo"]).all()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (smaller, r"makes float32\(7, 8, 1\) of float32\(8, 8, 1\): return such an image"),
        (broken, "fails for an image"),
    ],
)
def test_a_function_that_gives_no_image_is_refused(function, words):
    with pytest.raises(InputError, match=words) as caught:
        fit(start="manifold", augmentation=function)
    assert "\n" not in str(caught.value)


def test_options_reach_the_config():
    words = ["--augmentation", "tests.methods.variational_test:darker", "--n-clusters", "3", "--active-clusters", "all"]
    _, config = fit_command.parse(methods.find("vc"), ["digits", *words])
    assert (config.augmentation, config.active_clusters) == ("tests.methods.variational_test:darker", "all")
    estimator = VariationalClustering(n_clusters=3, augmentation=darker)
    assert estimator._request().config.augmentation == "tests.methods.variational_test:darker"


def test_the_text_s_networks_train_on_vectors():
    points = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    model, result = fit(points, start="random", network="text", shared_trunk=False, width=1.0)
    assert result.probabilities.shape == (90, 3)
    assert models.reconstruct(model, points).shape == (90, 2)


def test_other_image_sizes_are_refused_by_the_text_s_networks():
    with pytest.raises(InputError, match="network is 'text' but images are 8 x 8"):
        fit(start="random", network="text")


def test_an_unknown_space_is_refused():
    model, _ = fit(start="random")
    with pytest.raises(InputError, match="space is 'elsewhere': choose 'latent' or 'clusters'"):
        models.interpolate(model, 0, 1, 3, "elsewhere")
