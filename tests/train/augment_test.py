"""Warps against SciPy, the identity, and exact shifts and mirrors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxclust.data.prepare import border
from jaxclust.train.augment import NONE, Augmentation, affine_maps, augment, brighten, warp
from jaxclust.train.augment import border as on_device

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


@pytest.mark.slow
def test_products_equal_gathers_far_outside_too():
    rng = np.random.default_rng(1)
    images = rng.uniform(size=(64, 6, 9, 3)).astype(np.float32)
    maps = jnp.asarray(rng.normal(size=(64, 2, 2)), jnp.float32), jnp.asarray(rng.normal(size=(64, 2)), jnp.float32)
    by_gather, by_products = (warp(images, *maps, form) for form in ("gather", "products"))
    assert (by_gather == 0).mean() > 0.2  # much of the maps lies outside
    np.testing.assert_allclose(by_products, by_gather, atol=1e-5)


@pytest.mark.slow
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


def test_a_shear_slides_rows_by_their_distance_from_the_centre():
    matrices, shifts = affine_maps(jax.random.key(0), 200, Augmentation(0.0, 0.0, 0.0, shear=0.2))
    slide = np.asarray(matrices[:, 1, 0])
    np.testing.assert_allclose(matrices[:, 0], np.tile([1.0, 0.0], (200, 1)), atol=1e-6)
    np.testing.assert_allclose(matrices[:, 1, 1], 1, atol=1e-6)
    assert -0.2 <= slide.min() < -0.15 < 0.15 < slide.max() <= 0.2
    np.testing.assert_array_equal(shifts, 0)


@pytest.mark.slow
def test_half_of_the_images_are_turned_upside_down():
    images = np.tile(IMAGES[:1], (100, 1, 1, 1))
    moved = np.asarray(augment(jax.random.key(0), images, Augmentation(0.0, 0.0, 0.0, flip_vertical=True)))
    same, flipped = (np.abs(moved - to).max((1, 2, 3)) < 1e-4 for to in (images, images[:, ::-1]))
    assert (same ^ flipped).all()
    assert 30 < flipped.sum() < 70


def test_new_transformations_leave_the_others_draws_as_they_were():
    matrices, shifts = affine_maps(jax.random.key(3), 5, Augmentation())
    others, other_shifts = affine_maps(jax.random.key(3), 5, Augmentation(flip_vertical=True))
    np.testing.assert_allclose(np.abs(matrices), np.abs(others), rtol=1e-6)
    np.testing.assert_array_equal(shifts, other_shifts)


def test_brightness_is_one_number_an_image_and_pixels_become_black_or_white():
    grey = jnp.full((4000, 2, 2, 1), 0.5)
    change = np.asarray(brighten(jax.random.key(0), grey, 0.2, False)) - 0.5
    np.testing.assert_allclose(change, change[:, :1, :1] * np.ones((1, 2, 2, 1)), atol=1e-6)
    assert -0.2 <= change.min() < -0.19 < 0.19 < change.max() <= 0.2
    white = np.asarray(brighten(jax.random.key(0), jnp.full((4000, 2, 2, 1), 0.3), 0.0, True))
    assert set(np.unique(white)) == {0.0, 1.0}
    assert abs(white.mean() - 0.3) < 4 * np.sqrt(0.21 / white.size)
    assert np.asarray(brighten(jax.random.key(0), jnp.ones((9, 2, 2, 1)), 0.2, False)).max() <= 1


def test_white_paper_stays_white():
    """What is augmented of a negative is the negative of what is augmented, where the border is background."""
    digit = np.zeros((5, 16, 16, 1), np.float32)
    digit[:, 3:13, 4:12] = np.random.default_rng(0).uniform(size=(5, 10, 8, 1))
    ranges = Augmentation(20.0, 0.3, 0.2)
    black, white = (np.asarray(augment(jax.random.key(0), jnp.asarray(x), ranges)) for x in (digit, 1 - digit))
    np.testing.assert_allclose(white, 1 - black, atol=1e-6)
    assert black.min() == 0
    np.testing.assert_array_equal(black[:, 0], 0)


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (3, 5, 9, 1), (2, 2, 2, 1)])
def test_the_border_is_that_of_preparation(shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = border(images)
    for image, values in zip(images, found, strict=True):
        inside = np.zeros(shape[1:3], bool)
        inside[1:-1, 1:-1] = True
        outermost = np.sort(image[~inside], 0)
        np.testing.assert_array_equal(values, outermost[(len(outermost) - 1) // 2])
    np.testing.assert_array_equal(np.asarray(on_device(jnp.asarray(images))), found)
