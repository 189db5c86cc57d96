"""Figures drawn from numbers: what is on them, and that they survive odd sizes."""

import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxclust.report import colours, plots


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def draw(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png", dpi=60)
    return (tmp_path / "figure.png").stat().st_size


def test_the_palette_has_thirty_colours_and_then_starts_again():
    assert len(set(colours.PALETTE)) == 30
    assert colours.colour(30) == colours.colour(0)
    assert colours.colour(-1) == colours.NOISE
    table = colours.colours(np.array([-1, 0, 29, 31]))
    expected = [to_rgb(colours.colour(i)) for i in (-1, 0, 29, 1)]
    np.testing.assert_allclose(table, expected)


def test_map_without_classes(tmp_path):
    points = np.array([[0.0, 0], [1, 0], [0, 1], [9, 9], [8, 9], [9, 8]])
    labels, noise = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 0, 0, 1], bool)
    figure = plots.cluster_map(points, labels, noise)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "2 clusters"
    assert texts(axes) == ["0", "1"]
    assert legend(axes) == ["left out as noise: 17%"]
    dots = axes.collections[0]
    shade = {tuple(xy): tuple(rgb[:3]) for xy, rgb in zip(dots.get_offsets(), dots.get_facecolors(), strict=True)}
    assert shade[(9.0, 8.0)] == to_rgb(colours.NOISE)
    assert shade[(0.0, 0.0)] == pytest.approx(to_rgb(colours.colour(0)))
    assert shade[(9.0, 9.0)] == pytest.approx(to_rgb(colours.colour(1)))
    assert draw(figure, tmp_path)


def test_classes_take_the_colour_of_their_cluster():
    labels, classes = np.array([2, 2, 0, 0, 1]), np.array([5, 5, 8, 8, -1])
    figure = plots.cluster_map(np.random.default_rng(0).normal(size=(5, 2)), labels, None, classes)
    handles = figure.axes[1].get_legend().legend_handles
    assert legend(figure.axes[1]) == ["5", "8"]
    assert [handle.get_color() for handle in handles] == [colours.colour(2), colours.colour(0)]
    assert figure.axes[1].get_title(loc="left") == "2 classes"


def test_unmatched_classes_get_colours_of_their_own():
    figure = plots.cluster_map(np.zeros((4, 2)), [0, 0, 0, 0], None, [3, 3, 1, 2], ["a", "b", "c", "d" * 30])
    shade = {h.get_color() for h in figure.axes[1].get_legend().legend_handles}
    assert len(shade) == 3
    assert legend(figure.axes[1])[2] == "d" * 19 + "…"


def test_legend_is_left_out_above_twenty_classes():
    classes = np.arange(42) % 21
    figure = plots.cluster_map(np.random.default_rng(0).normal(size=(42, 2)), classes, None, classes)
    assert figure.axes[1].get_legend() is None


def test_map_with_no_known_class_is_one_panel():
    assert len(plots.cluster_map(np.zeros((3, 2)), [0, 1, 1], None, [-1, -1, -1]).axes) == 1


@pytest.mark.parametrize(("clusters", "n"), [(1, 30), (2, 30), (40, 200)])
def test_maps_of_odd_sizes(tmp_path, clusters, n):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % clusters
    names = [f"a rather long class name {i}" for i in range(10)]
    figure = plots.cluster_map(rng.normal(size=(n, 2)), labels, rng.random(n) < 0.1, labels % 10, names)
    assert draw(figure, tmp_path)


def test_explained_variance_marks_the_chosen_dimension(tmp_path):
    figure = plots.explained_variance([0.5, 0.3, 0.15, 0.05], 0.9, 3)
    (axes,) = figure.axes
    curve = max(axes.lines, key=lambda line: len(line.get_xdata()))
    np.testing.assert_allclose(curve.get_ydata()[-4:], [0.5, 0.8, 0.95, 1.0])
    assert "3 dimensions" in texts(axes)
    assert "90% " in texts(axes)
    assert any(list(line.get_xdata()) == [3] and line.get_ydata()[0] == pytest.approx(0.95) for line in axes.lines)
    assert draw(figure, tmp_path)
    assert draw(plots.explained_variance([1.0]), tmp_path)


def rows(phase, terms, n=4):
    return [
        {"phase": phase, "step": 10 * i, "epoch": i / 2, "seconds": 1.0, **{k: v[i] for k, v in terms.items()}}
        for i in range(n)
    ]


def test_training_curves_have_a_panel_a_phase():
    history = rows("manager", {"loss": [2, 1, 0.5, 0.01], "agreement": [0.1, 0.5, 0.8, 0.9]})
    history += rows("mixture", {"loss": [1, 0, -1, -2], "kl": [0.1, 0.2, 0.2, 0.2], "sample_entropy": [3, 2, 1, 1]})
    figure = plots.training_curves(history)
    manager, mixture = figure.axes
    assert manager.get_title(loc="left") == "Manager"
    assert legend(manager) == ["Loss", "Agreement"]
    assert legend(mixture) == ["Loss", "KL", "Sample entropy"]
    assert manager.get_yscale() == "log"
    assert mixture.get_yscale() == "linear"
    np.testing.assert_allclose(manager.lines[0].get_xydata(), [[0, 2], [0.5, 1], [1, 0.5], [1.5, 0.01]])


def test_training_curves_of_a_resumed_run_keep_the_last_row_of_a_step():
    history = rows("a", {"loss": [4, 3, 9, 9]}) + rows("a", {"loss": [0, 0, 2, 1]})[2:]
    np.testing.assert_allclose(plots.training_curves(history).axes[0].lines[0].get_ydata(), [4, 3, 2, 1])


def test_training_curves_without_or_with_one_row(tmp_path):
    assert plots.training_curves([]) is None
    assert draw(plots.training_curves(rows("a", {"loss": [1.0]}, 1)), tmp_path)
    many = [row for i in range(7) for row in rows(f"phase-{i}", {"loss": [4, 3, 2, 1]})]
    figure = plots.training_curves(many)
    assert [axes.get_title(loc="left") for axes in figure.axes][:7] == [f"Phase {i}" for i in range(7)]


def test_readable():
    assert plots.readable("kl_weight") == "KL weight"
    assert plots.readable("mixture-stage-1") == "Mixture stage 1"


def test_confusion_puts_matched_pairs_on_the_diagonal(tmp_path):
    labels = np.array([2, 2, 2, 0, 0, 1, -1])
    classes = np.array([0, 0, 1, 1, 1, 1, 0])
    figure = plots.confusion(labels, classes, ["cat", "dog"])
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "0", "1"]  # 1 is surplus
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["cat", "dog"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1], [0, 1]])
    assert texts(axes) == ["2", "1", "2", "1"]
    assert draw(figure, tmp_path)


def test_confusion_of_many_clusters_and_of_noise_alone(tmp_path):
    labels = np.arange(400) % 80
    figure = plots.confusion(labels, labels % 10)
    assert figure.axes[0].images[0].get_array().shape == (60, 10)
    assert draw(figure, tmp_path)
    assert plots.confusion([-1, -1], [0, 1]) is None


def test_any_class_name_is_drawn_as_it_is(tmp_path):
    names = ["$money & _x^2", "$a$b", "caf\udce9 latin-1", "two\nlines"]
    figure = plots.confusion(np.arange(8) % 4, np.arange(8) % 4, names)
    assert draw(figure, tmp_path)
    (axes,) = figure.axes
    shown = [tick.get_text() for tick in axes.get_xticklabels()]
    assert shown == [r"\$money & _x^2", r"\$a\$b", r"caf\udce9 latin-1", r"two\nlines"]
    assert draw(plots.cluster_map(np.eye(8)[:, :2], np.arange(8) % 4, None, np.arange(8) % 4, names), tmp_path)


def test_expert_maps(tmp_path):
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(n, 2)) for n in (5, 1, 8)]
    figure = plots.expert_maps(points, [0, 3, 4], [np.zeros(5, int), np.array([-1]), np.ones(8, int)], ["a", "b"])
    assert [axes.get_title() for axes in figure.axes] == ["expert 0", "expert 3", "expert 4"]
    assert tuple(figure.axes[1].collections[0].get_facecolors()[0][:3]) == to_rgb(colours.NOISE)
    assert draw(figure, tmp_path)
    plain = plots.expert_maps(points, [0, 3, 4])
    assert tuple(plain.axes[1].collections[0].get_facecolors()[0][:3]) == pytest.approx(to_rgb(colours.colour(3)))
    assert plots.expert_maps([]) is None


def test_no_figure_touches_pyplot():
    plots.cluster_map(np.zeros((3, 2)), [0, 1, 1])
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
