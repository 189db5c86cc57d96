"""States and the random streams of their steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.train.training import advance, new_state, ramp, step_key


def test_every_step_and_name_has_a_key_of_its_own():
    adam = optax.sgd(0.1)
    state = new_state({"w": jnp.ones(2)}, adam, {}, jax.random.key(0))
    later = advance(state, {"w": jnp.ones(2)}, adam, {})
    assert (int(later.step), later.params["w"][0]) == (1, pytest.approx(0.9))
    keys = [step_key(s, name) for s in (state, later) for name in ("augment", "posterior")]
    data = [tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys]
    assert len(set(data)) == 4
    again = jax.random.key_data(step_key(state, "augment"))
    np.testing.assert_array_equal(again, jax.random.key_data(keys[0]))


def test_the_ramp_rises_to_one_and_stays():
    np.testing.assert_allclose([float(ramp(jnp.int32(step), 4)) for step in (0, 1, 4, 9)], [0, 0.25, 1, 1])
    assert float(ramp(jnp.int32(1), 0)) == 1
