"""Small fits of cm and ae-cm through the public contract: blobs, restarts, k-means as the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from jaxclust import methods, models
from jaxclust.errors import InputError
from jaxclust.host import clusters
from jaxclust.host.clusters import Found
from jaxclust.methods.clustering_module.config import AEConfig
from jaxclust.methods.clustering_module.fit import wider
from jaxclust.methods.shared.coders import coders, pretraining
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.population import Restarts, pick
from jaxclust.models import Request
from jaxclust.train.optimisers import damped_adam
from jaxclust.train.phases import Phases
from tests import toy

IMAGES, LABELS = toy.blobs(150)
CENTRES = [[0, 8], [7, -4], [-7, -4]]
FEATURES, CLASSES = make_blobs(150, centers=CENTRES, cluster_std=0.7, random_state=0)
FEATURES = FEATURES.astype(np.float32)
QUICK = {"n_clusters": 3, "alpha": 10.0, "epochs": 60, "batch_size": 30, "learning_rate": 1e-2}
TINY_AE = {**QUICK, "hidden": (16,), "latent_dim": 3, "pretrain_epochs": 20, "module_epochs": 20}


def fit(name, data, **options):
    method = methods.find(name)
    request = Request(method, method.Config(**options))
    preprocess, images = models.prepared(request.config, data)
    result = models.fit(request, images, preprocess, Phases())
    return models.fitted(request, preprocess, result), result, images


def check_uses(model, result, data, shape):
    """Shapes and ranges of what is drawn, given back and decoded; images lie in [0, 1]."""
    drawn, again = models.sample(model, 3, cluster=1), models.reconstruct(model, data[:7])
    assert drawn.shape == (3, *shape)
    assert again.shape == (7, *shape)
    can, arrays = model.model.functions, model.model.arrays
    centroids = can.centroids(arrays)
    decoded = np.asarray(can.decode(arrays, centroids, jnp.int32(0)))
    assert decoded.shape == (3, *shape)
    between = can.decode(arrays, (centroids[:1] + centroids[1:2]) / 2, jnp.int32(0))
    assert between.shape == (1, *shape)
    for pictures in (drawn, again, decoded, between):
        assert np.isfinite(pictures).all()
        if len(shape) == 3:
            assert 0 <= pictures.min() <= pictures.max() <= 1
    np.testing.assert_allclose(models.predict_proba(model, data), result.probabilities, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["random", "k-means++", "k-means"])
@pytest.mark.parametrize("kind", ["images", "features"])
def test_cm_finds_the_blobs(kind, start):
    data, classes = (IMAGES[..., None], LABELS) if kind == "images" else (FEATURES, CLASSES)
    model, result, images = fit("cm", data, start=start, **QUICK)
    assert models.score(result.labels, classes)["acc"] > 0.95
    check_uses(model, result, data, data.shape[1:])
    can, arrays = model.model.functions, model.model.arrays
    decoded = np.asarray(can.decode(arrays, can.centroids(arrays), jnp.int32(0)))
    unit = images / 255 if kind == "images" else images
    for k in range(3):
        np.testing.assert_allclose(decoded[k], unit[result.labels == k].mean(0), atol=0.15)


@pytest.mark.slow
def test_of_several_restarts_the_one_with_the_least_l_sp_is_kept():
    options = {**QUICK, "alpha": 1.1, "epochs": 30}  # a weak prior: some restarts fail, in one way or the other
    model, result, images = fit("cm", FEATURES, restarts=3, **options)
    values, best = result.summary["l_sp"], result.summary["restart"]
    assert len(values) == 3
    assert best == int(np.argmin(values))
    assert len(set(values)) == 3
    assert {f"restart_{r}" for r in range(3)} <= set(result.opinions)
    np.testing.assert_array_equal(result.opinions[f"restart_{best}"], result.labels)
    np.testing.assert_array_equal(result.probabilities.argmax(1), result.labels)
    np.testing.assert_allclose(models.predict_proba(model, FEATURES), result.probabilities, atol=1e-5)
    mu, g = np.asarray(model.model.functions.centroids(model.model.arrays)), result.probabilities.astype(np.float64)
    variance = (g * (mu**2).sum(-1)).sum(-1) - ((g @ mu) ** 2).sum(-1)
    assert values[best] == pytest.approx(variance.mean(), rel=1e-3)
    distances = ((images[:, None] - mu[None]) ** 2).sum(-1)
    deviation = np.sqrt((g * distances).sum(0) / g.sum(0) / 2)
    np.testing.assert_allclose(model.model.arrays["deviation"], deviation, rtol=1e-3)
    _, first, _ = fit("cm", FEATURES, **options)
    assert first.summary["l_sp"] == pytest.approx(values[:1], rel=1e-3)
    np.testing.assert_array_equal(first.labels, result.opinions["restart_0"])


@pytest.mark.slow
def test_cm_trained_to_convergence_has_the_centroids_of_k_means():
    model, result, x = fit("cm", FEATURES, **{**QUICK, "epochs": 800, "batch_size": 150})
    reference = KMeans(3, n_init=5, random_state=0).fit(x)
    ours = np.asarray(model.model.functions.centroids(model.model.arrays))
    order = ((reference.cluster_centers_[:, None] - ours[None]) ** 2).sum(-1).argmin(1)
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(ours[order], reference.cluster_centers_, atol=0.02)
    np.testing.assert_array_equal(result.labels, order[reference.labels_])
    assert ((x - ours[result.labels]) ** 2).sum() == pytest.approx(reference.inertia_, rel=0.03)


@pytest.mark.slow
def test_k_means_of_a_sample_labels_all_examples():
    _, result, _ = fit("cm", FEATURES, start="k-means", max_samples=40, **{**QUICK, "epochs": 1})
    assert models.score(result.opinions["first"], CLASSES)["acc"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "start"), [("features", "random"), ("features", "pretrained"), ("images", "pretrained")]
)
def test_ae_cm_finds_the_blobs(kind, start):
    data, classes = (IMAGES[..., None], LABELS) if kind == "images" else (FEATURES, CLASSES)
    model, result, _ = fit("ae-cm", data, start=start, restarts=2, **TINY_AE)
    assert models.score(result.labels, classes)["acc"] > 0.95
    assert result.embedding.shape == (150, 3)
    assert result.summary["latent_dim"] == 3
    assert result.summary["restart"] == int(np.argmin(result.summary["l_sp"]))
    check_uses(model, result, data, data.shape[1:])
    errors = ((models.reconstruct(model, FEATURES) - FEATURES) ** 2).sum() if kind == "features" else 0
    assert errors < 0.2 * ((FEATURES - FEATURES.mean(0)) ** 2).sum()


def test_convolutions_of_features_are_refused():
    with pytest.raises(InputError, match="network is 'conv'"):
        fit("ae-cm", FEATURES, network="conv", **TINY_AE)


@pytest.mark.slow
def test_a_wider_code_holds_the_narrower_one_and_the_decoder_does_not_look_further():
    config = AEConfig(hidden=(6,), latent_dim=2, restarts=2)
    preprocess, images = models.prepared(config, IMAGES[..., None])
    job = Job(config, images, preprocess, jax.random.key(0), Phases())
    pair = coders(config, job.extent)
    runs = Restarts(job, pair.size)
    before = runs.begun("autoencoder", pretraining(pair, damped_adam(1e-3)), images)
    wide, wide_pair, after = wider(runs, before, 5)
    assert wide.job.config.latent_dim == 5
    for r in range(2):
        old, new = ({"params": pick(s.params, r), "stats": pick(s.extra, r)} for s in (before, after))
        codes = pair.embed(**old, images=images[:4])
        wide_codes = wide_pair.embed(**new, images=images[:4])
        assert wide_codes.shape == (4, 5)
        np.testing.assert_allclose(wide_codes[:, :2], codes, rtol=1e-5, atol=1e-6)
        assert np.ptp(np.asarray(wide_codes[:, 2:]), 0).min() > 0
        expected = pair.picture(**old, codes=codes)
        pictures = wide_pair.picture(**new, codes=wide_codes)
        np.testing.assert_allclose(pictures, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_ae_cm_follows_the_manifold():
    """Rings, which no straight line separates: first by UMAP, then by the network alone."""
    from tests.host.kmeans_test import rings

    points, classes = rings(400)
    options = {**TINY_AE, "n_clusters": 2, "draws": 1, "hidden": (32, 32), "beta": 0.05, "epochs": 30}
    model, result, _ = fit("ae-cm", points, start="manifold", **options)
    assert models.score(result.opinions["first"], classes)["acc"] > 0.95
    assert models.score(result.labels, classes)["acc"] > 0.97
    assert models.score(models.predict_proba(model, points).argmax(1), classes)["acc"] > 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("name", "start"), [("cm", "k-means"), ("ae-cm", "manifold"), ("ae-cm", "pretrained")])
def test_the_number_of_clusters_is_the_manifold_s(name, start, monkeypatch):
    """Small data have too few examples for a density: what it finds is stated here."""
    from tests.host.kmeans_test import BLOBS, TRUTH

    asked = []

    def find(views, n_clusters, seed, **_):
        asked.append(n_clusters)
        labels = TRUTH.astype(np.int32)
        return Found(labels, clusters.one_hot(labels, 4), labels[None], {"clear": False, "n_clusters": 4})

    monkeypatch.setattr(clusters, "find", find)
    options = QUICK if name == "cm" else {**TINY_AE, "latent_dim": 4}
    _, result, _ = fit(name, BLOBS, **{**options, "n_clusters": "auto", "start": start, "restarts": 2})
    assert asked == (["auto", 4] if start == "manifold" else ["auto"])
    assert result.summary["n_clusters"] == result.probabilities.shape[1] == 4
    assert result.summary["clear"] is False
    assert result.summary["clusters"] == {"clear": False, "n_clusters": 4}
    np.testing.assert_array_equal(result.levels, TRUTH[None])
    assert models.score(result.labels, TRUTH)["acc"] > 0.95
