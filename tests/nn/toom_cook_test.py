"""jaxclust.nn.toom_cook against NumPy, float64 and its own promise of arithmetic. Gradients: conv_test.py."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from numpy.testing import assert_allclose

from jaxclust.nn import toom_cook
from jaxclust.nn.conv import conv2d


@pytest.mark.parametrize(("m", "r"), [(4, 2), (4, 3), (2, 3), (1, 2)])
def test_the_algorithm_is_a_correlation_with_fewer_products(m, r):
    before, after, within = toom_cook.algorithm(m, r)
    assert before.shape[0] == m + r - 1 <= m * r
    rng = np.random.default_rng(0)
    values, taps = rng.normal(size=m + r - 1), rng.normal(size=r)
    assert_allclose(after @ ((within @ taps) * (before @ values)), np.correlate(values, taps, "valid"), atol=1e-12)


def test_two_values_of_two_taps_by_hand():
    """Points 0, 1 and infinity: (d0 - d1) g0, d1 (g0 + g1) and (d2 - d1) g1, as Karatsuba's, transposed."""
    before, after, within = toom_cook.algorithm(2, 2)
    assert before.tolist() == [[-1, 1, 0], [0, 1, 0], [0, -1, 1]]
    assert within.tolist() == [[-1, 0], [1, 1], [0, 1]]
    assert after.tolist() == [[1, 1, 0], [0, 1, 1]]


def test_seven_rows_of_taps_are_too_many():
    with pytest.raises(ValueError, match="4 values of 4 taps need 6 points"):
        toom_cook.conv2d(jnp.zeros((1, 8, 8, 8)), jnp.zeros((7, 7, 8, 8)))


def maps(side=16, cin=32, cout=64, count=4):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, side, side, cin)), rng.normal(size=(5, 5, cin, cout)) / (5 * cin**0.5)


@pytest.mark.slow
def test_rounding_stays_near_that_of_the_plain_products(float64):
    x, kernel = maps()
    exact = lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    assert exact.dtype == np.float64
    x, kernel = jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    forms = (partial(conv2d, form="native"), conv2d_here)
    errors = [np.abs(np.asarray(form(x, kernel, 2)) - np.asarray(exact)).max() for form in forms]
    assert errors[1] < 8 * errors[0]
    assert errors[1] < 1e-5


def conv2d_here(x, kernel, strides):
    assert toom_cook.pays(x, kernel, strides)
    return toom_cook.conv2d(x, kernel)


def flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def test_arithmetic_is_11_of_20_forward_and_in_both_gradients():
    x, kernel = (jnp.asarray(array, jnp.float32) for array in maps())
    plain = 2 * 25 * 32 * 64 * 4 * 8 * 8

    def gradients(x, kernel):
        y, pullback = jax.vjp(toom_cook.conv2d, x, kernel)
        return pullback(y)

    assert 11 / 20 < flops(toom_cook.conv2d, x, kernel) / plain < 0.65
    assert 11 / 20 < flops(gradients, x, kernel) / (3 * plain) < 0.65


@pytest.mark.parametrize(
    ("kernel", "strides", "cin", "dtype"),
    [((3, 3), 2, 32, "float32"), ((5, 5), 1, 32, "float32"), ((5, 5), 2, 1, "float32"), ((5, 5), 2, 32, "bfloat16")],
)
def test_other_convolutions_are_left_alone(kernel, strides, cin, dtype):
    assert not toom_cook.pays(jnp.zeros((1, 8, 8, cin), dtype), jnp.zeros((*kernel, cin, 8), dtype), strides)
