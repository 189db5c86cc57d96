import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.train import programs


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
@pytest.mark.parametrize("once", [False, True])
def test_accelerators_get_what_xla_does_by_itself(platform, once):
    assert programs.options(once, platform) is None


@pytest.mark.parametrize("once", [False, True])
def test_a_program_computes_the_same_however_it_is_compiled(once):
    def function(x):
        return jax.nn.softmax(jnp.sin(x) @ x.T - jnp.exp(-(x**2)).sum(-1)), jax.random.normal(jax.random.key(0), (5,))

    x = jnp.linspace(-1, 1, 60).reshape(12, 5)
    outputs = jax.jit(function, compiler_options=programs.options(once, "cpu"))(x)
    for ours, theirs in zip(outputs, jax.jit(function)(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
