"""Convolutions of stride 2 with fewer multiplications, for a CPU: Toom-Cook's algorithm along the rows.

m neighbouring values of a correlation with r taps, y_i = sum_t g_t d_(i + t), take m + r - 1 products instead of m r:

    y = A [(G g) * (B d)],   A (m, n), G (n, r), B (n, n), n = m + r - 1                     (Winograd 1980, chapter 5)

`algorithm` has the matrices: values of polynomials at n - 1 points and at infinity, and what interpolates
them, transposed.
With stride 2, even and odd rows are two correlations apart, of 3 and 2 taps where the kernel has 5: with m = 4 eleven
products take the place of 4 x 5. Here a product is one of matrices: d is a whole row of an image, whose columns are
gathered as in nn/conv.py, and g a row of the kernel. So arithmetic and gathered values are 11/20 of what they are
there (12/24 with six rows of taps), forward and in both gradients, for sums of rows before and after. The root mean
square of rounding errors grows two- to threefold.
"""

from collections.abc import Sequence
from functools import cache

import jax.numpy as jnp
import numpy as np
from numpy.polynomial.polynomial import polyfromroots

from jaxclust.nn.taps import gather, join, phases, place, product, same, split
from jaxclust.typing import Array

__all__ = ["algorithm", "conv2d", "pays"]

ROWS = 4  # of the output, computed at a time
POINTS = np.array([0.0, 1.0, -1.0, 0.5, -2.0])  # small ones keep rounding small
FEWEST = 8  # channels in: with fewer, sums of rows cost more than they save


def pays(x: Array, kernel: Array, strides: int) -> bool:
    """Whether `conv2d` here is the faster one: float32 maps, stride 2, two or three taps of either parity."""
    return strides == 2 and 4 < kernel.shape[0] <= 6 and x.shape[3] >= FEWEST and x.dtype == jnp.float32


def conv2d(x: Array, kernel: Array) -> Array:
    """Convolve with SAME padding and stride 2, as nn.conv.conv2d does.

    x: (b, h, w, cin); kernel: (kh, kw, cin, cout), kh at most 6. Returns (b, ceil(h / 2), ceil(w / 2), cout).
    Raises ValueError for kernels of more rows.
    """
    rows, cols = (same(axis, x.shape[axis], kernel.shape[axis - 1], 2) for axis in (1, 2))
    m = ROWS
    tiles = -(-rows.windows // m)
    lines = split(place(x, 1, 0, 2 * m * tiles), 2 * m)  # the rows of every tile, each (b, tiles, w, cin)

    def line(row: int) -> Array | None:
        """A row of every tile, counted from the tile's first; None where all of it is padding."""
        tile, row = divmod(row, 2 * m)
        return lines[row] if not tile else place(lines[row], 1, -tile, tiles) if tiles > abs(tile) else None

    sums = []
    for seen, taps in phases(rows):
        before, after, within = algorithm(m, taps.k)
        seen_rows = [line(2 * i + seen.start - rows.before) for i in range(m + taps.k - 1)]
        kernels = jnp.einsum("nt,thio->nhio", within.astype(np.float32), kernel[seen])
        matrices = kernels.reshape(len(kernels), -1, kernel.shape[-1])
        products = [
            product(gather(weighted(b, seen_rows), cols), matrix) for b, matrix in zip(before, matrices, strict=True)
        ]
        sums.append([weighted(a, products) for a in after])
    y = join(tuple(sum(both[1:], both[0]) for both in zip(*sums, strict=True)), m)
    return y[:, : rows.windows]


def weighted(weights: np.ndarray, parts: Sequence[Array | None]) -> Array:
    """The sum of weights times parts, without those that are zero."""
    terms = [
        part if w == 1 else float(w) * part for w, part in zip(weights, parts, strict=True) if w and part is not None
    ]
    return sum(terms[1:], terms[0])


@cache
def algorithm(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B (n, n), A (m, n), G (n, r) float64 of the correlation of n = m + r - 1 values with r taps.

    It is the transpose of the product of two polynomials with m and r coefficients: their values at n - 1 points, and
    their last coefficients (the values at infinity), give those of the product, and these its n coefficients.
    """
    if m + r - 2 > len(POINTS):
        raise ValueError(f"{m} values of {r} taps need {m + r - 2} points, and there are {len(POINTS)}")
    points = POINTS[: m + r - 2]
    others = [np.delete(points, i) for i in range(len(points))]
    before = np.stack([*(np.append(polyfromroots(q), 0.0) for q in others), polyfromroots(points)])
    scales = [np.prod(p - q) for p, q in zip(points, others, strict=True)]
    within = np.vander(points, r, increasing=True) / np.stack(scales)[:, None]
    after = np.vander(points, m, increasing=True)
    return before, np.vstack([after, np.eye(m)[-1]]).T, np.vstack([within, np.eye(r)[-1]])
