"""Warps against SciPy, the identity, and exact shifts and mirrors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxclust.data.augment import NONE, Augmentation, affine_maps, augment, warp

FORMS = pytest.mark.parametrize("form", ["gather", "products"])
IMAGES = np.random.default_rng(0).uniform(size=(3, 8, 8, 2)).astype(np.float32)


@FORMS
def test_identity(form):
    eye = jnp.tile(jnp.eye(2), (3, 1, 1))
    np.testing.assert_allclose(warp(IMAGES, eye, jnp.zeros((3, 2)), form), IMAGES, atol=1e-5)


@FORMS
def test_shift_by_whole_pixels_fills_with_zeros(form):
    eye = jnp.tile(jnp.eye(2), (3, 1, 1))
    moved = np.asarray(warp(IMAGES, eye, jnp.tile(jnp.array([[2 / 7, 0.0]]), (3, 1)), form))  # a pixel, in half sides
    np.testing.assert_allclose(moved[:, :-1], IMAGES[:, 1:], atol=1e-5)
    np.testing.assert_allclose(moved[:, -1], 0.0, atol=1e-5)


@FORMS
def test_rotation_matches_scipy(form):
    angle = 0.3
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    ours = np.asarray(warp(IMAGES, jnp.tile(jnp.asarray(matrix), (3, 1, 1)), jnp.zeros((3, 2)), form))
    centre = np.array([3.5, 3.5])
    padded = np.pad(IMAGES[1, :, :, 0], 4)
    theirs = ndimage.affine_transform(padded, matrix, centre + 4 - matrix @ (centre + 4), order=1)[4:12, 4:12]
    np.testing.assert_allclose(ours[1, :, :, 0], theirs, atol=1e-4)


def test_products_equal_gathers_far_outside_too():
    rng = np.random.default_rng(1)
    images = rng.uniform(size=(64, 6, 9, 3)).astype(np.float32)
    maps = jnp.asarray(rng.normal(size=(64, 2, 2)), jnp.float32), jnp.asarray(rng.normal(size=(64, 2)), jnp.float32)
    by_gather, by_products = (warp(images, *maps, form) for form in ("gather", "products"))
    assert (by_gather == 0).mean() > 0.2  # much of the maps lies outside
    np.testing.assert_allclose(by_products, by_gather, atol=1e-5)


def test_mirror_only():
    key = jax.random.key(0)
    flipped = np.asarray(augment(key, jnp.asarray(np.repeat(IMAGES[:1], 64, 0)), Augmentation(0.0, 0.0, 0.0, True)))
    same = np.isclose(flipped, IMAGES[0], atol=1e-5).all((1, 2, 3))
    mirrored = np.isclose(flipped, IMAGES[0, :, ::-1], atol=1e-5).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 10 < mirrored.sum() < 54


def test_ranges_are_kept():
    matrices, shifts = affine_maps(jax.random.key(1), 2000, Augmentation(10.0, 0.1, 0.05))
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    zoom = 1 / np.sqrt(np.linalg.det(matrices))
    assert 9.5 < np.abs(angle).max() <= 10.001
    assert 0.9 <= zoom.min() < 0.91
    assert 1.09 < zoom.max() <= 1.1001
    assert 0.095 < np.abs(shifts).max() <= 0.1


@pytest.mark.parametrize("images", [jnp.ones((4, 3)), jnp.asarray(IMAGES)])
def test_nothing_happens_to_features_or_without_ranges(images):
    ranges = Augmentation() if images.ndim == 2 else NONE
    assert (augment(jax.random.key(0), images, ranges) == images).all()
