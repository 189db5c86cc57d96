"""umap-density: clusters of raw data, their number found or kept, and a head that says the same of new data."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxclust import UMAPDensity, methods, models
from jaxclust.data import sources
from jaxclust.errors import InputError
from jaxclust.methods.baselines import umap_density
from jaxclust.methods.baselines.umap_density import Config
from jaxclust.methods.shared.job import Job
from jaxclust.models import Request
from jaxclust.train.phases import Phases

QUICK = {"draws": 2, "width": 0.1, "min_filters": 4, "min_steps": 150, "batch_size": 50, "learning_rate": 0.01}


def blobs(seed=0, n=200):
    """(n, 6) features around four corners, and which one."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 4
    corners = 8 * np.array([[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]])
    return (corners[classes] + rng.normal(size=(n, 6))).astype(np.float32), classes


def rays(seed=0, n=240):
    """(n, 6) features in four directions, of length 1 or 10; and which direction."""
    rng = np.random.default_rng(seed)
    classes, long = np.arange(n) % 4, np.arange(n) // 4 % 2
    directions = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [-1, -1, -1, 0, 0, 0]])
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    near = directions[classes] + 0.05 * rng.normal(size=(n, 6))
    return (near * 10.0 ** long[:, None]).astype(np.float32), classes


def fit(data, **changes):
    """The model, what it said of `data`, and what it noted."""
    request = Request(methods.find("umap-density"), dataclasses.replace(Config(), **changes))
    preprocess, images = models.prepared(request.config, sources.load(data).images)
    result = models.fit(request, images, preprocess, Phases())
    return models.fitted(request, preprocess, result), result


def of_new(fitted, data, classes):
    return models.score(models.predict_proba(fitted, data).argmax(1), classes)["acc"]


@pytest.fixture(scope="module")
def four():
    return fit(blobs()[0], **QUICK)


@pytest.mark.slow
def test_four_blobs_are_found_and_new_examples_are_labelled(four):
    fitted, result = four
    assert result.summary["n_clusters"] == 4
    assert result.summary["clear"]
    assert result.summary["clusters"]["n_clusters"] == 4
    assert models.score(result.labels, blobs()[1])["acc"] == 1
    assert of_new(fitted, *blobs(1)) == 1


def test_the_head_learns_what_was_found_and_noise_is_told(four):
    _, result = four
    first = result.opinions["first"]
    np.testing.assert_array_equal(result.noise, first < 0)
    agreement = (result.labels == first)[first >= 0].mean()
    assert result.summary["head_agreement"] == pytest.approx(agreement, abs=1e-5)
    assert agreement > 0.98
    assert result.levels.shape[1:] == first.shape


def test_the_embedding_is_the_prepared_data(four):
    fitted, result = four
    x = blobs()[0]
    np.testing.assert_allclose(result.embedding, (x - x.mean(0)) / x.std(0), atol=1e-4)
    np.testing.assert_array_equal(models.embed(fitted, x), result.embedding)
    assert fitted.model.functions.sample is None


@pytest.mark.slow
def test_the_same_seed_gives_the_same(four):
    again = fit(blobs()[0], **QUICK)[1]
    np.testing.assert_array_equal(again.probabilities, four[1].probabilities)


@pytest.mark.slow
@pytest.mark.parametrize("n_clusters", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_a_given_number_is_kept(n_clusters):
    _, result = fit(blobs()[0], n_clusters=n_clusters, **QUICK)
    assert result.probabilities.shape == (200, n_clusters)
    assert set(result.opinions["first"]) - {-1} == set(range(n_clusters))


@pytest.mark.slow
def test_rows_outside_the_sample_are_learned_too():
    _, result = fit(blobs()[0], **{**QUICK, "max_samples": 120, "draws": 4})
    assert models.score(result.labels, blobs()[1])["acc"] > 0.98
    assert (result.opinions["first"] >= 0).sum() > 150


@pytest.mark.slow
def test_cosine_groups_by_direction_whatever_the_length():
    x, classes = rays()
    fitted, result = fit(x, metric="cosine", scaling="none", **QUICK)
    assert result.summary["n_clusters"] == 4
    assert models.score(result.labels, classes)["acc"] > 0.98
    said = models.predict_proba(fitted, x)
    for factor in (0.01, 100):
        np.testing.assert_allclose(models.predict_proba(fitted, factor * x), said, atol=1e-4)
    np.testing.assert_allclose(np.square(result.embedding).mean(1), 1, rtol=1e-4)
    by_distance = fit(x, metric="euclidean", scaling="none", **QUICK)[1]
    assert by_distance.summary["n_clusters"] == 8


def test_a_row_of_zeros_has_no_direction_and_no_error():
    x = np.array([[[[0]]], [[[255]]]], np.uint8)
    seen = umap_density.compared(Config(metric="cosine"), jax.numpy.asarray(x))
    np.testing.assert_allclose(np.asarray(seen).ravel(), [0, 1])
    assert umap_density.compared(Config(), x) is x


@pytest.mark.slow
def test_labels_never_reach_fit():
    assert [field.name for field in dataclasses.fields(Job)] == ["config", "images", "preprocess", "key", "phases"]
    x, classes = blobs()
    settings = {**QUICK, "draws": 1}
    with_y, without = (UMAPDensity(**settings).fit(x, y) for y in (np.roll(classes, 1), None))
    np.testing.assert_array_equal(with_y.labels_, without.labels_)


@pytest.mark.parametrize(
    ("field", "value"),
    [("head_epochs", 0), ("batch_size", -1), ("learning_rate", 0.0), ("width", 0.0), ("min_filters", 0),
     ("min_steps", -1), ("draws", 0), ("max_samples", 0), ("n_clusters", 1)],
)  # fmt: skip
def test_bad_numbers_are_named(field, value):
    with pytest.raises(InputError, match=f"^{field} is {value}: give [^\n]+$"):
        Config(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("metric", "manhattan"), ("scaling", "log"), ("granularity", "finest")])
def test_bad_choices_are_named(field, value):
    with pytest.raises(InputError, match=f"^{field} is '{value}': give [^\n]+$"):
        models.check_config(Config(**{field: value}))


@pytest.mark.slow
def test_digits():
    data, classes = load_digits(return_X_y=True)
    _, result = fit(data.reshape(-1, 8, 8))
    assert 8 <= result.summary["n_clusters"] <= 11
    assert result.noise.mean() < 0.1
    assert result.summary["head_agreement"] > 0.97
    assert models.score(result.labels, classes)["nmi"] > 0.8
