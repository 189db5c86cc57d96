"""The figures of a whole run, from a small made-up result."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxclust.data.prepare import Preprocess
from jaxclust.methods.base import Functions, Model, Result
from jaxclust.report import figures

N, K, SIDE = 30, 3, 8
IMAGES = Preprocess("images", 6, 5, 1, SIDE, 0, 0.0, 1.0, "bernoulli")
FEATURES = Preprocess("features", 0, 0, 0, 0, 4, 0.0, 1.0, "gaussian")
ALL = {
    "map", "expert_maps", "explained_variance", "confusion", "training", "gallery", "reconstructions", "samples",
    "latent_walk_0", "latent_walk_1", "latent_walk_2", "ones",
}  # fmt: skip


def functions():
    def sample(arrays, key, n, cluster):
        return jax.random.uniform(key, (n, SIDE, SIDE, 1)) * cluster / K

    def decode(arrays, latent, cluster):
        assert latent.shape[1] == 5  # the largest of the experts' sizes
        return jax.nn.sigmoid(latent.sum(-1) + cluster)[:, None, None, None] * jnp.ones((1, SIDE, SIDE, 1))

    return Functions(
        embed=lambda arrays, images: images.reshape(len(images), -1),
        log_posterior=lambda arrays, images: jnp.zeros((len(images), K)),
        sample=sample,
        reconstruct=lambda arrays, images: images / 255.0,
        decode=decode,
    )


def result(**changes):
    rng = np.random.default_rng(0)
    labels = (np.arange(N) % K).astype(np.int32)
    whole = Result(
        model=Model({}, {}, functions()),
        labels=labels,
        probabilities=rng.dirichlet(np.ones(K), N).astype(np.float32),
        noise=rng.random(N) < 0.2,
        embedding=rng.normal(size=(N, 4)).astype(np.float32),
        opinions={},
        summary={"n_clusters": K, "latent_dim": 3, "expert_latent_dims": [5, 2, 3]},
        plots={
            "explained_variance": np.array([0.6, 0.2, 0.15, 0.05]),
            "map": rng.normal(size=(20, 2)),
            "map_index": np.arange(10, 30),
            "expert_map": rng.normal(size=(20, 2)),
            "ones": rng.random((K, SIDE, SIDE, 1)),
        },
    )
    return whole._replace(**changes)


def images():
    return np.random.default_rng(1).integers(0, 256, (N, SIDE, SIDE, 1), dtype=np.uint8)


@pytest.fixture
def directory(tmp_path):
    rows = [{"phase": "manager", "step": i, "epoch": i / 2, "seconds": 1.0, "loss": 1.0 / (i + 1)} for i in range(5)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def names(paths):
    return {path.stem for path in paths}


def test_everything_is_drawn(directory):
    labels = (np.arange(N) % K + 4).astype(np.int64)
    key = jax.random.key(0)
    paths = figures.draw_run(directory, result(), images(), IMAGES, labels, None, key)
    assert names(paths) == ALL
    assert all(path.parent == directory / "figures" for path in paths)
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 80
            assert picture.width <= 960


@pytest.mark.slow
def test_without_labels_key_and_history(tmp_path):
    paths = figures.draw_run(tmp_path, result(), images(), IMAGES)
    assert names(paths) == ALL - {"confusion", "samples", "training"}


@pytest.mark.slow
def test_labels_that_are_all_unknown_are_no_labels(tmp_path):
    assert "confusion" not in names(figures.draw_run(tmp_path, result(), images(), IMAGES, np.full(N, -1)))


def test_a_result_with_nothing_extra(tmp_path):
    bare = Functions(embed=functions().embed, log_posterior=functions().log_posterior)
    little = result(model=Model({}, None, bare), plots={}, summary={})
    assert names(figures.draw_run(tmp_path, little, images(), IMAGES)) == {"gallery", "map"}


def test_features_have_no_pictures(directory):
    features = np.zeros((N, 4), np.float32)
    paths = figures.draw_run(directory, result(), features, FEATURES, np.arange(N) % K, ["a", "b", "c"])
    assert names(paths) == {"map", "expert_maps", "explained_variance", "confusion", "training"}


def test_many_clusters_take_several_pictures():
    labels = np.arange(50, dtype=np.int32)
    many = result(
        labels=labels, probabilities=np.eye(50, dtype=np.float32), noise=np.zeros(50, bool), plots={},
        summary={"expert_latent_dims": [5] * 50},
    )  # fmt: skip
    pictures = np.random.default_rng(1).integers(0, 256, (50, SIDE, SIDE, 1), dtype=np.uint8)
    found = dict(figures._figures(".", many, pictures, IMAGES, None, None, jax.random.key(0)))
    assert {"gallery", "gallery_2", "gallery_3", "samples", "samples_2", "samples_3"} <= set(found)
    assert sum(name.startswith("latent_walk") for name in found) == figures.WALKS
    ids = {text.get_text() for text in found["gallery_3"]().axes[0].texts}
    assert {str(k) for k in range(40, 50)} <= ids
    assert "39" not in ids


def test_a_figure_that_fails_is_reported_and_the_others_are_drawn(directory):
    broken = result(plots={**result().plots, "map": np.zeros((20, 1))})
    with pytest.raises(ExceptionGroup) as caught:
        figures.draw_run(directory, broken, np.zeros((N, 4), np.float32), FEATURES)
    assert [error.__notes__ for error in caught.value.exceptions] == [["while drawing map.png"]]
    assert {path.stem for path in (directory / "figures").iterdir()} == {
        "expert_maps", "explained_variance", "training"
    }  # fmt: skip


def test_the_same_key_draws_the_same_samples():
    drawn = []
    for seed in (0, 0, 1):
        figure = dict(figures._figures(".", result(), images(), IMAGES, None, None, jax.random.key(seed)))["samples"]()
        drawn.append(np.asarray(figure.axes[0].images[0].get_array()).tobytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_padding_is_cropped():
    """The prepared image has a bright frame where padding is; the gallery must not show it."""
    framed = np.full((N, SIDE, SIDE, 1), 200, np.uint8)
    framed[:, 1:7, 1:6] = 40
    drawn = dict(figures._figures(".", result(), framed, IMAGES, None, None, None))["gallery"]()
    canvas = np.asarray(drawn.axes[0].images[0].get_array())
    assert set(np.unique(canvas)) == {40, 255}
