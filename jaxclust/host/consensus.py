"""A clustering, and a number of clusters, that lasts over draws of UMAP and over HDBSCAN's min_cluster_size.

One draw of UMAP and one min_cluster_size give a K that depends on luck. So every draw is clustered at every size,
and each clustering votes for its K. K wins by

    votes(K) * agreement(K)^2,    agreement: the mean adjusted Rand index of two clusterings with K clusters,

since a number that comes up often but with other clusters each time is no structure of the data. Where leaf and
excess-of-mass selection are both asked for, leaves vote, and a clustering by excess of mass votes too where leaves of
the same draw, at any size, are the same partition: on clearly separated data the two coincide, on others excess of
mass merges most of the data. The clustering taken is the medoid of the winners. With one draw, one size and one
selection this is HDBSCAN itself.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import density, mixtures
from jaxclust.host.density import Clusters

LARGEST_BIC = 30  # components up to which a Gaussian mixture looks for its own number
SAME_PARTITION = 0.95  # adjusted Rand index from which two clusterings count as one


class Candidate(NamedTuple):
    """One run of HDBSCAN: labels (n,), -1 is noise, of draw number `draw` with that min_cluster_size and selection."""

    labels: np.ndarray
    draw: int
    size: int
    selection: str

    @property
    def n_clusters(self) -> int:
        """Clusters without the noise."""
        return int(self.labels.max()) + 1


def agreement(labellings: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted Rand index of any two of m labellings (n,), -1 a label as any other: (m, m), ones on the diagonal."""
    from sklearn.metrics import adjusted_rand_score

    m = len(labellings)
    matrix = np.eye(m)
    for i in range(m):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = adjusted_rand_score(labellings[i], labellings[j])
    return matrix


def elect(voters: Sequence[Candidate]) -> Candidate | None:
    """The medoid of the voters whose K, at least two, has the largest votes * agreement^2; None if no voter has two.

    A K that comes up once agrees with nothing. Among equals more votes count, then fewer clusters.
    """
    best, elected = (-1.0, 0, 0), None
    for k in {voter.n_clusters for voter in voters if voter.n_clusters >= 2}:
        chosen = [voter for voter in voters if voter.n_clusters == k]
        matrix, m = agreement([voter.labels for voter in chosen]), len(chosen)
        mean = (matrix.sum() - m) / max(m * (m - 1), 1)
        rank = (m * mean**2, m, -k)
        if rank > best:
            best, elected = rank, chosen[int(matrix.sum(1).argmax())]
    return elected


def confirmed(candidate: Candidate, others: Sequence[Candidate]) -> bool:
    """Whether one of the others, of the same draw, is the same partition."""
    return any(
        other.draw == candidate.draw
        and other.n_clusters == candidate.n_clusters
        and agreement([other.labels, candidate.labels])[0, 1] >= SAME_PARTITION
        for other in others
    )


def density_clusters(
    draws: Sequence[np.ndarray],
    sizes: Sequence[int],
    n_clusters: int | str,
    selection: str,
    metric: str,
    seed: int,
    note: Callable[[str], None],
) -> Clusters:
    """`lasting`, or a Gaussian mixture of a given `n_clusters` where HDBSCAN finds no clustering of that number.

    Raises InputError where fewer than two clusters are found at any size.
    """
    found = lasting(draws, sizes, n_clusters, selection, metric, note)
    if found is not None:
        return found
    note(f"HDBSCAN finds no {n_clusters} clusters: a Gaussian mixture of {n_clusters} is used")
    return gaussian_clusters(draws[0], n_clusters, seed)


def lasting(
    draws: Sequence[np.ndarray],
    sizes: Sequence[int],
    n_clusters: int | str,
    selection: str,
    metric: str,
    note: Callable[[str], None],
) -> Clusters | None:
    """HDBSCAN of every draw (n, d) at every min_cluster_size, and the clustering that lasts.

    selection: 'leaf', 'eom', or 'both'. With a given `n_clusters`, the medoid of those with that number, None if there
    is none. Raises InputError where fewer than two clusters are found at any size.
    """

    def run(how: str) -> list[Candidate]:
        tried = product(range(len(draws)), sizes)
        return [Candidate(density.labels(draws[i], size, metric, how), i, size, how) for i, size in tried]

    voters, others = (run("leaf"), run("eom")) if selection == "both" else (run(selection), [])
    voters = voters + [other for other in others if confirmed(other, voters)]
    if len(voters) > 1:
        ballot = Counter(voter.n_clusters for voter in voters)
        note("votes for each number of clusters: " + ", ".join(f"{k}: {votes}" for k, votes in sorted(ballot.items())))
    if n_clusters == "auto":
        found = elect(voters)
    else:
        right = [voter for voter in voters if voter.n_clusters == n_clusters]
        found = elect(right or [other for other in others if other.n_clusters == n_clusters])
    if found is not None:
        return density.hdbscan(draws[found.draw], found.size, metric, found.selection)
    if n_clusters == "auto":
        return density.hdbscan_or_smaller(draws[0], min(sizes), note, metric, voters[0].selection)
    return None


def gaussian_clusters(x: np.ndarray, n_clusters: int | str, seed: int, runs: int = 1) -> Clusters:
    """A full-covariance Gaussian mixture of x (n, d), with K of the lowest BIC if it is 'auto'; no point is noise.

    runs: with other starts, of which the one of the largest likelihood counts.
    """
    if n_clusters == "auto":
        candidates = range(2, min(LARGEST_BIC, len(x) // 2) + 1)
        if not candidates:
            raise InputError(f"{len(x)} examples are too few to find the number of clusters: set --n-clusters")
        n_clusters = candidates[int(mixtures.bic_scores(x, candidates, seed).argmin())]
    responsibilities = mixtures.gaussian_mixture(x, int(n_clusters), seed, runs)
    return Clusters(responsibilities.argmax(1).astype(np.int32), responsibilities)
