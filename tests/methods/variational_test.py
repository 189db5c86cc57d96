"""Variational clustering: its sums over k by hand and by Monte Carlo, its limits, its networks."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.special import expit
from scipy.stats import multivariate_normal

from jaxclust import losses
from jaxclust.errors import InputError
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.vc import training as vc_training
from jaxclust.methods.vc.config import QUICK, Config, user_function
from jaxclust.methods.vc.model import Inferred, Networks, functions
from jaxclust.nn.variational import TextDecoder, TextTrunk
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch
from tests.programs import quickly

K, B = 4, 6
TINY = dataclasses.replace(QUICK, width=0.1, min_filters=2, latent_dim=3, active_clusters="all", restarts=1)
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (B, 8, 8, 1)).astype(np.uint8)
SQUARE = Extent((8, 8, 1), 8, 8)


def darker(key, image):
    """A user's augmentation."""
    return image * jax.random.uniform(key)


def batch(images=IMAGES, weight=None):
    n = len(images)
    return Batch(jnp.asarray(images), jnp.arange(n), jnp.ones(n) if weight is None else jnp.array(weight))


def drawn_networks(config=TINY, n_clusters=K, extent=SQUARE, likelihood="bernoulli"):
    nets = Networks(config, n_clusters, extent, likelihood)
    return nets, *quickly(nets.init)(jax.random.key(0))


def log_q(n=5, k=K, seed=0):
    return jax.nn.log_softmax(jnp.array(np.random.default_rng(seed).normal(size=(n, k)) * 1.5))


# sums over k


def test_all_clusters_are_weighted_by_their_probability():
    at = vc_training.active(jax.random.key(0), log_q(), K)
    np.testing.assert_array_equal(at.clusters, np.tile(np.arange(K), (5, 1)))
    np.testing.assert_allclose(at.weights.sum(1), 1, rtol=1e-6)
    values = jnp.arange(20.0).reshape(5, K)
    np.testing.assert_allclose(vc_training.expected(at.weights, values), (np.exp(log_q()) * values).sum(1), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_few_clusters_have_the_expectation_and_gradient_of_all(count, float64):
    """Over 20,000 draws, within four standard errors."""
    values = jnp.array(rng.normal(size=(1, K)) + 100)
    logits = jnp.array(rng.normal(size=(1, K)))

    def whole(logits):
        return (jax.nn.softmax(logits) * values).sum()

    def estimate(logits, key):
        at = vc_training.active(key, jax.nn.log_softmax(logits), count)
        assert at.clusters.shape == (1, count)
        return vc_training.expected(at.weights, jnp.take_along_axis(values, at.clusters, 1)).sum()

    keys = jax.random.split(jax.random.key(1), 20_000)
    drawn, slopes = jax.vmap(jax.value_and_grad(estimate), (None, 0))(logits, keys)
    error = np.asarray(drawn).std() / np.sqrt(len(keys))
    assert abs(drawn.mean() - whole(logits)) < 4 * error
    assert error < 0.01  # though values are near 100
    errors = np.asarray(slopes).std(0) / np.sqrt(len(keys))
    assert (abs(slopes.mean(0) - jax.grad(whole)(logits)) < 4 * errors + 1e-12).all()


def test_active_clusters_are_the_likeliest_and_another():
    probabilities = log_q(200, 6)
    at = vc_training.active(jax.random.key(0), probabilities, 3)
    order = np.argsort(-probabilities, axis=1)
    np.testing.assert_array_equal(at.clusters[:, :2], order[:, :2])
    assert all(len(set(row)) == 3 for row in np.asarray(at.clusters))
    np.testing.assert_allclose(at.weights.sum(1), 1, rtol=1e-5)


# the ELBO


def evidence_at(nets, params, stats, key, images=IMAGES, n_clusters=K):
    x = nets.target(jnp.asarray(images))

    @quickly
    def evidence(params, stats, key, x):
        seen, _ = nets.infer(params, stats, x, None)
        at = vc_training.active(key, seen.log_q, n_clusters)
        parts, _, _ = vc_training.evidence(nets, params, stats, key, x, seen, at, None)
        return parts, seen

    parts, seen = evidence(params, stats, key, x)
    return parts, x, seen


@pytest.mark.slow
def test_the_elbo_is_its_definition_term_by_term(float64):
    nets, params, stats = drawn_networks()
    key = jax.random.key(3)
    parts, x, seen = evidence_at(nets, params, stats, key)
    clusters = np.tile(np.arange(K), (B, 1))
    mean, var = map(np.asarray, quickly(nets.posterior)(params, seen.features, jnp.asarray(clusters)))
    noise = np.asarray(jax.random.normal(key, mean.shape))
    decode, prior = quickly(lambda z: nets.decode(params, stats, z, None)[0]), quickly(nets.prior)
    q, pixels = np.exp(np.asarray(seen.log_q)), np.asarray(x, np.float64)
    value = -(q * np.log(q)).sum(1)
    for k in range(K):
        prior_mean, prior_var = map(np.asarray, prior(params, jnp.eye(K)[k]))
        for i in range(B):
            p = expit(np.asarray(decode((mean[i, k] + np.sqrt(var[i, k]) * noise[i, k])[None])[0], np.float64))
            value[i] += q[i, k] * (pixels[i] * np.log(p) + (1 - pixels[i]) * np.log(1 - p)).sum()
            ratio = var[i, k] / prior_var
            distance = (mean[i, k] - prior_mean) ** 2 / prior_var
            value[i] -= q[i, k] * 0.5 * (ratio + distance - 1 - np.log(ratio)).sum()
    np.testing.assert_allclose(parts.elbo(), value, rtol=1e-5)


def test_the_elbo_is_below_the_evidence_of_a_linear_gaussian_model(float64):
    """p(x) of a mixture in one dimension is known: the ELBO of the true posterior reaches it, others stay below."""
    means, noise = np.array([-2.0, 1.0]), 0.5
    x = 0.3
    joint = 0.5 * multivariate_normal(0, 1 + noise).pdf(x - means)  # p(x, k): z|k ~ N(m_k, 1), x|z ~ N(z, noise)
    evidence = np.log(joint.sum())
    var = 1 / (1 + 1 / noise)
    post_means = var * (means + x / noise)
    for shift, q in ((0.0, joint / joint.sum()), (0.4, joint / joint.sum()), (0.0, np.array([0.5, 0.5]))):
        mean = jnp.array(post_means + shift)[:, None]
        expected_log = -0.5 * (np.log(2 * np.pi * noise) + ((x - mean[:, 0]) ** 2 + var) / noise)
        kl = losses.gaussian_kl(mean, jnp.full((2, 1), var), jnp.array(means)[:, None], jnp.ones((2, 1)))
        q = jnp.array(q)[None]
        parts = vc_training.Evidence(
            vc_training.expected(q, expected_log[None]), -(q * jnp.log(q)).sum(1), vc_training.expected(q, kl[None])
        )
        elbo = float(parts.elbo()[0]) + np.log(0.5)
        if shift == 0 and q[0, 0] != 0.5:
            assert elbo == pytest.approx(evidence, abs=1e-12)
        else:
            assert elbo < evidence - 1e-3


@pytest.mark.slow
def test_one_cluster_is_a_plain_vae():
    """With K = 1 and the prior N(0, I): -ELBO is binary cross-entropy + KL to N(0, I)."""
    nets, params, stats = drawn_networks(n_clusters=1)
    unit = np.log(np.expm1(1 - 1e-4))  # whose softplus and the least variance make 1
    head = {"kernel": jnp.zeros((1, 3)), "bias": jnp.full(3, unit)}
    params["prior"] = {"mean": {"kernel": jnp.zeros((1, 3)), "bias": jnp.zeros(3)}, "variance": head}
    key = jax.random.key(5)
    parts, x, seen = evidence_at(nets, params, stats, key, n_clusters=1)
    mean, var = (part[:, 0] for part in quickly(nets.posterior)(params, seen.features, jnp.zeros((B, 1), jnp.int32)))
    z = mean + jnp.sqrt(var) * jax.random.normal(key, (B, 1, 3))[:, 0]
    output, _ = quickly(partial(nets.decode, weight=None))(params, stats, z)
    plain = losses.bernoulli_reconstruction(output, x) + losses.kl_standard_normal(mean, jnp.log(var)).sum(-1)
    np.testing.assert_allclose(-parts.elbo(), plain, rtol=1e-6)


# the training


def terms_of(config, weight=None, images=IMAGES, schedules=None):
    nets = Networks(config, K, SQUARE, "bernoulli")
    training = vc_training.variational_clustering(
        config, K, nets, schedules or vc_training.schedules_of(config, len(images), None)
    )
    state = initial(training, jax.random.key(0), images.shape)
    return training, state, quickly(training.step)(state, batch(images, weight))


@pytest.mark.slow
def test_without_augmentation_nothing_disagrees():
    for config in (TINY, dataclasses.replace(TINY, active_clusters=2)):
        _, _, (_, terms) = terms_of(dataclasses.replace(config, augmentation="none"))
        assert float(terms["cluster_disagreement"]) == 0
        assert float(terms["code_distance"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "consistency", ["both", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("clusters", "codes", "none"))]
)
def test_the_loss_is_the_sum_that_it_states(consistency):
    config = dataclasses.replace(
        TINY, consistency=consistency, consistency_weights=(3.0,), reconstruction_weights=(0.5,), rotation=40.0
    )
    _, _, (_, terms) = terms_of(config)
    assert float(terms["cluster_disagreement"]) > 0
    agree = {
        "both": terms["cluster_disagreement"] + terms["code_distance"],
        "clusters": terms["cluster_disagreement"],
        "codes": terms["code_distance"],
        "none": 0.0,
    }[consistency]
    elbo = 0.5 * terms["log_likelihood"] + terms["entropy"] - terms["kl"]
    np.testing.assert_allclose(terms["elbo"], elbo, rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], 3 * agree - elbo, rtol=1e-5)


@pytest.mark.slow
def test_padding_has_no_part():
    config = dataclasses.replace(TINY, augmentation="none")
    other = IMAGES.copy()
    other[-1] = 255 - other[-1]
    weight = [1.0] * (B - 1) + [0.0]
    first, second = (terms_of(config, weight, images)[2][0].params for images in (IMAGES, other))
    np.testing.assert_allclose(ravel_pytree(first)[0], ravel_pytree(second)[0], atol=1e-6)


def test_weights_change_at_their_epochs():
    config = dataclasses.replace(
        TINY, consistency_weights=(0.01, 0.5, 1.0), consistency_epochs=(40, 80), min_steps=0, batch_size=10
    )
    schedules = vc_training.schedules_of(config, 25, None)  # three steps an epoch
    assert schedules.consistency == ((0.01, 0.5, 1.0), (120, 240))
    values = [
        float(vc_training.value_at(jnp.int32(step), schedules.consistency)) for step in (0, 119, 120, 239, 240, 9999)
    ]
    np.testing.assert_allclose(values, [0.01, 0.01, 0.5, 0.5, 1, 1])
    assert vc_training.schedules_of(dataclasses.replace(config, reconstruction_size=256), 25, 1024).reconstruction == (
        (0.25,),
        (),
    )


@pytest.mark.parametrize(
    ("network", "extent", "size"),
    [
        ("size", Extent((32, 32, 1), 28, 28), 1024),
        ("text", Extent((32, 32, 1), 28, 28), 784),
        ("text", Extent((32, 32, 3), 32, 32), 3072),
        ("text", Extent((2,), 0, 0), None),
    ],
)
def test_the_likelihood_is_of_the_numbers_that_the_network_sees(network, extent, size):
    """Padding is not among them where the text's networks leave it out; features are not scaled."""
    assert Networks(dataclasses.replace(TINY, network=network), K, extent, "bernoulli").size == size


def test_a_user_s_function_moves_images():
    name = f"{darker.__module__}:darker"
    assert Config(augmentation=darker).augmentation == name
    assert user_function(name) is darker
    nets = Networks(dataclasses.replace(TINY, augmentation=darker), K, SQUARE, "bernoulli")
    x = nets.target(jnp.asarray(IMAGES))
    moved = quickly(nets.augment)(jax.random.key(0), x)
    share = (moved / x)[:, 4, 4, 0]
    np.testing.assert_allclose(moved, x * share[:, None, None, None], rtol=1e-4)
    assert len(set(np.round(np.asarray(share), 4))) == B  # its own key each


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augmentation": "rotate"}, "augmentation is 'rotate': give 'images', 'none' or 'module:function'"),
        ({"augmentation": lambda key, image: image}, "give a function of a module"),
        ({"n_clusters": 1}, "n_clusters is 1: give a number of at least 2"),
        ({"active_clusters": 1}, "active_clusters is 1"),
        ({"consistency_weights": (1.0, 2.0), "consistency_epochs": ()}, "one more than consistency_epochs"),
        ({"consistency_epochs": (80.0, 40.0)}, "give rising numbers"),
        ({"latent_dim": 0}, "latent_dim is 0"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(InputError, match=words):
        Config(**changes)


@pytest.mark.parametrize("name", ["nowhere:function", "math:nothing", "math:pi"])
def test_a_function_that_is_not_there_is_refused_when_it_is_needed(name):
    nets = Networks(dataclasses.replace(TINY, augmentation=name), K, SQUARE, "bernoulli")
    with pytest.raises(InputError, match="give 'images', 'none' or 'module:function'"):
        nets.check()
    params, stats = jax.eval_shape(nets.init, jax.random.key(0))  # a fitted model needs no such function
    infer = partial(nets.infer, weight=None)
    assert jax.eval_shape(infer, params, stats, nets.target(jnp.asarray(IMAGES)))[0].log_q.shape == (B, K)


# the networks of table II


@pytest.mark.parametrize(("side", "channels", "flat"), [(28, 1, 1024), (32, 3, 3072)])
def test_the_text_s_convolutions_have_its_sizes(side, channels, flat):
    x, z = jnp.zeros((2, side, side, channels)), jnp.zeros((2, 32))
    trunk, decoder = TextTrunk(120), TextDecoder((side, side, channels))
    features, encoder = jax.eval_shape(trunk.init_with_output, jax.random.key(0), x)
    output, decoder = jax.eval_shape(decoder.init_with_output, jax.random.key(0), z)
    assert features.shape == (2, flat)
    assert output.shape == x.shape
    filters = [leaf["kernel"].shape[-1] for leaf in encoder["params"].values()]
    assert filters == {28: [64, 64, 64, 128, 128, 128, 256], 32: [96, 96, 96, 192, 192, 192]}[side]
    dense = {28: [512, 2304], 32: [3072]}[side]
    assert [leaf["kernel"].shape[1] for name, leaf in decoder["params"].items() if "Dense" in name] == dense


def test_other_sizes_are_refused_by_the_text_s_networks():
    nets = Networks(dataclasses.replace(TINY, network="text"), K, SQUARE, "bernoulli")
    with pytest.raises(InputError, match="choose network 'size'"):
        nets.init(jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "extent", "likelihood"),
    [
        ({"network": "text"}, Extent((32, 32, 1), 28, 28), "bernoulli"),
        ({"network": "text", "shared_trunk": False}, Extent((32, 32, 3), 32, 32), "gaussian"),
        ({"network": "text", "shared_trunk": False}, Extent((2,), 0, 0), "gaussian"),
        ({"shared_trunk": False}, SQUARE, "gaussian"),
        ({}, Extent((5,), 0, 0), "gaussian"),
    ],
)
def test_networks_can_do_all_that_they_promise(changes, extent, likelihood):
    config = dataclasses.replace(TINY, width=0.05, **changes)
    nets, params, stats = drawn_networks(config, K, extent, likelihood)
    images = rng.random((3, *extent.shape)).astype(np.float32)
    arrays, can = {"params": params, "stats": stats, "kept": jnp.array([0, 2, 3])}, functions(nets)
    embed, log_posterior = quickly(can.embed), quickly(can.log_posterior)(arrays, images)
    np.testing.assert_allclose(np.exp(log_posterior).sum(1), 1, rtol=1e-5)
    assert log_posterior.shape == (3, 3)
    assert embed(arrays, images).shape == (3, 3)
    assert jax.eval_shape(can.second_opinion, arrays, images).shape == (3,)
    for pictures in (
        quickly(can.reconstruct)(arrays, images),
        quickly(can.sample, static_argnums=2)(arrays, jax.random.key(0), 3, jnp.int32(1)),
        quickly(can.decode)(arrays, can.centroids(arrays), jnp.int32(0)),
    ):
        assert pictures.shape == images.shape
        assert np.isfinite(pictures).all()
    np.testing.assert_allclose(embed(arrays, images)[:1], embed(arrays, images[:1]), atol=1e-5)


def test_a_gaussian_likelihood_is_that_of_its_mean_and_variance():
    nets = Networks(TINY, K, SQUARE, "gaussian")
    output = jnp.array(rng.normal(size=(2, 8, 8, 2)))
    x = jnp.array(rng.random((2, 8, 8, 1)))
    var = np.logaddexp(0, output[..., 1]) + 1e-4
    density = multivariate_normal(np.ravel(output[0, ..., 0]), np.diag(np.ravel(var[0]))).logpdf(np.ravel(x[0]))
    np.testing.assert_allclose(nets.log_likelihood(output, x)[0], density, rtol=1e-4)


@pytest.mark.slow
def test_inferred_probabilities_are_those_of_the_clusters():
    nets, params, stats = drawn_networks()
    seen, _ = quickly(partial(nets.infer, weight=None))(params, stats, nets.target(jnp.asarray(IMAGES)))
    assert isinstance(seen, Inferred)
    arrays = {"params": params, "stats": stats, "kept": jnp.arange(K)}
    np.testing.assert_allclose(quickly(functions(nets).log_posterior)(arrays, IMAGES), seen.log_q, atol=1e-5)
