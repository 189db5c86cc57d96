"""How typical an example is of its cluster: the share of the cluster's examples of the fit that lie as far out.

How far out: Mahalanobis' distance to the cluster's mean in the codes (the embedding), and how unsure the model is, one
minus the largest probability. Each becomes a share of the cluster's own examples, the two shares are combined as Fisher
(1932) does, -log p_1 - log p_2, and the sum becomes a share again. 1 is the middle of a cluster, near 0 an outlier. Of
new examples like those of the fit about a share t has a typicality below t.

Beyond the furthest example of the fit the share falls on, with the distance, so that outliers have an order too.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxclust.numerics import contraction, product, usual_settings
from jaxclust.train.inference import apply_in_batches
from jaxclust.typing import Array, PyTree

SHRINK = 0.01  # share of a covariance that is replaced by its mean variance in all directions
FLOOR = 1e-6  # of the mean variance of all codes: what a direction without any has
MOST_COLUMNS = 64  # of the codes: more become their main directions, and how far they are from these
SAMPLE = 2000  # rows that give the main directions
MOST_KEPT = 2000  # values of a cluster that new ones are compared with
EQUAL = 1e-5  # by which sums of logarithms differ by rounding alone, which hangs on the machine
RARE, TWICE, SURE = 0.05, 2.0, 0.001


class Outliers(NamedTuple):
    """What typicality hangs on, for K clusters and codes of q numbers.

    mean: (K, q) float32.  whitening: (K, q, q) float32, W with |W (z - mean)| the distance.
    distance, doubt, joint: (K, m) float32, those of the fit in rising order, then -inf.  kept: (K,) int32, how many.
    centre, basis: (d,) and (d, q - 1) float32, where an embedding has more than MOST_COLUMNS; else (0,) and (0, 0).
    """

    mean: np.ndarray
    whitening: np.ndarray
    distance: np.ndarray
    doubt: np.ndarray
    joint: np.ndarray
    kept: np.ndarray
    centre: np.ndarray
    basis: np.ndarray


@usual_settings()
def of_fit(embedding: np.ndarray, probabilities: np.ndarray) -> Outliers:
    """The statistics of n examples: embedding (n, d), probabilities (n, K), whose largest gives the cluster.

    Covariances are drawn towards the one within all clusters, as if that were q examples more, and to a ball. A cluster
    without examples has the mean and the values of all of them.
    """
    centre, basis = _directions(embedding)
    codes = embedding
    if basis.size:
        codes = apply_in_batches(_along, (centre, basis), np.asarray(embedding, np.float32), together=False)
    codes = np.asarray(codes, np.float64)
    labels, doubt = probabilities.argmax(1), _doubt(probabilities)
    pooled, floor = _within(codes, labels), FLOOR * codes.var(0).mean() + 1e-12
    gaussians, values = [], []
    for k in range(probabilities.shape[1]):
        rows = np.flatnonzero(labels == k)
        rows = rows if len(rows) else np.arange(len(codes))
        mean, whitening = _gaussian(codes[rows], pooled, floor)
        distance = _left_out(np.linalg.norm((codes[rows] - mean) @ whitening.T, axis=1), len(mean), len(codes))
        joint = -np.log(_ranks(distance)) - np.log(_ranks(doubt[rows]))
        gaussians.append((mean, whitening))
        values.append(np.stack([_thinned(of) for of in (distance, doubt[rows], joint)]))
    kept = np.array([of.shape[1] for of in values], np.int32)
    padded = [np.pad(of, ((0, 0), (0, kept.max() - of.shape[1])), constant_values=-np.inf) for of in values]
    known = np.stack(padded, 1).astype(np.float32)
    mean, whitening = (np.stack(of).astype(np.float32) for of in zip(*gaussians, strict=True))
    return Outliers(mean, whitening, known[0], known[1], known[2], kept, centre, basis)


@usual_settings()
def typicality(outliers: Outliers, embedding: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of n examples: embedding (n, d), probabilities (n, K) -> (n,) float32 in (0, 1], each independent of the others.

    Computed on the device, in float32.
    """
    labels, doubt = probabilities.argmax(1), _doubt(probabilities)
    rows = np.column_stack([embedding, labels, doubt]).astype(np.float32)
    return apply_in_batches(_typicality, outliers, rows, together=False)


def unlike(typicality: np.ndarray) -> str | None:
    """A line where new examples as a whole look unlike those of the fit, else None.

    A one-sided binomial test: more than TWICE the usual share RARE have a typicality below RARE, at level SURE.
    """
    from scipy.special import bdtrc

    n, count = len(typicality), int((typicality < RARE).sum())
    if not count or bdtrc(count - 1, n, TWICE * RARE) >= SURE:  # the chance of as many or more
        return None
    return (
        f"the data as a whole look unlike those of the fit: {100 * count / n:.0f}% of {n} examples have a typicality "
        f"below {RARE}, where {100 * RARE:.0f}% are usual"
    )


def _typicality(outliers: Outliers, rows: Array) -> Array:
    """rows (b, d + 2): embedding, cluster, doubt."""
    codes = rows[:, :-2]
    if outliers.basis.size:
        codes = _along((outliers.centre, outliers.basis), codes)
    labels, doubt = rows[:, -2].astype(jnp.int32), rows[:, -1]
    kept = outliers.kept[labels]
    apart = contraction("bij,bj->bi", outliers.whitening[labels], codes - outliers.mean[labels])
    distance = jnp.sqrt((apart**2).sum(1))
    known = outliers.distance[labels]
    beyond = jnp.minimum((1 + known.max(1)) / (1 + distance), 1)
    first, second = _shares(known, kept, distance) * beyond, _shares(outliers.doubt[labels], kept, doubt)
    joint, known = -jnp.log(first) - jnp.log(second), outliers.joint[labels]
    return _shares(known, kept, joint - EQUAL) * jnp.exp(jnp.minimum(known.max(1) - joint, 0))


def _shares(known: Array, kept: Array, values: Array) -> Array:
    """Shares of known (b, m), of which `kept` (b,) are values, that are at least as large as values (b,)."""
    return (1 + (known >= values[:, None]).sum(1)) / (1 + kept)


def _doubt(probabilities: np.ndarray) -> np.ndarray:
    """One minus the largest of each row (n,), to six decimals: below these, sure examples differ by rounding alone."""
    return np.round(1 - probabilities.max(1), 6)


def _ranks(values: np.ndarray) -> np.ndarray:
    """The share of values (n,) that each of them has."""
    return (1 + len(values) - np.searchsorted(np.sort(values), values)) / (1 + len(values))


def _thinned(values: np.ndarray) -> np.ndarray:
    """Values in rising order, evenly chosen ones where there are more than MOST_KEPT."""
    order = np.sort(values)
    return order[np.linspace(0, len(order) - 1, min(len(order), MOST_KEPT)).round().astype(int)]


def _gaussian(codes: np.ndarray, pooled: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (q,) and whitening (q, q) of codes (n, q)."""
    n, q = codes.shape
    mean = codes.mean(0)
    covariance = ((codes - mean).T @ (codes - mean) + q * pooled) / (n + q)
    ball = np.eye(q) * (SHRINK * np.trace(covariance) / q + floor)
    return mean, np.linalg.inv(np.linalg.cholesky((1 - SHRINK) * covariance + ball))


def _left_out(distance: np.ndarray, q: int, total: int) -> np.ndarray:
    """Distances (n,) of codes of q numbers from the mean and covariance of the others (Sherman and Morrison 1950).

    total: examples that the covariance within all clusters is of. New examples have no part in what they are measured
    by either.
    """
    n = len(distance)
    factor = n / max(n - 1, 1)
    part = factor * (1 - SHRINK) * (1 + q / total) / (n + q)
    return factor * distance / np.sqrt(np.maximum(1 - part * distance**2, FLOOR))


def _within(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The covariance (q, q) of codes (n, q) within their clusters."""
    apart = codes.copy()
    for k in np.unique(labels):
        apart[labels == k] -= apart[labels == k].mean(0)
    return apart.T @ apart / len(codes)


def _directions(embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (d,) and basis (d, q - 1) of an embedding of more than MOST_COLUMNS, float32, else nothing.

    Twenty rows and more for each direction: what few rows leave out of their own directions says nothing of others.
    """
    n, d = embedding.shape
    if d <= MOST_COLUMNS:
        return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    sample = np.asarray(embedding[np.unique(np.linspace(0, n - 1, SAMPLE).astype(int))], np.float64)
    centre, most = sample.mean(0), max(1, min(MOST_COLUMNS - 1, len(sample) // 20))
    basis = np.linalg.svd(sample - centre, full_matrices=False)[2][:most].T
    return centre.astype(np.float32), basis.astype(np.float32)


def _along(space: PyTree, embedding: Array) -> Array:
    """Embedding (b, d) along the main directions and, as the last column, its distance from them: (b, q).

    space: centre and basis, as in `Outliers`.
    """
    centre, basis = space
    apart = embedding - centre
    along = product(apart, basis)
    rest = jnp.sqrt(((apart - product(along, basis.T)) ** 2).sum(1, keepdims=True))
    return jnp.concatenate([along, rest], 1)
