"""Principal components of equal variance: what tells examples apart counts, however little of the variance it has."""

import numpy as np

KEPT = 0.85  # share of the variance that the components explain; what is left is mostly noise


def whitened(x: np.ndarray, kept: float = KEPT) -> np.ndarray:
    """The fewest principal components of x (n, d) with that share of the variance, each scaled to variance one.

    Returns (n, p) float32; columns without variance count for nothing. (Turk and Pentland 1991 for faces.)
    """
    centred = np.asarray(x, np.float64) - np.mean(x, 0, dtype=np.float64)
    n, d = centred.shape
    if d <= n:
        values, vectors = np.linalg.eigh(centred.T @ centred / n)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    else:
        _, singular, rows = np.linalg.svd(centred, full_matrices=False)
        values, vectors = singular**2 / n, rows.T
    total = max(values.sum(), np.finfo(np.float64).tiny)
    count = int(np.searchsorted(np.cumsum(values) / total, kept - 1e-9)) + 1
    count = max(1, min(count, int((values > 1e-10 * total).sum())))
    return (centred @ (vectors[:, :count] / np.sqrt(np.maximum(values[:count], 1e-30)))).astype(np.float32)
