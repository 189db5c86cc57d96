"""jaxclust.nn.conv and activations against lax, flax, slow loops and float64."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from jaxclust.nn.activations import mish
from jaxclust.nn.conv import Conv, ConvTranspose, conv2d, conv_transpose2d, resolve_form
from jaxclust.nn.norm import BatchNorm

LAYOUT = ("NHWC", "HWIO", "NHWC")
FUNCTIONS = {"conv": conv2d, "transposed": conv_transpose2d}


def lax_reference(name, x, kernel, strides):
    if name == "conv":
        return lax.conv_general_dilated(x, kernel, (strides, strides), "SAME", dimension_numbers=LAYOUT)
    return lax.conv_transpose(x, kernel, (strides, strides), "SAME", dimension_numbers=LAYOUT)


def normal(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


@partial(jax.jit, static_argnums=0)
def value_and_gradients(function, x, kernel):
    y, pullback = jax.vjp(function, x, kernel)
    return y, *pullback(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))


# few channels in or out take another order of gather, product and scatter
@pytest.mark.parametrize(
    ("kernel_size", "strides", "cin", "cout", "side"),
    [
        ((3, 3), 1, 3, 4, 8),
        ((3, 3), 1, 1, 5, 7),
        ((3, 3), 1, 5, 1, 7),
        ((4, 4), 1, 3, 4, 7),
        ((5, 5), 1, 5, 1, 6),
        ((1, 1), 1, 3, 4, 4),
        ((3, 3), 2, 3, 4, 8),
        ((3, 3), 2, 1, 5, 7),
        ((4, 4), 2, 3, 1, 8),
        ((5, 5), 2, 3, 4, 7),
        ((1, 1), 2, 3, 4, 7),
        ((2, 3), 3, 3, 4, 7),
        ((5, 5), 3, 2, 1, 8),
        *(
            pytest.param(*sizes, marks=pytest.mark.slow)
            for sizes in (
                ((5, 5), 2, 8, 4, 8),
                ((5, 5), 2, 9, 4, 11),
                ((6, 6), 2, 8, 3, 9),
                ((5, 5), 2, 8, 4, 3),
                ((4, 4), 1, 3, 4, 1),
            )
        ),
        ((5, 5), 2, 3, 4, 1),
    ],
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_patches_equal_lax_in_value_and_gradients(name, kernel_size, strides, cin, cout, side):
    x, kernel = normal((2, side, side + 1, cin), (*kernel_size, cin, cout))
    ours = value_and_gradients(partial(FUNCTIONS[name], strides=strides, form="patches"), x, kernel)
    theirs = value_and_gradients(partial(lax_reference, name, strides=strides), x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert_allclose(a, b, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kernel_size", "strides", "side"), [((3, 3), 1, 7), ((3, 3), 2, 6), ((4, 4), 2, 7), ((1, 1), 2, 5), ((2, 3), 3, 7)]
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_native_equals_lax(name, kernel_size, strides, side):
    x, kernel = normal((2, side, side + 1, 3), (*kernel_size, 3, 4))
    ours = value_and_gradients(partial(FUNCTIONS[name], strides=strides, form="native"), x, kernel)
    theirs = value_and_gradients(partial(lax_reference, name, strides=strides), x, kernel)
    for mine, reference in zip(ours, theirs, strict=True):
        assert_allclose(mine, reference, atol=1e-4)


def slow_conv(x, kernel, s):
    (b, h, w, _), (kh, kw, _, cout) = x.shape, kernel.shape
    oh, ow = -(-h // s), -(-w // s)
    top, left = max((oh - 1) * s + kh - h, 0) // 2, max((ow - 1) * s + kw - w, 0) // 2
    y = np.zeros((b, oh, ow, cout))
    for i, j, p, q in np.ndindex(oh, ow, kh, kw):
        r, c = i * s + p - top, j * s + q - left
        if 0 <= r < h and 0 <= c < w:
            y[:, i, j] += x[:, r, c] @ kernel[p, q]
    return y


@pytest.mark.parametrize("form", ["patches", "native"])
def test_equals_a_slow_loop_and_hand_computed_values(form):
    x, kernel = normal((2, 4, 5, 2), (3, 3, 2, 3))
    for s in (1, 2):
        found = jax.jit(partial(conv2d, strides=s, form=form))(x, kernel)
        assert_allclose(found, slow_conv(np.asarray(x), np.asarray(kernel), s), atol=1e-5)
    # a single 1 at (1, 1) of 2 x 2, kernel 1..9: at stride 2 SAME it is placed at rows and columns 2, 3
    one = jnp.zeros((1, 2, 2, 1)).at[0, 1, 1, 0].set(1)
    nine = jnp.arange(1.0, 10).reshape(3, 3, 1, 1)
    expected = np.zeros((4, 4))
    expected[2:, 2:] = [[9, 8], [6, 5]]
    assert_allclose(jax.jit(partial(conv_transpose2d, strides=2, form=form))(one, nine)[0, :, :, 0], expected)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shared", [True, False])
def test_stacks_equal_loops_and_stay_batched_products(name, shared):
    kernels, x = normal((4, 3, 3, 3, 2), (2, 6, 6, 3) if shared else (4, 2, 6, 6, 3))
    function = partial(value_and_gradients, partial(FUNCTIONS[name], form="patches"))
    stacked = jax.jit(jax.vmap(function, in_axes=(None if shared else 0, 0)))
    loop = [function(x if shared else x[k], kernels[k]) for k in range(4)]
    for ours, theirs in zip(stacked(x, kernels), zip(*loop, strict=True), strict=True):
        assert_allclose(ours, np.stack(theirs), atol=1e-4)
    assert "convolution" not in stacked.lower(x, kernels).as_text()


@pytest.mark.slow
def test_works_in_a_scan_and_to_second_order():
    x, kernel = normal((2, 4, 4, 3), (3, 3, 3, 3))
    twice = jax.jit(lambda x: lax.scan(lambda y, _: (conv2d(y, kernel, 1, "patches"), None), x, None, length=2)[0])
    assert_allclose(twice(x), conv2d(conv2d(x, kernel, 1, "native"), kernel, 1, "native"), rtol=1e-3, atol=1e-3)

    def penalty(kernel, form):  # a gradient penalty, as GANs use
        inner = jax.grad(
            lambda x: jnp.sum(jnp.tanh(conv_transpose2d(mish(conv2d(x, kernel, 2, form)), kernel, 2, form)))
        )
        return jnp.sum(inner(x) ** 2)

    patches, native = (jax.jit(jax.grad(partial(penalty, form=f)))(kernel) for f in ("patches", "native"))
    assert_allclose(patches, native, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("module", [Conv, ConvTranspose])
def test_modules_of_both_forms_share_parameters(module):
    x = normal((2, 8, 8, 3))
    patches, native = (module(5, strides=2, use_bias=True, form=form) for form in ("patches", "native"))
    params = jax.jit(patches.init)(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, params) == {"params": {"kernel": (3, 3, 3, 5), "bias": (5,)}}
    assert jax.tree.all(jax.tree.map(np.array_equal, params, jax.jit(native.init)(jax.random.key(0), x)))
    params = jax.tree.map(lambda p: np.asarray(p) + 0.1, params)
    expected = jax.jit(native.apply)(params, x)
    for found in (patches, module(5, strides=2, use_bias=True)):
        assert_allclose(jax.jit(found.apply)(params, x), expected, atol=1e-5)


def test_bfloat16_computes_low_and_keeps_float32():
    x = normal((4, 8, 8, 3))
    for module in (Conv(5, dtype=jnp.bfloat16), ConvTranspose(5, dtype=jnp.bfloat16)):
        params = jax.jit(module.init)(jax.random.key(0), x)
        y = jax.jit(module.apply)(params, x)
        assert params["params"]["kernel"].dtype == jnp.float32
        assert y.dtype == jnp.bfloat16
        exact = jax.jit(module.clone(dtype=None).apply)(params, x)
        assert_allclose(y.astype(jnp.float32), exact, atol=0.05)
        variables = jax.jit(BatchNorm().init)(jax.random.key(0), y)
        z, new = norm(y, variables)
        assert z.dtype == jnp.bfloat16
        assert mish(z).dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves((variables, new))} == {jnp.dtype("float32")}
        assert_allclose(new["batch_stats"]["mean"], 0.1 * y.astype(jnp.float32).mean((0, 1, 2)), atol=1e-5)


def test_bad_arguments_are_named():
    x, kernel = jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 3, 2))
    with pytest.raises(ValueError, match="form"):
        resolve_form("fast")
    for bad_x, bad_kernel, strides, match in (
        (x, kernel, 0, "strides"),
        (x[0], kernel, 1, "images"),
        (x[..., :2], kernel, 1, "images"),
    ):
        for function in FUNCTIONS.values():
            with pytest.raises(ValueError, match=match):
                function(bad_x, bad_kernel, strides)


def test_the_platform_picks_the_form():
    assert [resolve_form("auto", p) for p in ("cpu", "gpu", "tpu")] == ["patches", "native", "native"]
    assert resolve_form("native", "cpu") == "native"
    assert resolve_form("patches", "tpu") == "patches"
    assert resolve_form() == ("patches" if jax.default_backend() == "cpu" else "native")


def exact_mish(x):
    x = np.asarray(x, np.float64)
    return x * np.tanh(np.logaddexp(0, x))


def test_mish_follows_its_definition_and_slope():
    x = np.linspace(-30, 30, 2001)
    single = jnp.asarray(x, jnp.float32)
    assert_allclose(mish(single), exact_mish(single), rtol=1e-5, atol=1e-12)
    slope = (exact_mish(x + 1e-6) - exact_mish(x - 1e-6)) / 2e-6
    assert_allclose(jax.jit(jax.vmap(jax.grad(mish)))(single), slope, rtol=1e-5, atol=1e-6)
    assert mish(jnp.zeros(())) == 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_mish_is_finite_at_extremes(dtype):
    x = jnp.asarray([-1e4, -100, -20, 20, 100, 1e4], dtype)
    slope = jax.jit(jax.grad(lambda v: mish(v).sum()))(x)
    assert np.isfinite(mish(x)).all()
    assert_allclose(mish(x).astype(jnp.float32), [0, 0, 0, 20, 100, 1e4], atol=1e-6, rtol=1e-2)
    assert_allclose(slope.astype(jnp.float32), [0, 0, 0, 1, 1, 1], atol=1e-6)
    second = jax.jit(jax.vmap(jax.grad(jax.grad(mish))))(x.astype(jnp.float32))
    assert jnp.isfinite(second).all()


@partial(jax.jit, static_argnames="train")
def norm(x, variables, weight=None, train=True):
    if not train:
        return BatchNorm().apply(variables, x, weight, train=False)
    return BatchNorm().apply(variables, x, weight, mutable=["batch_stats"])


@pytest.mark.parametrize("shape", [(6, 4, 4, 3), pytest.param((6, 3), marks=pytest.mark.slow)])
def test_batch_norm_matches_flax(shape):
    x = normal(shape) * 3 + 1
    flax_norm = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5)
    variables = jax.tree.map(lambda v: np.asarray(v) + np.float32(0.3), jax.jit(flax_norm.init)(jax.random.key(0), x))
    own = jax.eval_shape(BatchNorm().init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, own)

    def ours(x, params):
        return norm(x, {**variables, "params": params})

    def theirs(x, params):
        return jax.jit(partial(flax_norm.apply, mutable=["batch_stats"]))({**variables, "params": params}, x)

    for a, b in zip(
        jax.tree.leaves(ours(x, variables["params"])), jax.tree.leaves(theirs(x, variables["params"])), strict=True
    ):
        assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    gradients = [
        jax.jit(jax.grad(lambda x, p: jnp.sum(jnp.sin(f(x, p)[0])), argnums=(0, 1)))(x, variables["params"])  # noqa: B023
        for f in (ours, theirs)
    ]
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-5, rtol=1e-4), *gradients)
    running = nn.BatchNorm(use_running_average=True, epsilon=1e-5).apply(variables, x)
    assert_allclose(norm(x, variables, train=False), running, atol=1e-5)


def test_padding_has_no_part_in_batch_norm():
    x, params = normal((4, 5, 5, 3)), {"scale": jnp.ones(3), "bias": jnp.zeros(3)}
    variables = {"params": params, "batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
    alone, stats = norm(x, variables)
    weight = jnp.asarray([1.0, 1, 1, 1, 0, 0])

    @jax.jit
    @jax.grad
    def slope(x, weight):
        return jnp.sum(jnp.sin(norm(x, variables, weight)[0][:4]))

    expected = slope(x, None)
    for junk in (0.0, 1e4):
        padded = jnp.concatenate([x, jnp.full((2, 5, 5, 3), junk)])
        y, padded_stats = norm(padded, variables, weight)
        assert_allclose(y[:4], alone, atol=1e-5)
        jax.tree.map(partial(assert_allclose, rtol=1e-5, atol=1e-6), padded_stats, stats)
        gradient = slope(padded, weight)
        assert_allclose(gradient[:4], expected, atol=1e-5)
        assert not gradient[4:].any()
    y, same = norm(x, variables, jnp.zeros(4))  # a batch of padding alone changes nothing
    assert jnp.isfinite(y).all()
    assert jax.tree.all(jax.tree.map(jnp.array_equal, same["batch_stats"], variables["batch_stats"]))
    y, repeated = norm(x, variables, jnp.asarray([2.0, 1, 1, 1]))  # weight 2 is an example seen twice
    twice, repeated_too = norm(jnp.concatenate([x[:1], x]), variables)
    assert_allclose(y, twice[1:], atol=1e-5)
    jax.tree.map(partial(assert_allclose, rtol=1e-5, atol=1e-6), repeated, repeated_too)


def test_batch_norm_gradient_of_weighted_examples():
    """By finite differences, through all outputs that have a gradient: normalised values, scale and bias."""
    x, variables = normal((5, 2, 2, 3)) * 2 + 1, {"batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
    weight = jnp.asarray([1.0, 0.5, 2.0, 0.0, 1.0])

    def value(x, scale, bias):
        return norm(x, {**variables, "params": {"scale": scale, "bias": bias}}, weight)[0]

    check_grads(value, (x, jnp.asarray([1.0, 0.5, 2.0]), jnp.zeros(3)), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_running_statistics_follow_by_hand():
    x = jnp.asarray([[1.0], [3.0]])
    variables = BatchNorm().init(jax.random.key(0), x)
    assert_allclose(variables["batch_stats"]["mean"], [0.0])  # init does not update
    y, new = norm(x, variables)
    assert_allclose(y, [[-1.0], [1.0]], atol=1e-4)
    assert_allclose(new["batch_stats"]["mean"], [0.1 * 2], rtol=1e-6)
    assert_allclose(new["batch_stats"]["var"], [0.9 + 0.1 * 1], rtol=1e-6)
