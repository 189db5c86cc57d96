"""A clustering, and a number of clusters, that lasts over draws of UMAP and over HDBSCAN's min_cluster_size.

One draw of UMAP and one min_cluster_size give a K that depends on luck. So every draw is clustered at every size,
by leaf and by excess-of-mass selection. The K that comes up most often wins, and of the clusterings with that K the
one that agrees best with the others of the same K is taken (the medoid by adjusted Rand index). With one draw, one
size and one selection this is HDBSCAN itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import density, mixtures
from jaxclust.host.density import Clusters

LARGEST_BIC = 30  # components up to which a Gaussian mixture looks for its own number


def vote(counts: Sequence[int]) -> int:
    """The number of clusters, at least two, that comes up most often; 0 if there is none.

    Those within a tenth of the most votes count as equally frequent, and of these the fewest clusters are taken.
    """
    votes = Counter(k for k in counts if k >= 2)
    return min((k for k, v in votes.items() if v >= 0.9 * max(votes.values())), default=0)


def medoid(labellings: Sequence[np.ndarray]) -> int:
    """Index of the labelling (n,) whose mean adjusted Rand index with the others is largest."""
    from sklearn.metrics import adjusted_rand_score

    m = len(labellings)
    agreement = np.zeros((m, m))
    for i in range(m):
        for j in range(i):
            agreement[i, j] = agreement[j, i] = adjusted_rand_score(labellings[i], labellings[j])
    return int(agreement.sum(1).argmax())


def density_clusters(
    draws: Sequence[np.ndarray],
    sizes: Sequence[int],
    n_clusters: int | str,
    selections: Sequence[str],
    metric: str,
    seed: int,
    note: Callable[[str], None],
) -> Clusters:
    """HDBSCAN of every draw (n, d) at every min_cluster_size and selection, and the clustering that lasts.

    With a given `n_clusters`, the medoid of those with that number, or a Gaussian mixture where none has it.
    Raises InputError where fewer than two clusters are found at any size.
    """
    tried = list(product(draws, sizes, selections))
    labellings = [density.labels(draw, size, metric, selection) for draw, size, selection in tried]
    counts = [int(labels.max()) + 1 for labels in labellings]
    k = vote(counts) if n_clusters == "auto" else int(n_clusters)
    if len(counts) > 1:
        votes = ", ".join(f"{k}: {v}" for k, v in sorted(Counter(counts).items()))
        note(f"numbers of clusters over {len(counts)} clusterings (K: times): {votes}")
    chosen = [i for i, count in enumerate(counts) if count == k]
    if chosen:
        draw, size, selection = tried[chosen[medoid([labellings[i] for i in chosen])]]
        return density.hdbscan(draw, size, metric, selection)
    if n_clusters == "auto":
        return density.hdbscan_or_smaller(draws[0], min(sizes), note, metric, selections[0])
    note(f"HDBSCAN finds no {k} clusters: a Gaussian mixture of {k} is used")
    return gaussian_clusters(draws[0], k, seed)


def gaussian_clusters(x: np.ndarray, n_clusters: int | str, seed: int) -> Clusters:
    """A full-covariance Gaussian mixture of x (n, d), with K of the lowest BIC if it is 'auto'; no point is noise."""
    if n_clusters == "auto":
        candidates = range(2, min(LARGEST_BIC, len(x) // 2) + 1)
        if not candidates:
            raise InputError(f"{len(x)} examples are too few to find the number of clusters: set --n-clusters")
        n_clusters = candidates[int(mixtures.bic_scores(x, candidates, seed).argmin())]
    responsibilities = mixtures.gaussian_mixture(x, int(n_clusters), seed)
    return Clusters(responsibilities.argmax(1).astype(np.int32), responsibilities)
