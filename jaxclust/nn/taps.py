"""What convolutions are made of: linear maps along single axes, each the gradient of another, and a matrix product.

`gather` collects the k taps of every window in the channels, `scatter` is its transpose and adds k channel groups back
into place; `split` takes images apart by rows, `join` puts them together again.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxclust.typing import Array

__all__ = ["Taps", "gather", "join", "mirror", "phases", "place", "product", "same", "scatter", "split", "transposed"]


class Taps(NamedTuple):
    """Which of `size` positions along `axis` tap t of window o sees: s o + t - before, t < k, o < windows."""

    axis: int
    size: int
    windows: int
    k: int
    s: int
    before: int


def same(axis: int, size: int, k: int, s: int) -> Taps:
    """Return the taps of a SAME convolution."""
    windows = -(-size // s)
    return Taps(axis, size, windows, k, s, max((windows - 1) * s + k - size, 0) // 2)


def mirror(taps: Taps) -> Taps:
    """Return the taps whose scatter, of reversed groups, is the stride-1 convolution of `taps`."""
    return taps._replace(before=taps.k - 1 - taps.before)


def transposed(axis: int, size: int, k: int, s: int) -> Taps:
    """Return the taps whose scatter, of reversed groups, is lax.conv_transpose with SAME padding."""
    dilated = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)  # what lax puts in front of the dilated input
    return Taps(axis, size * s, size, k, s, k - 1 - dilated)


def phases(taps: Taps) -> list[tuple[slice, Taps]]:
    """Return for each p < s which taps see the positions s q + p, and as what taps of stride 1 they see q."""
    found = []
    for p in range(taps.s):
        first = (taps.before + p) % taps.s
        k, before = len(range(first, taps.k, taps.s)), (taps.before + p - first) // taps.s
        found.append((slice(first, None, taps.s), Taps(taps.axis, -(-taps.size // taps.s), taps.windows, k, 1, before)))
    return found


def product(x: Array, matrix: Array) -> Array:
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


def place(x: Array, axis: int, start: int, size: int) -> Array:
    """Return x moved to `start` on an axis of `size`, cut or filled with zeros (by concatenation: pad is slow)."""
    first = min(max(-start, 0), x.shape[axis])
    x = lax.slice_in_dim(x, first, max(first, min(x.shape[axis], size - start)), axis=axis)
    front = min(max(start, 0), size)
    back = size - front - x.shape[axis]
    zeros = [jnp.zeros((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in (front, back)]
    return jnp.concatenate([part for part in (zeros[0], x, zeros[1]) if part.shape[axis]], axis)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather(x: Array, taps: Taps) -> Array:
    """Return the k taps of every window: (..., size, ..., c) to (..., windows, ..., k c)."""
    axis, _, windows, k, s, before = taps
    span = windows + (k - 1) // s
    x = place(x, axis, before, s * span)
    x = x.reshape(*x.shape[:axis], span, s, *x.shape[axis + 1 :])
    moved = (lax.slice_in_dim(x, t // s, t // s + windows, axis=axis) for t in range(k))
    return jnp.concatenate([lax.index_in_dim(m, t % s, axis + 1, keepdims=False) for t, m in enumerate(moved)], -1)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scatter(y: Array, taps: Taps) -> Array:
    """Return the transpose of gather: (..., windows, ..., k c) to sums (..., size, ..., c)."""
    axis, size, _, k, s, before = taps
    length = -(-size // s)
    groups = jnp.split(y, k, -1)
    apart = []
    for p in range(s):
        moved = [place(groups[t], axis, (t - before - p) // s, length) for t in range(k) if (t - before - p) % s == 0]
        zeros = (*y.shape[:axis], length, *y.shape[axis + 1 : -1], y.shape[-1] // k)
        apart.append(sum(moved[1:], moved[0]) if moved else jnp.zeros(zeros, y.dtype))
    x = apart[0] if s == 1 else jnp.stack(apart, axis + 1)
    x = x.reshape(*apart[0].shape[:axis], s * length, *apart[0].shape[axis + 1 :])
    return x if s * length == size else lax.slice_in_dim(x, 0, size, axis=axis)


gather.defvjp(lambda x, taps: (gather(x, taps), None), lambda taps, _, g: (scatter(g, taps),))
scatter.defvjp(lambda y, taps: (scatter(y, taps), None), lambda taps, _, g: (gather(g, taps),))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def split(x: Array, s: int) -> tuple[Array, ...]:
    """Return the rows s q + p of images (b, s h, w, c), for each p < s: (b, h, w, c)."""
    b, rows, w, c = x.shape
    x = x.reshape(b, rows // s, s, w, c)
    return tuple(lax.index_in_dim(x, p, 2, keepdims=False) for p in range(s))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def join(parts: tuple[Array, ...], s: int) -> Array:
    """Return the transpose of split: images (b, s h, w, c) whose rows s q + p are those of parts[p]."""
    b, h, w, c = parts[0].shape
    return jnp.stack(parts, 2).reshape(b, s * h, w, c)


split.defvjp(lambda x, s: (split(x, s), None), lambda s, _, g: (join(g, s),))
join.defvjp(lambda parts, s: (join(parts, s), None), lambda s, _, g: (split(g, s),))
