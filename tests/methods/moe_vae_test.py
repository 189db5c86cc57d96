"""The method's own options, errors and results; contract_test.py has what every method must hold, .ci/run digits."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from jaxclust.data import prepare
from jaxclust.errors import InputError
from jaxclust.methods.moe_vae import fit as moe_vae
from jaxclust.methods.moe_vae.config import QUICK, Config
from jaxclust.nn.apply import compute_type
from jaxclust.train.phases import Phases
from tests import toy

X, Y = make_blobs(240, centers=3, n_features=6, random_state=0)
X = X.astype(np.float32)
TINY = dataclasses.replace(
    QUICK, width=0.05, expert_width=0.05, epochs=20, search_epochs=2, manager_epochs=60, mixture_epochs=2,
    expert_epochs=2, min_steps=0, draws=1, batch_size=40, search_latent_dim=6,
    umap_neighbors=15, umap_components=10, umap_min_dist=0.0, umap_epochs=200,
)  # fmt: skip


def fit(config, seed=0):
    preprocess = prepare.plan(X)
    return moe_vae.fit(toy.job(config, prepare.apply(preprocess, X), seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"expert_sizes": "unequal", "top_experts": "all"},
        {"clusterer": "gmm", "n_clusters": 3},
        {"clusterer": "hdbscan", "min_cluster_share": 0.1, "n_clusters": 3},
        {"autoencoder": "wae", "wae_penalty": "gan", "n_clusters": 3, "latent_dim": 3},
    ],
    ids=lambda o: next(iter(o)),
)
def test_options_find_the_blobs(options):
    result = fit(dataclasses.replace(TINY, **options))
    assert result.probabilities.shape == (240, 3)
    assert adjusted_rand_score(Y, result.labels) > 0.95
    assert set(result.opinions) == {"reconstruction", "manager", "first"}
    np.testing.assert_array_equal(result.noise, result.opinions["first"] < 0)
    assert result.summary["clusters"]["n_clusters"] == 3
    assert result.summary["clear"] is result.summary["clusters"]["clear"]
    assert result.levels.shape == (len(result.levels), 240)
    dims = result.summary["expert_latent_dims"]
    assert len(dims) == 3
    assert options.get("expert_sizes") == "unequal" or len(set(dims)) == 1
    divergences = result.summary["expert_kl"]
    assert [len(of_expert) for of_expert in divergences] == dims
    assert all(of_expert == sorted(of_expert, reverse=True) and of_expert[0] > 0 for of_expert in divergences)


@pytest.mark.slow
def test_a_given_latent_size_is_not_looked_for():
    preprocess, phases = prepare.plan(X), Phases()
    config = dataclasses.replace(TINY, latent_dim=2, n_clusters=3)
    result = moe_vae.fit(toy.job(config, prepare.apply(preprocess, X), phases))
    assert "search-autoencoder" not in phases.seconds
    assert result.summary["latent_dim"] == 2
    assert "explained_variance" not in result.plots


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"n_clusters": 1}, "n_clusters is 1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"explained_variance": 1.5}, "explained_variance is 1.5"),
        ({"draws": 0}, "draws is 0"),
        ({"min_cluster_share": 1.0}, "min_cluster_share is 1.0"),
    ],
)
def test_config_errors_name_the_field_and_the_remedy(fields, match):
    with pytest.raises(InputError, match=match):
        Config(**fields)


def test_more_clusters_than_examples():
    with pytest.raises(InputError, match="240 examples"):
        fit(dataclasses.replace(TINY, n_clusters=241))


def test_the_compute_type_follows_the_platform():
    assert compute_type("auto", "cpu") == "float32"
    assert compute_type("auto", "tpu") == compute_type("auto", "gpu") == compute_type("bfloat16", "cpu") == "bfloat16"
