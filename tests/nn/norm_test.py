"""Batch norm of no examples: an expert that no image is routed to must not overflow, however deep it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.nn.norm import BatchNorm


@pytest.mark.slow
def test_of_no_examples_values_stay_of_their_size_and_gradients_are_finite():
    norm = BatchNorm()
    x, weight = jax.random.normal(jax.random.key(0), (4, 3, 3, 2)), jnp.zeros(4)
    variables = norm.init(jax.random.key(1), x, weight)

    def deep(x):
        for _ in range(20):
            x, _ = norm.apply(variables, x, weight, True, mutable=["batch_stats"])
        return (weight * (x**2).sum((1, 2, 3))).sum(), x

    (value, out), slope = jax.value_and_grad(deep, has_aux=True)(x)
    assert value == 0
    np.testing.assert_allclose(out, x, rtol=1e-3)
    assert np.isfinite(slope).all()


def test_statistics_of_no_examples_stay_as_they_were():
    norm = BatchNorm()
    x = jnp.ones((4, 2))
    variables = norm.init(jax.random.key(0), x)
    _, updated = norm.apply(variables, x, jnp.zeros(4), True, mutable=["batch_stats"])
    for name in ("mean", "var"):
        np.testing.assert_array_equal(updated["batch_stats"][name], variables["batch_stats"][name])
