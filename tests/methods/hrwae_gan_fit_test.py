"""hrwae-gan from its training to its clusters: looks at the training, noise, groups."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust import losses, methods, models
from jaxclust.errors import InputError
from jaxclust.host import manifold, sampling, seeds
from jaxclust.methods.hrwae_gan import fit as hr
from jaxclust.methods.hrwae_gan.model import broken, far, health
from jaxclust.methods.shared.job import Job
from jaxclust.train.phases import Phases
from tests import toy
from tests.methods.hrwae_gan_test import IMAGES, SHAPE, TINY, StopsIn, started
from tests.programs import quickly

# looks at the training


@pytest.mark.slow
def test_codes_that_are_the_prior_s_are_healthy():
    config = dataclasses.replace(TINY, groups=1)
    _, state = started(config)
    top = {
        "mean": jax.tree.map(jnp.zeros_like, state.params["autoencoder"]["top"]["mean"]),
        "log_var": jax.tree.map(lambda leaf: jnp.full_like(leaf, -40.0), state.params["autoencoder"]["top"]["log_var"]),
    }
    top["log_var"]["kernel"] = jnp.zeros_like(top["log_var"]["kernel"])  # log variance -softplus(-40), almost 0
    params = {**state.params, "autoencoder": {**state.params["autoencoder"], "top": top}}
    images = np.tile(IMAGES, (100, 1, 1, 1))
    look = quickly(partial(health, config, "bernoulli"))
    found = look(params, state.extra, jax.random.key(0), images)
    assert found.told_apart[0] == pytest.approx(0.5, abs=0.05)
    assert abs(found.mmd[0]) < 0.05
    assert found.code_mean[0] < 0.15
    assert found.code_deviation[0] == pytest.approx(1, abs=0.1)
    assert found.spread[0] == 0
    moved = {**top, "mean": {**top["mean"], "bias": jnp.full(4, 3.0)}}
    params = {**params, "autoencoder": {**params["autoencoder"], "top": moved}}
    far = look(params, state.extra, jax.random.key(0), images)
    assert far.mmd[0] > 1
    assert far.code_mean[0] == pytest.approx(3, abs=0.2)


def test_what_counts_as_broken():
    fine = {"told_apart": np.array([0.7, 0.999]), "spread": np.array([1.0, 1.0]), "mmd": np.array([0.1, 0.1])}
    calm, other = ({**fine, "told_apart": np.array(shares)} for shares in ([0.7, 0.8], [0.999, 0.7]))
    assert broken([fine]) is None, "at first a critic may be ahead"
    assert broken([fine, calm]) is None
    assert broken([fine, other]) is None, "not the same one twice"
    assert "group 1" in broken([fine, fine])
    assert "group 1" in broken([calm, fine], last=True), "nothing comes after the last look"
    assert "group 1" in broken([fine], last=True)
    assert broken([calm], last=True) is None
    assert "all the same" in broken([{**fine, "spread": np.array([0.0, 1.0])}])
    assert "mmd not finite" in broken([{**fine, "mmd": np.array([np.nan, 0.1])}])


def test_codes_half_a_deviation_off_their_prior_are_far_from_it():
    rng = np.random.default_rng(0)
    prior, codes = rng.normal(size=(2, 300, 16)).astype(np.float32)
    look = quickly(losses.maximum_mean_discrepancy)
    mmd = [float(look(codes + np.float32(off), prior, np.ones(300, np.float32))) for off in (0.0, 0.4, 0.6)]
    assert far({"mmd": mmd}) == [2]
    assert far({"mmd": [None, 0.1, float("nan")]}) == [0, 2]


def small_fit(**changes):
    from tests.contract_test import IMAGES as BLOBS
    from tests.contract_test import TINY as SETTINGS

    method = methods.find("hrwae-gan")
    config = dataclasses.replace(method.presets["quick"], **{**SETTINGS["hrwae-gan"], **changes})
    preprocess, images = models.prepared(config, BLOBS)
    request = models.Request(method, config)
    result = models.fit(request, images, preprocess, Phases())
    return models.fitted(request, preprocess, result), result


@pytest.mark.slow
def test_a_training_that_breaks_ends_with_the_last_sound_state(monkeypatch):
    """Which is that of a training that ends there: its codes are the same to the bit."""
    settings = {"clusterer": "gmm", "cluster_group": 1, "schedule": "constant"}
    monkeypatch.setattr(hr, "broken", lambda looks, last: "it broke" if len(looks) == 2 else None)
    _, result = small_fit(**settings)
    assert (result.summary["ended"], result.summary["look"]) == ("it broke", 1)
    assert len(result.summary["health"]) == 2
    monkeypatch.undo()
    _, shorter = small_fit(**settings, epochs=2, min_steps=50)
    assert (shorter.summary["ended"], len(shorter.summary["health"])) == (None, 1)
    np.testing.assert_array_equal(result.embedding, shorter.embedding)
    assert result.embedding.shape == (150, 16), "of group 1"


def trained(monkeypatch, told_apart, **changes):
    """`train` with trainings that count their number into the parameters, and looks that find these shares."""
    config = dataclasses.replace(TINY, epochs=3, attention_epochs=1, min_steps=0, groups=1, **changes)
    images, seen, looks = np.tile(IMAGES, (5, 1, 1, 1)), [], iter(told_apart)

    class Counts(Phases):
        def train(self, name, training, images, *, state, **rest):
            seen.append(np.asarray(state.extra["attention"]))
            autoencoder = state.params["autoencoder"]
            last = {**autoencoder["last"], "bias": autoencoder["last"]["bias"] + 1}
            return state._replace(params={**state.params, "autoencoder": {**autoencoder, "last": last}})

        def compute(self, name, function):
            if name.startswith("noise"):
                return {"noise": np.arange(30) < 3}
            return {"told_apart": np.array([next(looks)]), "spread": np.ones(1)}

    state, told = hr.train(toy.job(config, images, Counts()), IMAGES)
    return int(state.params["autoencoder"]["last"]["bias"][0]), told, seen


@pytest.mark.slow
def test_the_state_before_a_saturated_critic_is_kept(monkeypatch):
    number, told, _ = trained(monkeypatch, [0.8, 1.0, 1.0])
    assert (number, told["look"]) == (1, 1), "the second look was saturated already"
    assert "group 0" in told["ended"]
    number, told, _ = trained(monkeypatch, [1.0, 0.8, 0.7])
    assert (number, told["look"], told["ended"]) == (3, 3, None)
    with pytest.raises(InputError, match="training is broken after 2 epochs: the critic of group 0"):
        trained(monkeypatch, [1.0, 1.0])


def test_noise_weighs_more_in_the_next_stretch(monkeypatch):
    _, _, attention = trained(monkeypatch, [0.8] * 3, noise_weight=3.0)
    np.testing.assert_array_equal(attention[0], np.ones(30))
    for later in attention[1:]:
        np.testing.assert_array_equal(later, np.where(np.arange(30) < 3, 3.0, 1.0))


@pytest.mark.slow
def test_noise_is_what_lies_in_no_cluster(monkeypatch):
    """Two dense clumps and five far groups of four; examples that the sample leaves out follow their nearest ones."""
    rng = np.random.default_rng(0)
    far = np.repeat(rng.uniform(-400, 400, (5, 2)), 4, 0) + rng.normal(size=(20, 2))
    points = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 40, far])
    monkeypatch.setattr(hr, "moments", lambda config, arrays, images: [(images.reshape(len(images), -1)[:, :2], None)])
    monkeypatch.setattr(manifold, "umap", lambda codes, *options: codes)
    _, state = started()
    config = dataclasses.replace(TINY, clusterer="hdbscan", min_cluster_share=0.1, selection="eom", n_clusters=9)
    found = hr.noise_of(config, state, points[:, :, None, None], jax.random.key(0))["noise"]
    assert found[120:].all()
    assert found[:120].mean() < 0.2
    mixed = dataclasses.replace(config, clusterer="gmm")
    same = hr.noise_of(mixed, state, points[:, :, None, None], jax.random.key(0))["noise"]
    np.testing.assert_array_equal(same, found, "a mixture finds the clusters, and still HDBSCAN the noise")
    few = dataclasses.replace(config, max_samples=100)
    sampled = hr.noise_of(few, state, points[:, :, None, None], jax.random.key(0))["noise"]
    left = np.setdiff1d(np.arange(140), sampling.sample(140, 100, seeds.seed(jax.random.key(0), "sample")))
    assert sampled[left[left >= 120]].all()
    assert len(left[left >= 120]) > 2
    assert sampled[left[left < 120]].mean() < 0.2
    none = hr.noise_of(config, state, points[:3, :, None, None], jax.random.key(0))["noise"]
    assert none.shape == (3,)
    assert not none.any(), "too few for clusters: no training ends for that"


@pytest.mark.slow
def test_a_training_that_breaks_at_once_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(hr, "broken", lambda looks, last: "it broke")
    with pytest.raises(InputError, match=r"training is broken after .* it broke; lower --learning-rate"):
        small_fit()
    monkeypatch.undo()
    with pytest.raises(InputError, match="diverged"):
        small_fit(learning_rate=1e30)


def clusters_of(level, phases=None, **changes):
    """`clusters` of codes of two clumps in group 0 and of three in group 1."""
    rng = np.random.default_rng(0)
    codes = [rng.normal(size=(60, 2)) + 50 * (np.arange(60) % k)[:, None] for k in (2, 3)]
    config = dataclasses.replace(TINY, groups=2, min_cluster_share=0.15, **changes)
    preprocess, images = models.prepared(config, rng.integers(0, 256, (60, *SHAPE)).astype(np.uint8))
    return hr.clusters(Job(config, images, preprocess, jax.random.key(0), phases or Phases()), level, codes[level])


def test_every_group_has_clusters_of_its_own(monkeypatch):
    monkeypatch.setattr(manifold, "umap", lambda codes, *options: codes)
    found = [clusters_of(level, clusterer="hdbscan") for level in (0, 1)]
    assert [one.memberships.shape for one in found] == [(60, 2), (60, 3)]
    for one, k in zip(found, (2, 3), strict=True):
        kept = one.labels >= 0
        assert kept.mean() > 0.9
        assert len(set(zip(one.labels[kept], (np.arange(60) % k)[kept], strict=True))) == k


@pytest.mark.slow
def test_a_given_number_is_that_of_every_group(monkeypatch):
    monkeypatch.setattr(manifold, "umap", lambda codes, *options: codes)
    notes = StopsIn("none")
    for level in (0, 1):
        assert clusters_of(level, Phases(report=notes), clusterer="hdbscan", n_clusters=7).memberships.shape == (60, 7)
    assert notes.said.count("HDBSCAN finds no 7 clusters: a Gaussian mixture of 7 is used") == 2


@pytest.mark.parametrize("cluster_group", [0, 1])
def test_inputs_are_looked_at_for_the_group_that_gives_the_labels(monkeypatch, cluster_group):
    seen = {}

    def first_clusters(job, codes, *, inputs, key, name):
        seen[name] = (codes(np.arange(3)), inputs, job.images)

    monkeypatch.setattr(hr, "first_clusters", first_clusters)
    for level in (0, 1):
        clusters_of(level, cluster_group=cluster_group)
    with_inputs, without = f"clusters-{cluster_group}", f"clusters-{1 - cluster_group}"
    assert seen[without][1] is None
    _, inputs, images = seen[with_inputs]
    np.testing.assert_allclose(inputs(np.arange(4)), images[:4].reshape(4, -1) / 255, rtol=1e-6)
    assert not np.allclose(seen["clusters-0"][0], seen["clusters-1"][0])


@pytest.mark.parametrize(
    ("n", "changes", "words"),
    [
        (4, {}, "2 examples are too few to train on"),
        (60, {"max_samples": 3}, "max_samples is 3: give at least twice n_clusters, 2"),
        (60, {"max_samples": 11, "n_clusters": 6}, "max_samples is 11: give at least twice n_clusters, 6"),
    ],
)
def test_too_few_examples_are_refused_before_the_training(n, changes, words):
    config = dataclasses.replace(TINY, n_clusters=2)
    config = dataclasses.replace(config, **changes)
    preprocess, images = models.prepared(config, np.tile(IMAGES, (10, 1, 1, 1))[:n])
    with pytest.raises(InputError, match=words):
        hr.fit(Job(config, images, preprocess, jax.random.key(0), Phases()))


def test_a_fifth_of_few_examples_is_held_out_and_at_most_1000():
    for n, count in ((12, 2), (100, 20), (500, 32), (1797, 90), (50_000, 1000)):
        looked, rows = hr.held_out(TINY, n, jax.random.key(0))
        assert len(looked) == count
        np.testing.assert_array_equal(np.sort(np.concatenate([looked, rows])), np.arange(n))
