"""The loop: one compilation, whole chunks, padding and divergence. Many devices are in devices_test.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.errors import Diverged
from jaxclust.numerics import weighted_mean
from jaxclust.train import loop
from jaxclust.train.batches import shuffled
from jaxclust.train.training import Batch, advance, new_state, ramp, to_unit

X = np.random.default_rng(0).normal(size=(37, 3)).astype(np.float32)


def make(traces, optimiser=None):
    """The mean of the data by gradient descent: a training whose answer is known."""
    optimiser = optimiser or optax.sgd(0.1)

    def step(state, batch):
        traces.append(1)

        def loss(params):
            return weighted_mean(((params - batch.image) ** 2).sum(-1), batch.weight)

        value, grads = jax.value_and_grad(loss)(state.params)
        return advance(state, grads, optimiser, {}), {"loss": value}

    return step, new_state(jnp.zeros(3), optimiser, {}, jax.random.key(0))


def test_it_converges_and_compiles_once_with_a_partial_last_batch():
    traces = []
    step, state = make(traces)
    batches = shuffled(len(X), 10, 0)
    n_steps = loop.total_steps(30, batches.per_epoch)
    seen = []
    state = loop.run(step, state, X, batches, n_steps, on_chunk=lambda p: seen.append(p.steps_done))
    np.testing.assert_allclose(state.params, X.mean(0), atol=0.15)
    assert len(traces) == 1
    assert int(state.step) == n_steps == seen[-1]


def test_no_array_leaves_the_device_inside_a_chunk():
    step, state = make([])
    batches = shuffled(len(X), 10, 0)
    images = jnp.asarray(X)
    index, weight = jax.device_put(batches.indices(0, 4))
    with jax.transfer_guard_device_to_host("disallow"):
        jax.block_until_ready(loop.run_chunk(step, state, images, index, weight))


@pytest.mark.parametrize(("per_epoch", "chunk"), [(1, 32), (4, 32), (20, 20), (32, 32), (93, 31), (100, 25), (33, 17)])
def test_chunks(per_epoch, chunk):
    assert loop.chunk_steps(per_epoch) == chunk
    total = loop.total_steps(3, per_epoch)
    assert total % chunk == 0
    assert 0 <= total - 3 * per_epoch < chunk


def test_a_training_can_go_on():
    batches = shuffled(len(X), 10, 0)
    step, start = make([])
    straight = loop.run(step, start, X, batches, 64)
    step, start = make([])
    half = loop.run(step, start, X, batches, 32)
    np.testing.assert_array_equal(loop.run(step, half, X, batches, 64).params, straight.params)


def test_divergence_is_an_error_that_names_the_term():
    step, state = make([], optax.sgd(1e30))
    with pytest.raises(Diverged, match="loss not finite"):
        loop.run(step, state, X, shuffled(len(X), 10, 0), 32)


def test_in_batches_pads_and_keeps_the_order():
    shapes = set()

    def double(rows):
        shapes.add(rows.shape)
        return rows * 2, rows.sum(-1)

    twice, total = loop.in_batches(double, X, 10)
    assert shapes == {(10, 3)}
    np.testing.assert_allclose(twice, 2 * X)
    np.testing.assert_allclose(total, X.sum(-1), rtol=1e-5)


def test_small_helpers():
    assert float(to_unit(jnp.array([255], jnp.uint8))[0]) == 1.0
    assert to_unit(jnp.ones(2)).dtype == jnp.float32
    np.testing.assert_allclose([ramp(jnp.asarray(s), 10) for s in (0, 5, 20)], [0.0, 0.5, 1.0])
    assert Batch._fields == ("image", "index", "weight")
