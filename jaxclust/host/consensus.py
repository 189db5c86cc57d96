"""A clustering, and a number of clusters, that lasts over draws of UMAP and over HDBSCAN's min_cluster_size.

One draw of UMAP and one min_cluster_size give a K that depends on luck. So every draw is clustered at every size,
and each clustering votes for its K. K wins by

    votes(K) * agreement(K)^2,    agreement: the mean adjusted Rand index of two clusterings with K clusters,

since a number that comes up often but with other clusters each time is no structure of the data. Where leaf and
excess-of-mass selection are both asked for, leaves vote, and a leaf clustering counts twice where excess of mass
finds as many clusters: on clearly separated data the two coincide, on others excess of mass merges most of the data.
The clustering taken is the medoid of the winners. With one draw, one size and one selection this is HDBSCAN itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import density, mixtures
from jaxclust.host.density import Clusters

LARGEST_BIC = 30  # components up to which a Gaussian mixture looks for its own number


def agreement(labellings: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted Rand index of any two of m labellings (n,), -1 a label as any other: (m, m), ones on the diagonal."""
    from sklearn.metrics import adjusted_rand_score

    m = len(labellings)
    matrix = np.eye(m)
    for i in range(m):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = adjusted_rand_score(labellings[i], labellings[j])
    return matrix


def vote(labellings: Sequence[np.ndarray], votes: Sequence[int]) -> int:
    """The number of clusters, at least two, with the largest votes * agreement^2; 0 if no labelling has two.

    labellings: m times (n,), -1 is noise; votes: of each labelling. A K that comes up once agrees with nothing; among
    equals more votes count, then fewer clusters.
    """

    def rank(k: int) -> tuple[float, int, int]:
        chosen = [i for i, labels in enumerate(labellings) if labels.max() + 1 == k]
        matrix, m = agreement([labellings[i] for i in chosen]), len(chosen)
        mean = (matrix.sum() - m) / max(m * (m - 1), 1)
        cast = sum(votes[i] for i in chosen)
        return cast * mean**2, cast, -k

    return max({k for k in (int(labels.max()) + 1 for labels in labellings) if k >= 2}, key=rank, default=0)


def medoid(labellings: Sequence[np.ndarray]) -> int:
    """Index of the labelling (n,) whose mean adjusted Rand index with the others is largest."""
    return int(agreement(labellings).sum(1).argmax())


def density_clusters(
    draws: Sequence[np.ndarray],
    sizes: Sequence[int],
    n_clusters: int | str,
    selection: str,
    metric: str,
    seed: int,
    note: Callable[[str], None],
) -> Clusters:
    """HDBSCAN of every draw (n, d) at every min_cluster_size, and the clustering that lasts.

    selection: 'leaf', 'eom', or 'both'. With a given `n_clusters`, the medoid of those with that number, or a
    Gaussian mixture where none has it. Raises InputError where fewer than two clusters are found at any size.
    """
    tried = list(product(draws, sizes))

    def cluster(how: str) -> tuple[str, list[np.ndarray], list[int]]:
        found = [density.labels(draw, size, metric, how) for draw, size in tried]
        return how, found, [int(labels.max()) + 1 for labels in found]

    runs = [cluster(how) for how in (("leaf", "eom") if selection == "both" else (selection,))]
    _, voters, counts = runs[0]
    votes = [sum(other[i] == count for _, _, other in runs) for i, count in enumerate(counts)]
    k = vote(voters, votes) if n_clusters == "auto" else int(n_clusters)
    if len(counts) > 1:
        ballot = Counter([count for count, cast in zip(counts, votes, strict=True) for _ in range(cast)])
        note("votes for each number of clusters: " + ", ".join(f"{c}: {cast}" for c, cast in sorted(ballot.items())))
    for how, found, counts in runs:
        chosen = [i for i, count in enumerate(counts) if count == k]
        if chosen and k >= 2:
            draw, size = tried[chosen[medoid([found[i] for i in chosen])]]
            return density.hdbscan(draw, size, metric, how)
    if n_clusters == "auto":
        return density.hdbscan_or_smaller(draws[0], min(sizes), note, metric, runs[0][0])
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
