"""Convolutions in two forms with the same parameters.

XLA compiles convolutions badly on a CPU (inside a scan, under vmap) and well on a TPU or GPU; matrix
products are fast everywhere but move more memory. So `conv2d` and `conv_transpose2d` have two forms:

- 'native': lax.conv_general_dilated and lax.conv_transpose;
- 'patches': one matrix product between two linear maps along single axes. `gather` collects the k taps
  of every window in the channels, `scatter` is its transpose and adds k channel groups back into place:

      convolution, stride 1      gather columns, product, scatter rows: 3c + 3f values a pixel, not 9c
      with few channels in       gather both, product
      with few channels out      product, scatter both
      convolution, stride 2      the same for even and odd rows apart, 2 taps and 1; many channels out: gather both
      transposed, stride 2       the mirror image: gather rows, product, scatter columns; many in: scatter both.
                                 9 products a pixel, none of them with a zero

  Each is the gradient of the other, so a gradient is again a product between them, of the same cost.
  Under vmap over stacked kernels the product becomes a batched product.

Both accept any kernel size and stride, and give the same values and gradients to rounding. With wide kernels
'patches' has two more ways: with stride 2, fewer multiplications (nn/toom_cook.py), and where a map has only one or two
windows a side, most of what they see is padding, each window apart by its real taps.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.nn import toom_cook
from jaxclust.nn.taps import Taps, gather, join, mirror, phases, place, product, same, scatter, split, transposed
from jaxclust.typing import Array

__all__ = ["Conv", "ConvTranspose", "conv2d", "conv_transpose2d", "over_networks", "resolve_form"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def resolve_form(form: str = "auto", platform: str | None = None) -> str:
    """Return the form of convolutions to use, 'patches' or 'native'.

    form: 'patches', 'native', or 'auto': patches on a CPU, native elsewhere.
    platform: 'cpu', 'gpu', 'tpu'; by default JAX's default backend. Name it when compiling ahead of
    time for another machine.
    Raises ValueError for another form.
    """
    if form not in ("auto", "patches", "native"):
        raise ValueError(f"form must be 'auto', 'patches' or 'native', not {form!r}")
    if form != "auto":
        return form
    return "patches" if (platform or jax.default_backend()) == "cpu" else "native"


def conv2d(x: Array, kernel: Array, strides: int = 1, form: str = "auto") -> Array:
    """Convolve with SAME padding, as lax.conv_general_dilated (a correlation: the kernel is not flipped).

    x: (b, h, w, cin); kernel: (kh, kw, cin, cout); strides: >= 1, of both axes; form: see resolve_form.
    Returns (b, ceil(h / strides), ceil(w / strides), cout).
    Raises ValueError if the shapes or strides do not fit.
    """
    _check(x, kernel, strides)
    if resolve_form(form) == "native":
        y = lax.conv_general_dilated(x, kernel, (strides, strides), "SAME", dimension_numbers=_LAYOUT)
        return _stored(y) if x.shape[3] <= 4 else y  # images, not maps of features
    kh, kw, cin, cout = kernel.shape
    rows, cols = same(1, x.shape[1], kh, strides), same(2, x.shape[2], kw, strides)
    if min(kh, kw) > 3 and max(rows.windows, cols.windows) <= 2:
        return _window_by_window(x, kernel, rows, cols)
    if toom_cook.pays(x, kernel, strides):
        return toom_cook.conv2d(x, kernel)
    written = [kh * kw * cin + cout, strides * kw * cin + kh * cout]  # values for every pixel of the output
    if strides == 1:
        written.append(cin + kh * kw * cout)
    cheapest = written.index(min(written))
    if cheapest == 0:
        x = gather(gather(x, cols), rows)
        return product(x, kernel.reshape(kh * kw * cin, cout))
    if cheapest == 1:
        parts, apart = [], split(place(x, 1, 0, rows.windows * strides), strides)
        for part, (seen, taps) in zip(apart, phases(rows), strict=True):
            matrix = kernel[seen][::-1].transpose(1, 2, 0, 3).reshape(kw * cin, taps.k * cout)
            parts.append(scatter(product(gather(part, cols), matrix), mirror(taps)))
        return sum(parts[1:], parts[0])
    return scatter(scatter(product(x, _all_taps(kernel)), mirror(rows)), mirror(cols))


def conv_transpose2d(x: Array, kernel: Array, strides: int = 2, form: str = "auto") -> Array:
    """Transposed convolution with SAME padding, as lax.conv_transpose (the kernel is not flipped).

    x: (b, h, w, cin); kernel: (kh, kw, cin, cout); strides: >= 1, of both axes; form: see resolve_form.
    Returns (b, h * strides, w * strides, cout).
    Raises ValueError if the shapes or strides do not fit.
    """
    _check(x, kernel, strides)
    if resolve_form(form) == "native":
        return _native_transpose(x, kernel, strides)
    kh, kw, cin, cout = kernel.shape
    rows, cols = transposed(1, x.shape[1], kh, strides), transposed(2, x.shape[2], kw, strides)
    apart = phases(rows)
    gathered = sum(taps.k for _, taps in apart if taps.k > 1)  # rows written for every row of x; one is itself
    if kh < strides or kh * kw * cout <= gathered * cin + strides * kw * cout:
        return scatter(scatter(product(x, _all_taps(kernel)), rows), cols)
    parts = []
    for seen, taps in apart:
        matrix = kernel[::-1, ::-1][seen][::-1].transpose(0, 2, 1, 3).reshape(taps.k * cin, kw * cout)
        parts.append(scatter(product(gather(x, mirror(taps)), matrix), cols))
    return join(tuple(parts), strides)


@jax.custom_vjp
def _stored(x: Array) -> Array:
    """Return x, kept in its own type: XLA stores bfloat16 convolutions of images in float32, as their readers add."""
    return lax.optimization_barrier(x)


_stored.defvjp(lambda x: (_stored(x), None), lambda _, g: (g,))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _native_transpose(x: Array, kernel: Array, strides: int) -> Array:
    return lax.conv_transpose(x, kernel, (strides, strides), "SAME", dimension_numbers=_LAYOUT)


def _native_transpose_backward(strides: int, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Both are gradients of the convolution that this one transposes; those of lax reverse whole images on a TPU."""
    x, kernel = kept
    befores = [transposed(axis, x.shape[axis], kernel.shape[axis - 1], strides).before for axis in (1, 2)]
    padding = [(before, k - strides - before) for before, k in zip(befores, kernel.shape[:2], strict=True)]

    def convolve(kernel: Array) -> Array:
        turned = kernel[::-1, ::-1].swapaxes(2, 3)
        return lax.conv_general_dilated(g, turned, (strides, strides), padding, dimension_numbers=_LAYOUT)

    dx, pullback = jax.vjp(convolve, kernel)
    return dx, *pullback(x)


_native_transpose.defvjp(
    lambda x, kernel, s: (_native_transpose(x, kernel, s), (x, kernel)), _native_transpose_backward
)


def over_networks(function: Callable[..., Any], form: str = "auto") -> Callable[..., Any]:
    """Return `function` over a leading axis of all its arguments, for networks whose parameters are stacked.

    native: jax.vmap on a TPU. patches, and on other platforms: one after the other in a loop. On a CPU that was faster
    than batched products, and on several GPUs the grouped convolutions of vmap are not partitioned: each GPU does the
    work of all (experiments/results/speed.md). The platform is that of the compilation. form: see resolve_form.
    """

    def in_turn(*arguments: Any) -> Any:
        return lax.map(lambda one: function(*one), arguments)

    if resolve_form(form) == "patches":
        return in_turn
    return lambda *arguments: lax.platform_dependent(*arguments, tpu=jax.vmap(function), default=in_turn)


def _check(x: Array, kernel: Array, strides: int) -> None:
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2]:
        raise ValueError(f"need images (b, h, w, cin) and kernel (kh, kw, cin, cout), not {x.shape} and {kernel.shape}")
    if strides < 1:
        raise ValueError(f"strides must be at least 1, not {strides}")


def _window_by_window(x: Array, kernel: Array, rows: Taps, cols: Taps) -> Array:
    """Return the convolution, each window by itself: a product of what it sees of the image with those taps."""
    spans = [
        [(max(s * o - before, 0), min(s * o - before + k, size), s * o - before) for o in range(windows)]
        for _, size, windows, k, s, before in (rows, cols)
    ]
    found = []
    for top, bottom, r in spans[0]:
        for left, right, c in spans[1]:
            matrix = kernel[top - r : bottom - r, left - c : right - c].reshape(-1, kernel.shape[3])
            found.append(product(x[:, top:bottom, left:right].reshape(len(x), -1), matrix))
    return jnp.stack(found, 1).reshape(len(x), rows.windows, cols.windows, -1)


def _all_taps(kernel: Array) -> Array:
    """Return kernel (kh, kw, cin, cout) as (cin, kh kw cout), taps reversed on both axes."""
    return kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


class Conv(nn.Module):
    """SAME convolution of images (b, h, w, cin), see conv2d.

    Parameters, the same in both forms: kernel (kh, kw, cin, features) and, with use_bias, bias
    (features,). Leave the bias out before batch norm: its gradient there is pure noise.
    dtype: of the computation; by default that of the images and parameters together.
    """

    features: int
    strides: int = 1
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = False
    form: str = "auto"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (b, ceil(h / strides), ceil(w / strides), features)."""
        return _apply(self, conv2d, x)


class ConvTranspose(nn.Module):
    """SAME transposed convolution of images (b, h, w, cin), see conv_transpose2d; parameters as in Conv."""

    features: int
    strides: int = 2
    kernel_size: tuple[int, int] = (3, 3)
    use_bias: bool = False
    form: str = "auto"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return (b, h * strides, w * strides, features)."""
        return _apply(self, conv_transpose2d, x)


def _apply(module: Conv | ConvTranspose, function: Any, x: Array) -> Array:
    shape = (*module.kernel_size, x.shape[-1], module.features)
    kernel = module.param("kernel", module.kernel_init, shape, module.param_dtype)
    bias = None
    if module.use_bias:
        bias = module.param("bias", nn.initializers.zeros, (module.features,), module.param_dtype)
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=module.dtype)
    y = function(x, kernel, module.strides, module.form)
    return y if bias is None else y + bias
