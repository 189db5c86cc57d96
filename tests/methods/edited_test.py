"""A model after edits: its probabilities, samples, centroids and levels, by hand."""

import json

import jax
import numpy as np
import pytest

from jaxclust.levels import Levels, labels_at, regrouped
from jaxclust.methods.base import Functions, Model
from jaxclust.methods.shared import edited
from jaxclust.methods.shared.edited import Step
from tests import toy as toys


def by_hand():
    """Four clusters, whose posterior is the images as they are; codes are the first column."""
    functions = Functions(
        embed=lambda arrays, images: images[:, :1],
        log_posterior=lambda arrays, images: jax.numpy.log(images),
        sample=lambda arrays, key, n, cluster: jax.numpy.full((n, 4), cluster / 4) + jax.random.uniform(key, (n, 1)),
        second_opinion=lambda arrays, images: images.argmin(-1),
        decode=lambda arrays, latent, cluster: latent + cluster,
        centroids=lambda arrays: arrays["centroids"],
        between=lambda arrays, shares: shares,
    )
    return Model({}, {"centroids": np.eye(4, dtype=np.float32)}, functions)


P = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.0, 0.3, 0.0]], np.float32)


def merged():
    step = Step(((3, 0), (1,), (2,)), (-1, -1, -1))
    return edited.edited(by_hand(), step, {"shares": np.array([[0.75, 0.25], [1, 0], [1, 0]], np.float32)})


def test_merged_probabilities_add():
    model = merged()
    found = np.exp(model.functions.log_posterior(model.arrays, P))
    np.testing.assert_allclose(found, [[0.5, 0.2, 0.3], [0.7, 0, 0.3]], atol=1e-6)
    assert model.functions.second_opinion(model.arrays, P).tolist() == [0, 1]
    np.testing.assert_array_equal(model.functions.embed(model.arrays, P), P[:, :1])


def test_what_a_merged_model_draws_and_decodes():
    model = merged()
    drawn = np.asarray(model.functions.sample(model.arrays, jax.random.key(0), 400, np.int32(0)))[:, 0]
    alone = by_hand().functions.sample({}, jax.random.key(0), 400, np.int32(1))
    np.testing.assert_array_equal(model.functions.sample(model.arrays, jax.random.key(0), 400, np.int32(1)), alone)
    assert drawn.mean() == pytest.approx(0.75 * 0.75 + 0.5, abs=0.1)
    np.testing.assert_allclose(
        model.functions.centroids(model.arrays), [[0.25, 0, 0, 0.75], [0, 1, 0, 0], [0, 0, 1, 0]]
    )
    np.testing.assert_allclose(model.functions.between(model.arrays, np.eye(3))[0], [0.25, 0, 0, 0.75])
    assert model.functions.decode(model.arrays, np.float32(0), np.int32(0)) == 3


def split_in_two():
    """Cluster 1 of three becomes two, by the sign of the code: a head with known weights in place of a trained one."""
    step = Step(((0,), (1,), (2,), (3,), (1,)), (-1, 0, -1, -1, 1), 2)
    return edited.edited(by_hand(), step, {"shares": np.ones((5, 1), np.float32)}), step


def test_parts_share_the_probability_of_what_was_split(monkeypatch):
    model, step = split_in_two()
    monkeypatch.setattr(edited, "log_parts_of", lambda step, arrays, z: jax.numpy.log(np.array([[0.25, 0.75]])))
    found = np.exp(edited.transferred(step, jax.numpy.log(P), jax.numpy.log(np.float32([[0.25, 0.75]]))))
    np.testing.assert_allclose(found, [[0.1, 0.05, 0.3, 0.4, 0.15], [0.7, 0, 0.3, 0, 0]], atol=1e-6)
    assert model.functions.second_opinion(model.arrays, P[:, [1, 0, 2, 3]]).tolist() == [4, 0]


def test_steps_follow_each_other_and_come_back_from_their_meta():
    model = merged()
    again = edited.edited(model, Step(((0, 2), (1,)), (-1, -1)), {"shares": np.array([[0.5, 0.5], [1, 0]], np.float32)})
    meta = json.loads(json.dumps(again.meta))
    assert edited.n_edits(meta) == 2
    kind = toys.METHOD._replace(restore=lambda meta: by_hand().functions)
    for functions in (again.functions, edited.restore(kind, meta)):
        np.testing.assert_allclose(np.exp(functions.log_posterior(again.arrays, P)), [[0.8, 0.2], [1, 0]], atol=1e-6)
    assert edited.restore(kind, {}).log_posterior({}, P).shape == (2, 4)


def test_levels_follow():
    cells = np.arange(3, dtype=np.int32)
    levels = Levels(np.full(3, 2, np.int32), cells, np.array([0, 0, 1], np.int32), np.eye(3, dtype=np.float32))
    after = regrouped(levels, [(0, 2), (1,), (1,)])
    assert after.cluster.tolist() == [0, 0, 1, 2]
    found = labels_at(after, 2, np.array([0, 0, 1, 2]), np.eye(3, dtype=np.float32)[[0, 2, 1, 1]])
    assert found.tolist() == [0, 1, 0, 0]
