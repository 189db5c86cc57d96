"""dec and idec: their losses and gradients against loops and the texts' formulas, and the table of assignments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.methods.baselines import dec
from jaxclust.methods.shared.coders import coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 5)).astype(np.float32)
SETTINGS = {"n_clusters": 3, "hidden": (7,), "latent_dim": 2, "batch_size": 6, "precision": "float32"}
EXTENT = Extent((5,), 0, 0)
BATCH = Batch(jnp.asarray(X[:6]), jnp.array([0, 1, 2, 3, 4, 4]), jnp.array([1.0, 1, 1, 1, 1, 0]))  # the last is padding


def begun(config):
    """The training, its coders, and a state whose table is that of an older network."""
    pair = coders(config, EXTENT)
    training = dec.training(config, pair, len(X))
    state = initial(training, jax.random.key(0), (1, 5))
    soft = rng.dirichlet(np.ones(3), len(X)).astype(np.float32)
    return training, pair, state._replace(extra={**state.extra, "soft": soft, "frequency": soft.sum(0)})


def by_hand(z, mu, soft):
    """q and p (5, 3) of the five examples of weight 1, by loops."""
    q, p = np.zeros((5, 3)), np.zeros((5, 3))
    for i in range(5):
        for k in range(3):
            q[i, k] = 1 / (1 + ((z[i] - mu[k]) ** 2).sum())
            p[i, k] = soft[i, k] ** 2 / soft[:, k].sum()
    return q / q.sum(1, keepdims=True), p / p.sum(1, keepdims=True)


@pytest.mark.parametrize("config", [dec.Config(**SETTINGS), dec.IDECConfig(**SETTINGS)], ids=["dec", "idec"])
def test_the_loss_and_the_gradient_of_the_centroids_are_those_of_the_texts(config):
    training, pair, state = begun(config)
    z = np.asarray(pair.embed(state.params, state.extra["stats"], X), np.float64)
    mu, soft = np.asarray(state.params["centroids"], np.float64), np.asarray(state.extra["soft"], np.float64)
    q, p = by_hand(z, mu, soft)
    weight = 0.1 if isinstance(config, dec.IDECConfig) else 1.0
    new, terms = jax.jit(training.step)(state, BATCH)
    assert float(terms["clustering"]) == pytest.approx(weight * (p * np.log(p / q)).sum() / 5, rel=1e-4)
    if isinstance(config, dec.IDECConfig):
        output = np.asarray(pair.picture(state.params, state.extra["stats"], z[:5].astype(np.float32)))
        assert float(terms["reconstruction"]) == pytest.approx(((output - X[:5]) ** 2).mean(), rel=1e-4)
    assert float(terms["loss"]) == pytest.approx(sum(float(v) for k, v in terms.items() if k != "loss"), rel=1e-5)
    difference = z[:5, None] - mu  # Xie et al. 2016, eq. 5
    inner = (p - q) / (1 + (difference**2).sum(-1))
    gradient = -2 * (inner[..., None] * difference).sum(0) * weight / 5
    np.testing.assert_allclose(10 * new.opt_state[0].mu["centroids"], gradient, rtol=1e-3, atol=1e-6)


def test_the_table_takes_what_was_seen_and_nothing_of_padding():
    config = dec.Config(**SETTINGS)
    training, pair, state = begun(config)
    before = np.asarray(state.extra["soft"])
    z = np.asarray(pair.embed(state.params, state.extra["stats"], X))
    q, _ = by_hand(z, np.asarray(state.params["centroids"]), before)
    new, _ = jax.jit(training.step)(state, BATCH)
    np.testing.assert_allclose(new.extra["soft"][:5], q, atol=1e-5)
    np.testing.assert_array_equal(new.extra["soft"][5:], before[5:])
    np.testing.assert_allclose(new.extra["frequency"], np.asarray(new.extra["soft"]).sum(0), rtol=1e-5)


def test_the_table_is_filled_from_the_first_codes():
    config = dec.IDECConfig(**SETTINGS)
    _, pair, state = begun(config)
    codes = pair.embed(state.params, state.extra["stats"], X)
    filled = dec.with_table(state, codes)
    np.testing.assert_allclose(np.asarray(filled.extra["soft"]).sum(1), 1, rtol=1e-5)
    mu = np.asarray(state.params["centroids"])
    nearest = ((np.asarray(codes)[:, None] - mu) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(np.asarray(filled.extra["soft"]).argmax(1), nearest)
    np.testing.assert_allclose(filled.extra["frequency"].sum(), len(X), rtol=1e-5)


def test_dec_has_no_decoder():
    config = dec.Config(**SETTINGS)
    assert set(begun(config)[2].params) == {"encoder", "centroids"}
    meta = {"config": dataclasses.asdict(config), "frame": EXTENT._asdict()}
    can = dec.DEC.restore(meta)
    assert (can.sample, can.reconstruct, can.decode) == (None, None, None)
    assert dec.IDEC.restore(meta).sample is not None
