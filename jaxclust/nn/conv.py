"""Convolutions in two forms with the same parameters.

XLA compiles convolutions badly on a CPU (inside a scan, under vmap) and well on a TPU or GPU; matrix
products are fast everywhere but move more memory. So `conv2d` and `conv_transpose2d` have two forms:

- 'native': lax.conv_general_dilated and lax.conv_transpose;
- 'patches': one matrix product between two linear maps along single axes. `_gather` collects the k taps
  of every window in the channels, `_scatter` is its transpose and adds k channel groups back into place:

      convolution, stride 1      gather columns, product, scatter rows: 3c + 3f values a pixel, not 9c
      with few channels in       gather both, product
      with few channels out      product, scatter both
      convolution, stride 2      the same for even and odd rows apart, 2 taps and 1; many channels out: gather both
      transposed, stride 2       the mirror image: gather rows, product, scatter columns; many in: scatter both.
                                 9 products a pixel, none of them with a zero

  Each is the gradient of the other, so a gradient is again a product between them, of the same cost.
  Under vmap over stacked kernels the product becomes a batched product.

Both accept any kernel size and stride, and give the same values and gradients to rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.typing import Array

__all__ = ["Conv", "ConvTranspose", "conv2d", "conv_transpose2d", "resolve_form", "stacked"]

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
    rows, cols = _same(1, x.shape[1], kh, strides), _same(2, x.shape[2], kw, strides)
    written = [kh * kw * cin + cout, strides * kw * cin + kh * cout]  # values for every pixel of the output
    if strides == 1:
        written.append(cin + kh * kw * cout)
    cheapest = written.index(min(written))
    if cheapest == 0:
        x = _gather(_gather(x, cols), rows)
        return _product(x, kernel.reshape(kh * kw * cin, cout))
    if cheapest == 1:
        parts, apart = [], _split(_place(x, 1, 0, rows.windows * strides), strides)
        for part, (seen, taps) in zip(apart, _phases(rows), strict=True):
            matrix = kernel[seen][::-1].transpose(1, 2, 0, 3).reshape(kw * cin, taps.k * cout)
            parts.append(_scatter(_product(_gather(part, cols), matrix), _mirror(taps)))
        return sum(parts[1:], parts[0])
    return _scatter(_scatter(_product(x, _all_taps(kernel)), _mirror(rows)), _mirror(cols))


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
    rows, cols = _transposed(1, x.shape[1], kh, strides), _transposed(2, x.shape[2], kw, strides)
    phases = _phases(rows)
    gathered = sum(taps.k for _, taps in phases if taps.k > 1)  # rows written for every row of x; one is itself
    if kh < strides or kh * kw * cout <= gathered * cin + strides * kw * cout:
        return _scatter(_scatter(_product(x, _all_taps(kernel)), rows), cols)
    parts = []
    for seen, taps in phases:
        matrix = kernel[::-1, ::-1][seen][::-1].transpose(0, 2, 1, 3).reshape(taps.k * cin, kw * cout)
        parts.append(_scatter(_product(_gather(x, _mirror(taps)), matrix), cols))
    return _join(tuple(parts), strides)


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
    befores = [_transposed(axis, x.shape[axis], kernel.shape[axis - 1], strides).before for axis in (1, 2)]
    padding = [(before, k - strides - before) for before, k in zip(befores, kernel.shape[:2], strict=True)]

    def convolve(kernel: Array) -> Array:
        turned = kernel[::-1, ::-1].swapaxes(2, 3)
        return lax.conv_general_dilated(g, turned, (strides, strides), padding, dimension_numbers=_LAYOUT)

    dx, pullback = jax.vjp(convolve, kernel)
    return dx, *pullback(x)


_native_transpose.defvjp(
    lambda x, kernel, s: (_native_transpose(x, kernel, s), (x, kernel)), _native_transpose_backward
)


def stacked(function: Callable[..., Any], form: str = "auto") -> Callable[..., Any]:
    """Return `function` over a leading axis of all its arguments, for networks whose parameters are stacked.

    native: jax.vmap on a TPU. patches, and on other platforms: one after the other in a loop. On a CPU that was faster
    than batched products, and on several GPUs the grouped convolutions of vmap are not partitioned: each GPU does the
    work of all (experiments/RESULTS.md). The platform is that of the compilation. form: see resolve_form.
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


class _Taps(NamedTuple):
    """Which of `size` positions along `axis` tap t of window o sees: s o + t - before, t < k, o < windows."""

    axis: int
    size: int
    windows: int
    k: int
    s: int
    before: int


def _same(axis: int, size: int, k: int, s: int) -> _Taps:
    """Return the taps of a SAME convolution."""
    windows = -(-size // s)
    return _Taps(axis, size, windows, k, s, max((windows - 1) * s + k - size, 0) // 2)


def _mirror(taps: _Taps) -> _Taps:
    """Return the taps whose _scatter, of reversed groups, is the stride-1 convolution of `taps`."""
    return taps._replace(before=taps.k - 1 - taps.before)


def _transposed(axis: int, size: int, k: int, s: int) -> _Taps:
    """Return the taps whose _scatter, of reversed groups, is lax.conv_transpose with SAME padding."""
    dilated = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)  # what lax puts in front of the dilated input
    return _Taps(axis, size * s, size, k, s, k - 1 - dilated)


def _phases(taps: _Taps) -> list[tuple[slice, _Taps]]:
    """Return for each p < s which taps see the positions s q + p, and as what taps of stride 1 they see q."""
    found = []
    for p in range(taps.s):
        first = (taps.before + p) % taps.s
        k, before = len(range(first, taps.k, taps.s)), (taps.before + p - first) // taps.s
        found.append(
            (slice(first, None, taps.s), _Taps(taps.axis, -(-taps.size // taps.s), taps.windows, k, 1, before))
        )
    return found


def _all_taps(kernel: Array) -> Array:
    """Return kernel (kh, kw, cin, cout) as (cin, kh kw cout), taps reversed on both axes."""
    return kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


def _product(x: Array, matrix: Array) -> Array:
    """Return x (..., c) times matrix (c, d), as one two-dimensional product: others make XLA transpose."""
    rows = x.reshape(-1, x.shape[-1])
    return _matmul(rows, matrix).reshape(*x.shape[:-1], matrix.shape[-1])


@jax.custom_vjp
def _matmul(x: Array, matrix: Array) -> Array:
    return x @ matrix


def _matmul_backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Contract the long axis with the narrower factor first: up to 3 times faster on a CPU."""
    x, matrix = kept
    over_rows = (((0,), (0,)), ((), ()))
    if g.shape[1] >= x.shape[1]:
        dmatrix = lax.dot_general(x, g, over_rows)
    else:  # the barrier keeps XLA from swapping the factors back
        dmatrix = lax.optimization_barrier(lax.dot_general(g, x, over_rows)).T
    return g @ matrix.T, dmatrix


_matmul.defvjp(lambda x, matrix: (_matmul(x, matrix), (x, matrix)), _matmul_backward)


def _place(x: Array, axis: int, start: int, size: int) -> Array:
    """Return x moved to `start` on an axis of `size`, cut or filled with zeros (by concatenation: pad is slow)."""
    x = lax.slice_in_dim(x, max(-start, 0), min(x.shape[axis], size - start), axis=axis)
    front, back = max(start, 0), size - max(start, 0) - x.shape[axis]
    zeros = [jnp.zeros((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in (front, back)]
    return jnp.concatenate([part for part in (zeros[0], x, zeros[1]) if part.shape[axis]], axis)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _gather(x: Array, taps: _Taps) -> Array:
    """Return the k taps of every window: (..., size, ..., c) to (..., windows, ..., k c)."""
    axis, _, windows, k, s, before = taps
    span = windows + (k - 1) // s
    x = _place(x, axis, before, s * span)
    x = x.reshape(*x.shape[:axis], span, s, *x.shape[axis + 1 :])
    moved = (lax.slice_in_dim(x, t // s, t // s + windows, axis=axis) for t in range(k))
    return jnp.concatenate([lax.index_in_dim(m, t % s, axis + 1, keepdims=False) for t, m in enumerate(moved)], -1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _scatter(y: Array, taps: _Taps) -> Array:
    """Return the transpose of _gather: (..., windows, ..., k c) to sums (..., size, ..., c)."""
    axis, size, _, k, s, before = taps
    length = -(-size // s)
    groups = jnp.split(y, k, -1)
    phases = []
    for p in range(s):
        moved = [_place(groups[t], axis, (t - before - p) // s, length) for t in range(k) if (t - before - p) % s == 0]
        zeros = (*y.shape[:axis], length, *y.shape[axis + 1 : -1], y.shape[-1] // k)
        phases.append(sum(moved[1:], moved[0]) if moved else jnp.zeros(zeros, y.dtype))
    x = phases[0] if s == 1 else jnp.stack(phases, axis + 1)
    x = x.reshape(*phases[0].shape[:axis], s * length, *phases[0].shape[axis + 1 :])
    return x if s * length == size else lax.slice_in_dim(x, 0, size, axis=axis)


_gather.defvjp(lambda x, taps: (_gather(x, taps), None), lambda taps, _, g: (_scatter(g, taps),))
_scatter.defvjp(lambda y, taps: (_scatter(y, taps), None), lambda taps, _, g: (_gather(g, taps),))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _split(x: Array, s: int) -> tuple[Array, ...]:
    """Return the rows s q + p of images (b, s h, w, c), for each p < s: (b, h, w, c)."""
    b, rows, w, c = x.shape
    x = x.reshape(b, rows // s, s, w, c)
    return tuple(lax.index_in_dim(x, p, 2, keepdims=False) for p in range(s))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _join(parts: tuple[Array, ...], s: int) -> Array:
    """Return the transpose of _split: images (b, s h, w, c) whose rows s q + p are those of parts[p]."""
    b, h, w, c = parts[0].shape
    return jnp.stack(parts, 2).reshape(b, s * h, w, c)


_split.defvjp(lambda x, s: (_split(x, s), None), lambda s, _, g: (_join(g, s),))
_join.defvjp(lambda parts, s: (_join(parts, s), None), lambda s, _, g: (_split(g, s),))


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
