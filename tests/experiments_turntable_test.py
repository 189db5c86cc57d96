"""Made solids on a turntable: what a sphere looks like, by hand, and what turning does."""

import numpy as np

from experiments.turntable import FRAME, LIGHT, Solid, drawn, turntable


def sphere(*centres, albedo=(1.0, 0.5)):
    k = len(centres)
    return Solid(np.array(centres, float), np.ones((k, 3)), np.stack([np.eye(3)] * k), np.array(albedo[:k]))


def test_a_sphere_is_a_lit_disc_that_fills_its_frame():
    side = 40
    image = drawn(sphere((0, 0, 0)), 0.0, side)
    x = ((np.arange(side) + 0.5) / side * 2 - 1) / FRAME
    x, y = np.meshgrid(x, -x)
    inside = x**2 + y**2 < 1
    np.testing.assert_array_equal(image > 0, inside)
    normal = np.stack([x, y, np.sqrt(np.maximum(1 - x**2 - y**2, 0))], -1)
    np.testing.assert_allclose(image[inside], (0.25 + 0.75 * np.maximum(normal @ LIGHT, 0))[inside], atol=1e-6)
    np.testing.assert_allclose(drawn(sphere((0, 0, 0)), 1.0, side), image, atol=1e-6)


def test_the_nearer_of_two_hides_the_other():
    """The one of albedo 1 lies in front; from behind the other one does."""
    pair = sphere((0, 0, 1), (0, 0, -1))
    front, back = drawn(pair, 0.0, 21), drawn(pair, np.pi, 21)
    np.testing.assert_allclose(front, 2 * back, atol=1e-6)
    assert drawn(pair, np.pi / 2, 21)[10, [5, 15]].min() > 0, "from the side both are seen"


def test_views_of_a_turn_are_alike_and_follow_the_seed():
    images, labels = turntable(3, 8, 16, seed=1)
    assert images.shape == (24, 16, 16)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(np.bincount(labels), [8, 8, 8])
    np.testing.assert_array_equal(turntable(3, 8, 16, seed=1)[0], images)
    assert not np.array_equal(turntable(3, 8, 16, seed=2)[0], images)
