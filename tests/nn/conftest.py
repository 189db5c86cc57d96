"""Networks mix no types by accident: within these tests JAX promotes none."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _strict_types():
    with jax.numpy_dtype_promotion("strict"):
        yield
