"""The functional core: its loop, and that all it names is there."""

import jax
import numpy as np

from jaxclust import core
from jaxclust.train import loop
from tests import toy


def test_run_leaves_the_state_that_it_is_given():
    images, _ = toy.blobs(60)
    images = images[..., None]
    training = toy.make(toy.ToyConfig(), images[:3].reshape(3, -1) / np.float32(255))
    state = training.init(jax.random.key(0), (20, 8, 8, 1))
    batches = core.shuffled(len(images), 20, seed=0)
    n_steps = core.total_steps(2, batches.per_epoch)
    first, again = (core.run(training, state, images, batches, n_steps) for _ in range(2))
    expected = loop.run(training.step, state, images, batches, n_steps)
    for found in (first, again):
        assert int(found.step) == n_steps
        np.testing.assert_array_equal(found.params["centres"], expected.params["centres"])


def test_all_names_are_there():
    assert sorted(core.__all__) == core.__all__
    assert all(hasattr(core, name) for name in core.__all__)
