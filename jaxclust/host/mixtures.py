"""Gaussian mixtures between two device phases: a given number of components, or the one of the lowest BIC."""

from collections.abc import Sequence

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host.density import Clusters

LARGEST_BIC = 30  # components up to which a Gaussian mixture looks for its own number


def gaussian_mixture(x: np.ndarray, n_components: int, seed: int, runs: int = 1) -> np.ndarray:
    """Responsibilities of a full-covariance mixture fitted to x (n, d): (n, n_components), rows sum to one.

    runs: with other starts, of which the one of the largest likelihood counts.
    """
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(n_components, n_init=runs, random_state=seed, reg_covar=1e-5, max_iter=300).fit(x)
    return np.asarray(model.predict_proba(x), np.float32)


def bic_scores(x: np.ndarray, candidates: range, seed: int) -> np.ndarray:
    """Bayesian information criterion of each number of components, smaller is better: (len(candidates),)."""
    from sklearn.mixture import GaussianMixture

    fits = (GaussianMixture(k, random_state=seed, reg_covar=1e-5, max_iter=300).fit(x) for k in candidates)
    return np.array([fit.bic(x) for fit in fits])


def consensus(each: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of several mixtures' responsibilities (n, K), whose components are matched one to one with those of the
    mixture that agrees most with the others (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    def matched(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
        return other[:, linear_sum_assignment(reference.T @ other, maximize=True)[1]]

    agreement = [sum(float((matched(one, other) * one).sum()) for other in each) for one in each]
    reference = each[int(np.argmax(agreement))]
    return np.stack([matched(reference, one) for one in each]).mean(0, dtype=np.float32)


def gaussian_clusters(maps: Sequence[np.ndarray], n_clusters: int | str, seed: int, runs: int = 1) -> Clusters:
    """The consensus of full-covariance Gaussian mixtures, one of each map (n, d) of the same points; none is noise.

    n_clusters: 'auto' takes the K of the lowest BIC of the first map.  runs: of each mixture, with other starts, of
    which the one of the largest likelihood counts.
    """
    x = maps[0]
    if n_clusters == "auto":
        candidates = range(2, min(LARGEST_BIC, len(x) // 2) + 1)
        if not candidates:
            raise InputError(f"{len(x)} examples are too few to find the number of clusters: set --n-clusters")
        n_clusters = candidates[int(bic_scores(x, candidates, seed).argmin())]
    responsibilities = consensus([gaussian_mixture(map, int(n_clusters), seed, runs) for map in maps])
    return Clusters(responsibilities.argmax(1).astype(np.int32), responsibilities)
