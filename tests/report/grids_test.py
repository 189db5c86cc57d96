"""Pictures made of images: the pixels must be where the arguments say."""

import numpy as np
import pytest
from PIL import Image

from jaxclust.report import grids


def flat(values, side=8, channels=1):
    """(n, side, side, channels) uint8 images, each of one value."""
    values = np.asarray(values, np.uint8)
    return np.broadcast_to(values[..., None, None, None], (*values.shape, side, side, channels)).copy()


def pixels(figure):
    """The figure as it is saved, (H, W, 3) uint8."""
    figure.canvas.draw()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def greys(figure):
    """The grey values of the tiles drawn, row by row, left to right: runs of one value along each row's middle."""
    (axes,) = figure.axes
    canvas = np.asarray(axes.images[0].get_array())[..., 0].astype(int)
    rows, before = [], None
    for line in canvas:
        changes = np.flatnonzero(np.diff(line)) + 1
        values = [int(part[0]) for part in np.split(line, changes) if len(part) > 5 and part[0] != 255]
        if values and values != before:
            rows.append(values)
        before = values
    return rows


def test_grid_image_by_hand():
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * 10
    np.testing.assert_array_equal(grids.grid_image(images, 2, gap=1), [[0, 255, 10], [255, 255, 255], [20, 255, 255]])
    np.testing.assert_array_equal(grids.grid_image(images, 3, gap=0, scale=2), [[0, 0, 10, 10, 20, 20]] * 2)


def test_grid_image_of_colour_floats():
    images = np.zeros((2, 3, 4, 3))
    images[1, ..., 0] = 2.0  # clipped
    grid = grids.grid_image(images, columns=1, gap=2)
    assert grid.shape == (8, 4, 3)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid[:3], 0)
    np.testing.assert_array_equal(grid[3:5], 255)
    np.testing.assert_array_equal(grid[5:], np.broadcast_to([255, 0, 0], (3, 4, 3)))


def test_grid_image_is_nearly_square_by_default():
    assert grids.grid_image(flat(range(10)), gap=0).shape == (3 * 8, 4 * 8)
    assert grids.grid_image(flat([1]), columns=9).shape == (8, 8)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8)), np.zeros((0, 8, 8, 1)), np.zeros((2, 8, 8, 2)), np.full((1, 2, 2, 1), np.nan)]
)
def test_grid_image_refuses(images):
    with pytest.raises(ValueError, match=r"\("):
        grids.grid_image(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_save_grid_enlarges_small_images(tmp_path, channels):
    path = tmp_path / "grid.png"
    grids.save_grid(path, flat([0, 100, 200], channels=channels), columns=3)
    saved = np.asarray(Image.open(path))
    assert saved.shape[:2] == (64, 3 * 64 + 2 * 2)
    assert [int(saved[30, x].flat[0]) for x in (30, 64, 96, 162)] == [0, 255, 100, 200]


def test_gallery_orders_members_by_certainty():
    """Cluster 0 holds grey 10, 20, 30, 40 of certainty .6, .9, .7, .8; cluster 1 holds 50, 60, 70 of .5, .6, .7."""
    images = flat([10, 20, 30, 40, 50, 60, 70, 80])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, -1])
    sure = np.array([0.6, 0.9, 0.7, 0.8, 0.5, 0.6, 0.7, 0.9])
    probabilities = np.stack([np.where(labels == 0, sure, 1 - sure), np.where(labels == 1, sure, 1 - sure)], 1)
    figure = grids.gallery(images, labels, probabilities, n_each=1)
    assert greys(figure) == [[20, 10], [70, 50]]
    figure = grids.gallery(images, labels, probabilities, n_each=2)
    assert greys(figure) == [[20, 40, 30, 10], [70, 60, 50]]  # nobody twice
    assert {"0", "1", "4", "3", "most certain", "least certain"} <= {text.get_text() for text in figure.axes[0].texts}
    assert greys(grids.gallery(images, labels, probabilities, clusters=[1], n_each=1)) == [[70, 50]]


def test_figures_are_drawn_pixel_for_pixel():
    figure = grids.samples(flat(np.arange(0, 240, 20).reshape(3, 4), side=32))
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    drawn = pixels(figure)
    height, width = canvas.shape[:2]
    left, bottom = figure.axes[0].get_position().get_points()[0] * (drawn.shape[1], drawn.shape[0])
    top = drawn.shape[0] - round(bottom) - height
    np.testing.assert_array_equal(drawn[top : top + height, round(left) : round(left) + width], canvas)


def test_samples_walks_reconstructions_and_ones():
    assert greys(grids.samples(flat([[10, 20], [30, 40]]), [4, 7])) == [[10, 20], [30, 40]]
    walk = grids.latent_walk(flat([[10, 20, 30], [40, 50, 60]]), [-1.0, 0.0, 1.0], cluster=5)
    assert greys(walk) == [[10, 20, 30], [40, 50, 60]]
    assert {"\N{MINUS SIGN}1", "0", "+1"} <= {text.get_text() for text in walk.axes[0].texts}
    pairs = grids.reconstructions(flat([10, 20, 30]), flat([11, 21, 31]), columns=2)
    assert greys(pairs) == [[10, 20], [11, 21], [30], [31]]
    assert greys(grids.answers_to_ones(flat([10, 20]))) == [[10, 20]]


def test_features_have_no_pictures():
    features, labels = np.zeros((4, 5)), np.array([0, 0, 1, 1])
    assert grids.gallery(features, labels, np.eye(2)[labels]) is None
    assert grids.samples(np.zeros((2, 3, 5))) is None
    assert grids.latent_walk(np.zeros((2, 3, 5)), np.zeros(3)) is None
    assert grids.reconstructions(features, features) is None
    assert grids.answers_to_ones(features) is None
    assert grids.centroids(features) is None
    assert grids.interpolations(features, [(0, 1)]) is None


def test_reconstructions_that_do_not_match_are_named():
    with pytest.raises(ValueError, match=r"\(2, 8, 8, 1\).*\(3, 8, 8, 1\)"):
        grids.reconstructions(flat([1, 2]), flat([1, 2, 3]))


@pytest.mark.parametrize(("clusters", "side", "channels"), [(1, 8, 1), (20, 28, 3), (3, 200, 3)])
def test_pictures_fit_a_readme(clusters, side, channels):
    labels = np.arange(clusters * 20) % clusters
    images = np.zeros((len(labels), side, side, channels), np.uint8)
    figure = grids.gallery(images, labels, np.eye(clusters)[labels])
    assert 400 / 120 <= figure.get_figwidth() <= 8.0 + 1e-6


def test_centroids_are_tiles_in_the_order_of_the_clusters():
    assert greys(grids.centroids(flat([10, 20, 30]))) == [[10, 20, 30]]


def test_interpolations_have_a_row_a_pair_named_by_its_ends():
    paths = np.stack([flat([10, 20, 30]), flat([30, 20, 10])])
    figure = grids.interpolations(paths, [(0, 1), (1, 0)])
    assert greys(figure) == [[10, 20, 30], [30, 20, 10]]
    texts = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"0 to 1", "1 to 0"} <= texts
