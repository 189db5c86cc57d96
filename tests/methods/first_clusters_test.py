"""First clusters between two trainings: what is looked at, the sample and the other rows, and what a run keeps."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxclust import models
from jaxclust.errors import InputError
from jaxclust.host import clusters, density, sampling
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Result
from jaxclust.methods.shared import first_clusters as first
from jaxclust.methods.shared.first_clusters import ClustersConfig, MapConfig
from jaxclust.runs.fitting import describe
from jaxclust.train.phases import Phases
from tests import toy

KEY = jax.random.key(0)
ONE = MapConfig(draws=1, umap_neighbors=10, umap_components=2, umap_epochs=60, min_cluster_share=0.1)


def blobs(sizes, d=6, seed=0, noise=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 5, (len(sizes), d))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x = centres[labels] + rng.normal(0, 0.3, (len(labels), d))
    order = rng.permutation(len(labels))
    x, labels = x[order], labels[order]
    far = rng.uniform(-40, 40, (noise, d))
    return np.concatenate([x, far]).astype(np.float32), np.r_[labels, np.full(noise, -1)]


def silent(text):
    pass


def known(n=6, k=2, seed=0):
    """What could have been found of n rows."""
    rng = np.random.default_rng(seed)
    member = rng.dirichlet(np.ones(k), n).astype(np.float32)
    told = {"clear": True, "n_clusters": k, "score": 0.5, "by_draw": {"codes": [2, None]}, "levels": {"2": 0.5}}
    return Found(np.arange(n, dtype=np.int32) % (k + 1) - 1, member, np.zeros((2, n), np.int32), told)


def same(a, b):
    for one, other in zip(a[:3], b[:3], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert a.told == b.told


# settings


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_clusters": 1}, "n_clusters is 1: give a number of at least 2, or auto"),
        ({"draws": 0}, "draws is 0: give a number of at least 1"),
        ({"max_samples": 0}, "max_samples is 0: give a number of at least 1"),
        ({"umap_neighbors": 1}, "umap_neighbors is 1: give a number of at least 2, or auto"),
        ({"umap_neighbors": 0}, "umap_neighbors is 0: give a number of at least 2, or auto"),
        ({"umap_components": 0}, "umap_components is 0"),
        ({"umap_epochs": 0}, "umap_epochs is 0"),
        ({"min_samples": 0}, "min_samples is 0"),
        ({"mixture_runs": 0}, "mixture_runs is 0"),
        ({"min_cluster_share": 0.0}, "min_cluster_share is 0.0: give a share above 0 and below 1"),
        ({"min_cluster_share": 1.0}, "min_cluster_share is 1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields, told):
    with pytest.raises(InputError, match=f"^{told}"):
        MapConfig(**fields)
    if fields.keys() <= {field.name for field in dataclasses.fields(ClustersConfig)}:
        with pytest.raises(InputError, match=f"^{told}"):
            ClustersConfig(**fields)


# what a run keeps


def test_what_is_found_survives_a_file(tmp_path):
    found = known()
    np.savez(tmp_path / "kept.npz", **first.packed(found))
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as kept:
        same(first.unpacked(kept), found)
    none = found._replace(levels=np.zeros((0, 6), np.int32), told={"clear": None, "by": "größer"})
    same(first.unpacked(first.packed(none)), none)


def test_a_phase_that_is_kept_is_not_solved_again(tmp_path):
    x, _ = blobs([20] * 3)
    asked = []

    def codes(rows):
        asked.append(len(rows))
        return x[rows]

    before, after = (
        first.first_clusters(toy.job(ClustersConfig(draws=1), x, Phases(tmp_path)), codes) for _ in range(2)
    )
    assert asked == [60]
    same(before, after)


# what is looked at


@pytest.mark.parametrize(
    ("components", "features", "names"),
    [(2, False, {"codes"}), (2, True, {"codes"}), (6, False, {"codes", "inputs"}), (6, True, {"inputs"})],
)
def test_inputs_are_looked_at_where_they_have_more_components_than_the_codes(components, features, names):
    """Codes have 3 dimensions. Of features such codes are not looked at at all."""
    rng = np.random.default_rng(0)
    codes, inputs = rng.normal(size=(80, 3)), rng.normal(size=(80, components)) @ rng.normal(size=(components, 40))
    looked = first.views(codes, inputs, features)
    assert looked.keys() == names
    if "codes" in names:
        assert looked["codes"] is codes
    if "inputs" in names:
        assert looked["inputs"].shape[1] > 3
        np.testing.assert_allclose(looked["inputs"].var(0), 1, rtol=1e-4)
    assert first.views(codes, None, features) == {"codes": codes}


def views_of(monkeypatch, config, n=60, features=False, **options):
    """The names of what `find` is given, and its options."""
    seen = {}

    def find(looked, n_clusters, seed, **given):
        seen.update(given, names=set(looked), n_clusters=n_clusters)
        return known(len(next(iter(looked.values()))))

    monkeypatch.setattr(clusters, "find", find)
    monkeypatch.setattr(first, "on_one_map", lambda config, codes, *rest: known(len(codes)))
    x = np.random.default_rng(0).normal(size=(n, 30)).astype(np.float32)
    images = x if features else np.abs(x[:, :16]).reshape(n, 4, 4, 1)
    asked = []
    inputs = {"inputs": lambda rows: asked.append(len(rows)) or x[rows]}
    first.first_clusters(toy.job(config, images), lambda rows: x[rows, :2], **inputs, **options)
    return seen, asked


def test_of_few_examples_inputs_are_looked_at(monkeypatch):
    config = ClustersConfig(draws=3, granularity="fine")
    seen, asked = views_of(monkeypatch, config)
    assert (seen["names"], asked) == ({"codes", "inputs"}, [60])
    assert (seen["draws"], seen["granularity"], seen["metric"], seen["n_clusters"]) == (3, "fine", "euclidean", "auto")
    seen, _ = views_of(monkeypatch, config, features=True, n_clusters=7, metric="cosine")
    assert (seen["names"], seen["n_clusters"], seen["metric"]) == ({"inputs"}, 7, "cosine")
    monkeypatch.setattr(first, "FEW", 50)
    seen, asked = views_of(monkeypatch, config)
    assert (seen["names"], asked) == ({"codes"}, [])
    seen, asked = views_of(monkeypatch, dataclasses.replace(config, max_samples=50))
    assert (seen["names"], asked) == ({"codes", "inputs"}, [50]), "the sample is few"


def test_the_texts_rules_look_at_codes_alone(monkeypatch):
    assert views_of(monkeypatch, ONE) == ({}, [])
    assert views_of(monkeypatch, dataclasses.replace(ONE, clusterer="leaves"))[0]["names"] == {"codes", "inputs"}


# the texts' rules on one map


@pytest.mark.parametrize("clusterer", ["hdbscan", "gmm"])
@pytest.mark.parametrize("k", [3, 5])
def test_one_map_has_the_number_that_is_asked_for(clusterer, k):
    x, labels = blobs([30] * 3)
    notes = []
    found = first.on_one_map(dataclasses.replace(ONE, clusterer=clusterer), x, k, KEY, notes.append)
    assert found.memberships.shape == (90, k)
    np.testing.assert_allclose(found.memberships.sum(1), 1, rtol=1e-5)
    assert found.told == {"clear": None, "n_clusters": k, "by": clusterer}
    assert found.levels.shape == (0, 90)
    if k == 3:
        assert adjusted_rand_score(labels, found.labels) > 0.95
        assert notes == []
    elif clusterer == "hdbscan":
        assert notes == ["HDBSCAN finds no 5 clusters: a Gaussian mixture of 5 is used"]


@pytest.mark.parametrize(
    "metric", ["euclidean", *(pytest.param(name, marks=pytest.mark.slow) for name in ("manhattan", "cosine"))]
)
def test_hdbscan_finds_the_number_on_one_map(metric):
    x, labels = blobs([30] * 3)
    found = first.on_one_map(dataclasses.replace(ONE, umap_metric=metric), x, "auto", KEY, silent)
    assert found.memberships.shape == (90, 3)
    assert adjusted_rand_score(labels[found.labels >= 0], found.labels[found.labels >= 0]) > 0.95


def test_a_mixture_finds_the_number_by_bic(monkeypatch):
    monkeypatch.setattr(first.mixtures, "LARGEST_BIC", 5)
    x, labels = blobs([30] * 3)
    found = first.on_one_map(dataclasses.replace(ONE, clusterer="gmm"), x, "auto", KEY, silent)
    assert adjusted_rand_score(labels, found.labels) > 0.8
    assert found.memberships.shape[1] >= 3


def test_a_mixture_is_the_consensus_of_all_draws(monkeypatch):
    x, labels = blobs([20] * 3)
    drawn = []

    def umap(values, components, seed, *options):
        drawn.append(seed)
        return values[:, :2] if len(drawn) > 1 else np.random.default_rng(0).normal(size=(60, 2))

    monkeypatch.setattr(first.manifold, "umap", umap)
    config = dataclasses.replace(ONE, clusterer="gmm", draws=3)
    assert adjusted_rand_score(labels, first.on_one_map(config, x, 3, KEY, silent).labels) == 1
    assert len(set(drawn)) == 3
    first.on_one_map(dataclasses.replace(config, clusterer="hdbscan"), x, "auto", KEY, silent)
    assert len(drawn) == 4, "HDBSCAN looks at one"


def test_settings_reach_umap_and_hdbscan(monkeypatch):
    x, _ = blobs([20] * 3)
    given = {}

    def umap(values, components, seed, metric, neighbors, min_dist, epochs):
        given["umap"] = (values, components, metric, neighbors, min_dist, epochs)
        return values[:, :2]

    def hdbscan_or_smaller(map, size, note, metric, selection, min_samples):
        given["hdbscan"] = (size, metric, selection, min_samples)
        return density.Clusters(np.zeros(60, np.int32), np.ones((60, 1), np.float32))

    monkeypatch.setattr(first.manifold, "umap", umap)
    monkeypatch.setattr(density, "hdbscan_or_smaller", hdbscan_or_smaller)
    config = MapConfig(
        umap_metric="manhattan", umap_min_dist=0.2, umap_epochs=7, min_cluster_share=0.15, min_samples=4,
        selection="eom",
    )  # fmt: skip
    first.on_one_map(config, x, "auto", KEY, silent)
    assert given["umap"][1:] == (6, "manhattan", 10, 0.2, 7)
    np.testing.assert_allclose(np.abs(given["umap"][0]).sum(1), 1, rtol=1e-5)
    assert given["hdbscan"] == (9, "manhattan", "eom", 4)
    more = dataclasses.replace(config, umap_metric="euclidean", umap_components=50, umap_neighbors=12)
    first.on_one_map(more, x, "auto", KEY, silent)
    assert given["umap"][0] is x
    assert given["umap"][1:4] == (6, "euclidean", 12), "no more components than codes have dimensions"


def test_rows_that_cannot_be_clustered_are_one_line():
    x, _ = blobs([20] * 3)
    with pytest.raises(InputError, match=r"^all examples have the same code"):
        first.on_one_map(ONE, np.ones_like(x), 2, KEY, silent)
    with pytest.raises(InputError, match=r"^60 examples are too few for 31 clusters of two"):
        first.on_one_map(ONE, x, 31, KEY, silent)


# more rows than the sample


def test_labels_are_carried_over_to_all_rows():
    """Rows of the sample keep theirs; the others have those of the rows that they are copies of."""
    x, labels = blobs([25] * 4)
    rows = np.sort(np.random.default_rng(0).permutation(100)[:60])
    found = Found(
        labels[rows].astype(np.int32), clusters.one_hot(labels[rows], 4), labels[rows][None].astype(np.int32) % 2, {}
    )
    whole = first.whole(found, rows, 100, x[rows], x.__getitem__)
    np.testing.assert_array_equal(whole.labels, labels)
    np.testing.assert_array_equal(whole.memberships, clusters.one_hot(labels, 4))
    np.testing.assert_array_equal(whole.levels, labels[None] % 2)
    assert (whole.labels.dtype, whole.memberships.dtype, whole.levels.dtype) == (np.int32, np.float32, np.int32)
    assert first.whole(found, np.arange(60), 60, x[rows], x.__getitem__) is found


@pytest.mark.parametrize("clusterer", ["leaves", "hdbscan", "gmm"])
def test_of_more_rows_than_the_sample_all_have_labels(clusterer):
    """Four blobs and a tenth of rows far from all."""
    x, labels = blobs([150] * 4, noise=60 if clusterer == "leaves" else 0)
    config = dataclasses.replace(ONE, clusterer=clusterer, max_samples=200, draws=2, n_clusters=4)
    n, asked = len(x), []

    def codes(rows):
        asked.append(rows)
        return x[rows]

    found = first.first_clusters(toy.job(config, x), codes)
    sample, rest = asked
    assert len(sample) == 200
    np.testing.assert_array_equal(np.sort(np.concatenate([sample, rest])), np.arange(n))
    assert found.labels.shape == (n,)
    assert found.memberships.shape == (n, 4)
    assert found.levels.shape[1] == n
    noise = [(found.labels[part] < 0).mean() for part in (sample, rest)]
    assert noise[1] == pytest.approx(noise[0], abs=0.06)
    blob = labels >= 0
    assert models.score(found.labels[blob], labels[blob])["acc"] > 0.95
    np.testing.assert_allclose(found.memberships.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("largest", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_perfect_labels_of_the_sample_score_1_at_70_000(monkeypatch, largest):
    """A tenth of the rows is noise. Scores and noise of a run are those of all rows."""
    labels = np.r_[np.tile(np.arange(10, dtype=np.int32), 6300), np.full(7000, -1, np.int32)]
    x = (100 * labels[:, None] + np.random.default_rng(0).normal(size=(70_000, 1))).astype(np.float32)
    job = toy.job(MapConfig(clusterer="leaves", max_samples=largest), x)
    rows = sampling.sample(len(x), largest, job.seed("sample"))

    def perfect(looked, *rest, **options):
        assert len(looked["codes"]) == largest
        own = labels[rows]
        return Found(own, clusters.one_hot(np.maximum(own, 0), 10), own[None], {"clear": True, "n_clusters": 10})

    monkeypatch.setattr(clusters, "find", perfect)
    found = first.first_clusters(job, x.__getitem__)
    member, noise = found.memberships, found.labels < 0
    result = Result(None, member.argmax(1), member, noise, None, {"first": found.labels}, {}, {})
    told = describe(result, labels)
    assert (told["acc"], told["opinions"]["first"]["acc"], told["acc_labelled"]) == (1, 1, 1)
    assert told["noise_fraction"] == told["opinions"]["first"]["noise_fraction"] == pytest.approx(0.1)


def test_a_sample_is_sorted_and_of_the_seed():
    rows = sampling.sample(100, 30, 5)
    assert len(set(rows)) == 30
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0] < rows[-1] < 100
    np.testing.assert_array_equal(rows, sampling.sample(100, 30, 5))
    assert (rows != sampling.sample(100, 30, 6)).any()
    np.testing.assert_array_equal(sampling.sample(30, 30, 5), np.arange(30))
