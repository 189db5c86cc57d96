"""Pairs of encoder and decoder: frames, shapes, the quadratic layer, augmentation, independence of the batch."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.data import prepare
from jaxclust.errors import InputError
from jaxclust.methods.shared.coders import CoderConfig, coders, pretraining
from jaxclust.methods.shared.extent import Extent, pictures, vectors
from jaxclust.train import loop
from jaxclust.train.batches import shuffled
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, TrainState

rng = np.random.default_rng(0)
DIGITS = rng.integers(0, 256, (3, 28, 28, 1)).astype(np.uint8)
COLOUR = rng.integers(0, 256, (3, 5, 7, 3)).astype(np.uint8)
FEATURES = rng.normal(size=(12, 5)).astype(np.float32)
IMAGES = rng.integers(0, 256, (12, 8, 8, 1)).astype(np.uint8)
OF_FEATURES, OF_IMAGES = Extent((5,), 0, 0), Extent((8, 8, 1), 8, 8)
CONV = CoderConfig(network="conv", width=0.1, min_filters=2, latent_dim=3)
MLP = CoderConfig(hidden=(6, 4), latent_dim=3)


def batch(images, weight=None):
    n = len(images)
    return Batch(jnp.asarray(images), jnp.arange(n), jnp.ones(n) if weight is None else jnp.array(weight))


def trained(pair, images):
    """A method, its state after 32 steps, and the mean error over them."""
    training, batches, seen = pretraining(pair, optax.adam(1e-2)), shuffled(len(images), len(images), 0), []
    start = initial(training, jax.random.key(0), images.shape)
    state = loop.run(training.step, start, images, batches, 32, on_chunk=lambda chunk: seen.append(chunk.terms))
    return training, state, seen[0]["reconstruction"]


# frames


@pytest.mark.parametrize(("images", "side"), [(DIGITS, 32), (COLOUR, 8)], ids=["28x28", "5x7 in colour"])
def test_vectors_are_the_pixels_without_padding_and_pictures_put_it_back(images, side):
    preprocess = prepare.plan(images)
    extent, padded = Extent.of(preprocess), prepare.apply(preprocess, images)
    assert padded.shape[1:] == extent.shape == (side, side, images.shape[3])
    flat = vectors(extent, jnp.asarray(padded))
    assert flat.shape == (3, extent.size) == (3, images[0].size)
    np.testing.assert_allclose(flat, images.reshape(3, -1) / 255, rtol=1e-6)
    np.testing.assert_allclose(pictures(extent, flat), padded / 255, rtol=1e-6)
    np.testing.assert_array_equal(vectors(extent, pictures(extent, flat)), flat)


def test_features_are_their_own_vectors_and_pictures():
    extent = Extent.of(prepare.plan(FEATURES))
    assert extent == OF_FEATURES
    assert extent.size == 5
    np.testing.assert_array_equal(vectors(extent, jnp.asarray(FEATURES)), FEATURES)
    np.testing.assert_array_equal(pictures(extent, jnp.asarray(FEATURES)), FEATURES)


def test_pictures_clip_pixels_and_not_features():
    values = jnp.full((1, 64), 1.5).at[0, 0].set(-0.5)
    image = pictures(OF_IMAGES, values)
    assert (image.min(), image.max()) == (0.0, 1.0)
    assert pictures(Extent((64,), 0, 0), values).min() == -0.5


# networks


def test_the_dense_pair_has_the_texts_widths_mirrored():
    pair = coders(CoderConfig(), Extent((16, 16, 1), 16, 16))
    params, _ = jax.eval_shape(lambda key: pair.init(key, 4), jax.random.key(0))
    widths = [256, 500, 500, 2000, 10]
    for part, expected in (("encoder", widths), ("decoder", widths[::-1])):
        kernels = [params[part][f"Dense_{i}"]["kernel"].shape for i in range(4)]
        assert kernels == list(pairwise(expected))
        assert [params[part][f"Dense_{i}"]["bias"].shape for i in range(4)] == [(width,) for width in expected[1:]]
        assert len(params[part]) == 4
    products = sum(a * b for a, b in pairwise(widths))
    assert pair.size == 2 * products + sum(widths[1:]) + sum(widths[:-1])


def test_hidden_layers_are_leaky_with_slope_a_fifth_and_the_last_is_linear():
    pair = coders(CoderConfig(hidden=(2,), latent_dim=1), Extent((1,), 0, 0))
    hidden = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([0.0, 1.0])}
    last = {"kernel": jnp.array([[1.0], [10.0]]), "bias": jnp.array([-7.0])}
    params = {"encoder": {"Dense_0": hidden, "Dense_1": last}}
    codes = pair.embed(params, {"encoder": {}}, jnp.array([[3.0], [-3.0]]))
    np.testing.assert_allclose(codes, [[3 - 0.2 * 50 - 7], [-0.2 * 3 + 70 - 7]], rtol=1e-6)


def test_the_quadratic_layer_by_hand():
    pair = coders(CoderConfig(hidden=(), latent_dim=1, quadratic=True), Extent((2,), 0, 0))
    params, stats = pair.init(jax.random.key(0), 4)
    assert params["encoder"]["Dense_0"]["kernel"].shape == (1 + 2 + 4, 1)
    assert params["decoder"]["Dense_0"]["kernel"].shape == (1, 2)
    weights = jnp.array([1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6])[:, None]  # of 1, x, y, xx, xy, yx, yy
    params["encoder"]["Dense_0"] = {"kernel": weights, "bias": jnp.zeros(1)}
    assert float(pair.embed(params, stats, jnp.array([[1.0, 2.0]]))[0, 0]) == 4221211
    assert float(pair.embed(params, stats, jnp.array([[3.0, 0.0]]))[0, 0]) == 9031


def test_convolutions_of_features_are_refused_in_one_line():
    with pytest.raises(InputError, match="network is 'conv'") as caught:
        coders(CONV, OF_FEATURES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["latent_dim", "width"])
def test_sizes_of_zero_are_refused(name):
    with pytest.raises(InputError, match=f"^{name} is 0: "):
        CoderConfig(**{name: 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "extent", "images"),
    [
        (MLP, OF_FEATURES, FEATURES),
        (MLP, OF_IMAGES, IMAGES),
        pytest.param(CONV, OF_IMAGES, IMAGES, marks=pytest.mark.slow),
    ],
    ids=["features", "images", "conv"],
)
def test_a_pair_learns_and_its_codes_and_pictures_do_not_depend_on_the_batch(config, extent, images):
    pair = coders(config, extent)
    training, state, mean_error = trained(pair, images)
    embed, picture = jax.jit(training.embed), jax.jit(pair.picture)
    codes = np.asarray(embed(state, images))
    assert codes.shape == (12, 3)
    assert codes.std(0).min() > 0
    among_others = embed(state, np.concatenate([images[:1], np.zeros_like(images[1:])]))
    np.testing.assert_allclose(among_others[0], codes[0], rtol=1e-4, atol=1e-5)
    drawn = picture(state.params, state.extra, codes)
    assert drawn.shape == images.shape
    if config.network == "mlp":  # batch norm's running statistics are far behind after so few steps
        error = ((vectors(extent, drawn) - vectors(extent, jnp.asarray(images))) ** 2).sum(1).mean()
        assert error < 0.8 * mean_error
    if len(extent.shape) == 3:
        assert 0 <= drawn.min() <= drawn.max() <= 1
    among_others = picture(state.params, state.extra, np.concatenate([codes[:1], 9 * codes[1:]]))
    np.testing.assert_allclose(among_others[0], drawn[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_first_reconstruction_error_is_that_of_the_first_parameters():
    pair = coders(MLP, OF_FEATURES)
    training = pretraining(pair, optax.adam(1e-2))
    state = initial(training, jax.random.key(3), FEATURES.shape)
    codes = pair.embed(state.params, state.extra, jnp.asarray(FEATURES))
    output = np.asarray(pair.picture(state.params, state.extra, codes))
    _, terms = jax.jit(training.step)(state, batch(FEATURES, [1.0] * 7 + [0.0] * 5))
    expected = ((output - FEATURES) ** 2).sum(1)[:7].mean()
    assert float(terms["reconstruction"]) == pytest.approx(expected, rel=1e-5)


# augmentation


def test_without_augmentation_images_stay_as_they_are():
    pair = coders(CONV, OF_IMAGES)
    state = TrainState(jnp.int32(0), {}, (), {}, jax.random.key(0))
    x = pair.target(jnp.asarray(IMAGES))
    assert pair.random(state, x) is x
    turned = jax.jit(coders(dataclasses.replace(CONV, rotation=20.0), OF_IMAGES).random)
    first, second = turned(state, x), turned(state._replace(step=jnp.int32(1)), x)
    assert first.shape == x.shape
    assert not np.allclose(first, x, atol=0.05)
    assert not np.allclose(first, second, atol=0.05)


def test_dense_layers_see_transformed_images_as_vectors():
    """The same transformation as in front of convolutions."""
    state, images = TrainState(jnp.int32(0), {}, (), {}, jax.random.key(0)), jnp.asarray(IMAGES)
    turned = [coders(dataclasses.replace(config, rotation=20.0), OF_IMAGES).random for config in (MLP, CONV)]
    flat, whole = (jax.jit(function)(state, images) for function in turned)
    np.testing.assert_allclose(flat, whole.reshape(12, 64), atol=1e-6)
    assert not np.allclose(flat, IMAGES.reshape(12, 64) / 255, atol=0.05)


def test_the_targets_of_convolutions_are_whole_images_and_of_dense_layers_vectors():
    images = jnp.asarray(IMAGES)
    np.testing.assert_allclose(coders(CONV, OF_IMAGES).target(images), IMAGES / 255, rtol=1e-6)
    np.testing.assert_allclose(coders(MLP, OF_IMAGES).target(images), IMAGES.reshape(12, 64) / 255, rtol=1e-6)
