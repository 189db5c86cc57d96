"""damic and mixae: their losses by hand, and a step against the networks in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.errors import InputError
from jaxclust.methods.baselines import damic, mixae
from jaxclust.methods.shared import experts
from jaxclust.methods.shared.extent import Extent
from jaxclust.train.augment import NONE
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch
from tests.programs import quickly

K, P = 3, 2
EXTENT = Extent((5,), 0, 0)
X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
WEIGHT = np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32)
BATCH = Batch(jnp.asarray(X), jnp.arange(8), jnp.asarray(WEIGHT))
DAMIC = damic.Config(n_clusters=K, latent_dim=P, hidden=(4,), expert_hidden=(6,), precision="float32")
MIXAE = mixae.Config(n_clusters=K, latent_dim=P, hidden=(6,), assigner_hidden=(4,), precision="float32")


def dense(params, x, of=lambda leaf: np.asarray(leaf, np.float64)):
    """nn.mlp.Layers: leaky ReLU between dense layers. of: what a leaf is read as."""
    for i in range(len(params)):
        layer = params[f"Dense_{i}"]
        x = x @ of(layer["kernel"]) + of(layer["bias"])
        if i < len(params) - 1:
            x = x * (x > 0) + 0.2 * x * (x <= 0)
    return x


def one_by_one(params, x, of=lambda leaf: np.asarray(leaf, np.float64)):
    """Codes (b, p) and squared errors, summed (b,), of stacked experts, one after the other: K of each."""
    codes, errors = [], []
    for k in range(K):
        encoder, decoder = (jax.tree.map(lambda leaf, k=k: leaf[k], params[part]) for part in ("encoder", "decoder"))
        codes.append(dense(encoder, x, of))
        errors.append(((dense(decoder, codes[-1], of) - x) ** 2).sum(1))
    return codes, errors


def softmax(logits):
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


# damic


def test_damic_s_loss_by_hand():
    log_p = jnp.log(jnp.array([[0.75, 0.25], [0.5, 0.5]]))
    errors = jnp.array([[1.0, 2.0], [3.0, 3.0]])
    value = damic.negative_log_likelihood(log_p, errors)
    np.testing.assert_allclose(value, [-np.log(0.75 * np.exp(-1) + 0.25 * np.exp(-2)), 3.0], rtol=1e-6)


def test_damic_s_loss_is_finite_where_exp_is_not():
    """Errors of thousands: exp(-d) is 0 in float32, and p of the better autoencoder may be nearly 0."""
    log_p = jnp.array([[0.0, -50.0]])
    value, grads = jax.value_and_grad(lambda d: damic.negative_log_likelihood(log_p, d)[0])(jnp.array([[5000.0, 4000]]))
    assert float(value) == pytest.approx(4050.0)
    np.testing.assert_allclose(grads, [[0.0, 1.0]], atol=1e-6)


@pytest.mark.slow
def test_a_step_of_damic_has_the_loss_of_the_text_and_its_gradient():
    """Against differentiating the whole loss, and against NumPy. The clustering network's is as it is."""
    training = damic.joint(DAMIC, EXTENT)
    state = initial(training, jax.random.key(0), X.shape)
    network = damic.classifier.module(damic.of_classifier(DAMIC, K))

    def logits_of(params):
        return damic.train_mode(network, params["network"], state.extra["network"], BATCH.image, BATCH.weight)[0]

    def whole(params):
        errors = jnp.stack(one_by_one(params["experts"], X, jnp.asarray)[1], 1)
        p = jax.nn.softmax(logits_of(params))
        return (-jnp.log((p * jnp.exp(-errors)).sum(1)) * WEIGHT).sum() / WEIGHT.sum()

    value, grads = jax.jit(jax.value_and_grad(whole))(state.params)
    p = softmax(np.asarray(jax.jit(logits_of)(state.params), np.float64))
    by_numpy = -np.log((p * np.exp(-np.stack(one_by_one(state.params["experts"], X)[1], 1))).sum(1))[:7].mean()
    new, terms = jax.jit(training.step)(state, BATCH)
    assert float(terms["loss"]) == pytest.approx(by_numpy, rel=1e-4)
    assert float(value) == pytest.approx(by_numpy, rel=1e-4)
    for ours, expected in zip(jax.tree.leaves(new.opt_state[0].mu), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(np.asarray(ours) * 10, expected, rtol=2e-3, atol=2e-5)  # 0.1 g after one step


@pytest.mark.slow
def test_alone_each_autoencoder_learns_from_its_own_rows():
    """Rows take turns 0, 1, 2, 0, 1, 2: another cluster's rows do not matter, nor does padding."""
    training = damic.alone(DAMIC, EXTENT)
    state = initial(training, jax.random.key(0), (6, 5))
    weight = np.array([1, 1, 1, 1, 0, 1], np.float32)
    step = jax.jit(training.step)
    new, terms = step(state, Batch(jnp.asarray(X[:6]), jnp.arange(6), jnp.asarray(weight)))
    errors = one_by_one(state.params["experts"], X[:6])[1]
    own = [errors[0][[0, 3]].mean(), errors[1][1], errors[2][[2, 5]].mean()]
    assert float(terms["reconstruction"]) == pytest.approx(np.mean(own), rel=1e-4)
    other = X[:6].copy()
    other[[2, 4]] += 1.0
    moved, _ = step(state, Batch(jnp.asarray(other), jnp.arange(6), jnp.asarray(weight)))
    for before, after in zip(*(jax.tree.leaves(s.params["experts"]) for s in (new, moved)), strict=True):
        np.testing.assert_allclose(before[:2], after[:2], atol=1e-6)
    assert not np.allclose(*(s.params["experts"]["encoder"]["Dense_0"]["kernel"][2] for s in (new, moved)))


@pytest.mark.slow
def test_damic_s_label_is_the_clustering_network_s_and_its_opinion_the_nearest_reconstruction():
    training = damic.joint(DAMIC, EXTENT)
    state = initial(training, jax.random.key(1), X.shape)
    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in state.params}
    can = damic.functions(DAMIC, EXTENT)
    log_p = quickly(can.log_posterior)(arrays, X)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-5)
    errors = np.stack(one_by_one(state.params["experts"], X)[1])
    np.testing.assert_array_equal(quickly(can.second_opinion)(arrays, X), errors.argmin(0))
    images = quickly(can.reconstruct)(arrays, X)
    own = errors[np.asarray(log_p).argmax(1), np.arange(8)]
    np.testing.assert_allclose(((np.asarray(images) - X) ** 2).sum(1), own, rtol=1e-4)


# mixae


def test_mixae_s_loss_by_hand():
    config = dataclasses.replace(MIXAE, n_clusters=2, sample_entropy_weight=0.5, batch_entropy_weight=3.0)
    p, errors = jnp.array([[0.75, 0.25], [1.0, 0.0], [0.5, 0.5]]), jnp.array([[1.0, 2.0], [3.0, 9.0], [7.0, 7.0]])
    value, terms = mixae.mixture_loss(config, jnp.log(p), errors, jnp.array([1.0, 1.0, 0.0]))
    rec = (0.75 * 1 + 0.25 * 2 + 3) / 2
    sample = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / 2
    batch = -(0.875 * np.log(0.875) + 0.125 * np.log(0.125))
    assert float(terms["reconstruction"]) == pytest.approx(rec)
    assert float(terms["sample_entropy"]) == pytest.approx(sample)
    assert float(terms["negative_batch_entropy"]) == pytest.approx(-batch)
    assert float(value) == pytest.approx(rec + rec / np.log(2) * (0.5 * sample - 3 * batch))


def test_the_unit_of_the_entropies_has_no_gradient():
    """Else a small reconstruction would be wanted less where the entropies are negative."""
    log_p, weight = jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8]])), jnp.ones(2)
    config = dataclasses.replace(MIXAE, n_clusters=2, batch_entropy_weight=5.0)
    grads = jax.grad(lambda d: mixae.mixture_loss(config, log_p, d, weight)[0])(jnp.ones((2, 2)))
    np.testing.assert_allclose(grads, np.exp(log_p) / 2, rtol=1e-5)


@pytest.mark.slow
def test_a_step_of_mixae_has_the_loss_of_the_text_and_its_gradient():
    """Through the codes too, which the assignment network reads."""
    training = mixae.training(MIXAE, EXTENT)
    state = initial(training, jax.random.key(0), X.shape)

    def whole(params):
        codes, errors = one_by_one(params["experts"], X, jnp.asarray)
        logits = dense(params["assigner"], jnp.concatenate(codes, 1), jnp.asarray)
        return mixae.mixture_loss(MIXAE, jax.nn.log_softmax(logits), jnp.stack(errors, 1), BATCH.weight)[0]

    value, grads = jax.jit(jax.value_and_grad(whole))(state.params)
    codes, errors = one_by_one(state.params["experts"], X)
    p = softmax(dense(state.params["assigner"], np.concatenate(codes, 1)))[:7]
    rec, q = (p * np.stack(errors, 1)[:7]).sum(1).mean(), p.mean(0)
    sample, batch = -(p * np.log(p)).sum(1).mean(), -(q * np.log(q)).sum()
    unit = rec / np.log(K)
    by_numpy = rec + unit * (MIXAE.sample_entropy_weight * sample - MIXAE.batch_entropy_weight * batch)
    new, terms = jax.jit(training.step)(state, BATCH)
    assert float(terms["loss"]) == pytest.approx(by_numpy, rel=1e-4, abs=1e-4)
    assert float(value) == pytest.approx(by_numpy, rel=1e-4, abs=1e-4)
    for ours, expected in zip(jax.tree.leaves(new.opt_state[0].mu), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(np.asarray(ours) * 10, expected, rtol=2e-3, atol=2e-5)


def test_mixae_s_posterior_and_codes_are_those_of_the_networks_one_by_one():
    training = mixae.training(MIXAE, EXTENT)
    state = initial(training, jax.random.key(1), X.shape)
    arrays = {name: {"params": state.params[name], "stats": state.extra[name]} for name in state.params}
    can = mixae.functions(MIXAE, EXTENT)
    codes, errors = one_by_one(state.params["experts"], X)
    np.testing.assert_allclose(quickly(can.embed)(arrays, X), np.concatenate(codes, 1), rtol=1e-4, atol=1e-5)
    expected = np.log(softmax(dense(state.params["assigner"], np.concatenate(codes, 1))))
    np.testing.assert_allclose(quickly(can.log_posterior)(arrays, X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(quickly(can.second_opinion)(arrays, X), np.stack(errors).argmin(0))


# both


def test_stacked_leaves_are_those_of_the_experts():
    state = initial(damic.joint(DAMIC, EXTENT), jax.random.key(0), X.shape)
    flags = experts.stacked(state)
    for name, own in (("experts", True), ("network", False)):
        for tree in (flags.params, flags.opt_state[0].mu, flags.extra):
            assert all(flag is own for flag in jax.tree.leaves(tree[name]))
    assert not flags.step
    assert not flags.key
    assert all(leaf.shape[0] == K for leaf in jax.tree.leaves(state.params["experts"]))


@pytest.mark.parametrize("module", [damic, mixae])
def test_convolutions_of_features_are_refused(module):
    config = module.Config(n_clusters=K, network="conv")
    with pytest.raises(InputError, match="network is 'conv' but the data are features"):
        module.functions(config, EXTENT)


@pytest.mark.slow
def test_convolutional_experts_see_and_make_whole_images():
    extent = Extent((8, 8, 1), 6, 8)
    config = mixae.Config(
        n_clusters=K, latent_dim=P, network="conv", width=0.1, min_filters=4, assigner_hidden=(), precision="float32"
    )
    assert config.ranges() == NONE
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8))
    training = mixae.training(config, extent)
    state = initial(training, jax.random.key(0), images.shape)
    new, terms = quickly(training.step)(state, Batch(images, jnp.arange(4), jnp.ones(4)))
    assert np.isfinite(float(terms["loss"]))
    arrays = {name: {"params": new.params[name], "stats": new.extra[name]} for name in new.params}
    can = mixae.functions(config, extent)
    assert quickly(can.embed)(arrays, images).shape == (4, K * P)
    made = quickly(can.reconstruct)(arrays, images)
    assert made.shape == images.shape
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
