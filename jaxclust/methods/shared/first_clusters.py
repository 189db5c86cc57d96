"""First clusters on the host between two trainings: settings, what is looked at, a bounded sample, all rows in the end.

'leaves' finds them and their number (host/clusters.py). It looks at the codes of a network, and of at most FEW examples
at their whitened inputs too: networks learn little from few examples, and where a code has fewer dimensions than the
data have principal components, some of what tells clusters apart is not in it. For features such a code is not looked
at at all. 'hdbscan' and 'gmm' are the texts' rules, on one UMAP of the codes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxclust.host import clusters, density, manifold, mixtures, sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.host.whitening import whitened
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.settings import Settings
from jaxclust.typing import Key

FEW = 5000  # examples up to which whitened inputs are looked at beside the codes

Values = Callable[[np.ndarray], np.ndarray]  # rows (m,) -> what is known of them, (m, d)


@dataclass(frozen=True)
class ClustersConfig(Settings):
    """Settings of first clusters by persistent leaves (host/clusters.py)."""

    n_clusters: int | Literal["auto"] = "auto"
    """Number of clusters K; 'auto' finds it."""
    granularity: Literal["coarse", "auto", "fine"] = "auto"
    """Which of the numbers of clusters that the data hold is found."""
    draws: int = 4
    """Draws of UMAP whose clusters are compared."""
    max_samples: int = 20_000
    """Most examples that UMAP and the density tree see; the others follow their nearest ones."""


@dataclass(frozen=True)
class MapConfig(ClustersConfig):
    """The same with the texts' rules."""

    clusterer: Literal["leaves", "hdbscan", "gmm"] = "hdbscan"
    """What finds the first clusters: persistent leaves over several UMAPs; HDBSCAN of one; or a Gaussian
    mixture, K by BIC, of several UMAPs what their mixtures agree on (the texts: of one)."""
    umap_metric: Literal["manhattan", "euclidean", "cosine"] = "euclidean"
    """Metric of UMAP and HDBSCAN; 'manhattan' goes with L1-normalised codes."""
    umap_neighbors: int | Literal["auto"] = "auto"
    """UMAP's n_neighbors for 'hdbscan' and 'gmm'; 'auto' is n // 300, from 10 to 100."""
    umap_components: int | Literal["latent"] = "latent"
    """Components of that UMAP; 'latent' is as many as the codes have."""
    umap_min_dist: float = 0.1
    """Its min_dist."""
    umap_epochs: int | None = None
    """Epochs of its layout; unset, UMAP's own choice (500 up to 10,000 points, then 200)."""
    min_cluster_share: float = 0.02
    """HDBSCAN's min_cluster_size as a share of the sample (the text's N // 50)."""
    min_samples: int = 10
    """HDBSCAN's min_samples, which the text does not state."""
    selection: Literal["leaf", "eom"] = "leaf"
    """HDBSCAN's cluster selection."""
    mixture_runs: int = 1
    """Starts of the Gaussian mixture, of which the likeliest counts."""


def first_clusters(
    job: Job[Any],
    codes: Values,
    *,
    inputs: Values | None = None,
    key: Key | None = None,
    name: str = "clusters",
    n_clusters: int | str | None = None,
    metric: str = "euclidean",
) -> Found:
    """Clusters of all examples in a phase called `name`: kept by the run, labels and memberships for all of them.

    job: its config has the fields of ClustersConfig, or of MapConfig.  codes, inputs: rows (m,) -> their values (m, d).
    key, n_clusters: instead of the job's and the config's.
    """
    config, n, key = job.config, job.n, job.key if key is None else key
    asked = config.n_clusters if n_clusters is None else n_clusters

    def solve() -> dict[str, np.ndarray]:
        rows = sampling.sample(n, config.max_samples, seeds.seed(key, "sample"))
        known = codes(rows)
        by_leaves = getattr(config, "clusterer", "leaves") == "leaves"
        also = inputs(rows) if inputs is not None and by_leaves and len(rows) <= FEW else None
        looked = views(known, also, job.are_features)
        found = found_of(config, looked, asked, key, name=name, metric=metric, note=job.note)
        return packed(whole(found, rows, n, known, codes))

    found = unpacked(job.compute(name, solve))
    job.note(f"{found.memberships.shape[1]} clusters, {np.mean(found.labels < 0):.1%} of the examples in none")
    return found


def found_of(
    config: Any,
    looked: Mapping[str, np.ndarray],
    n_clusters: int | str,
    key: Key,
    *,
    name: str = "clusters",
    metric: str = "euclidean",
    note: Callable[[str], None] = lambda text: None,
) -> Found:
    """Clusters of m examples by what `config` asks for. looked: `views` of them."""
    if getattr(config, "clusterer", "leaves") != "leaves":
        return on_one_map(config, looked["codes"], n_clusters, key, note)
    seed = seeds.seed(key, name)
    given = {"draws": config.draws, "granularity": config.granularity, "metric": metric, "note": note}
    return clusters.find(looked, n_clusters, seed, **given)


def views(codes: np.ndarray, inputs: np.ndarray | None, features: bool) -> dict[str, np.ndarray]:
    """The representations (m, d) that are looked at, by name: codes, whitened inputs, or both."""
    if inputs is None:
        return {"codes": codes}
    white = whitened(inputs)
    if white.shape[1] <= codes.shape[1]:
        return {"codes": codes}
    return {"inputs": white} if features else {"codes": codes, "inputs": white}


def on_one_map(config: Any, codes: np.ndarray, n_clusters: int | str, key: Key, note: Callable[[str], None]) -> Found:
    """The texts' rules: one UMAP of codes (m, d), and HDBSCAN or a Gaussian mixture of its coordinates.

    Where HDBSCAN does not find the number that is asked for, a mixture of that number is used. A mixture is the
    consensus of those of `draws` UMAPs.
    """
    clusters.check(codes, n_clusters)
    values = manifold.l1_normalise(codes) if config.umap_metric == "manhattan" else codes
    components = codes.shape[1] if config.umap_components == "latent" else min(config.umap_components, codes.shape[1])
    neighbors = manifold.n_neighbors(len(codes)) if config.umap_neighbors == "auto" else config.umap_neighbors
    options = (config.umap_metric, neighbors, config.umap_min_dist, config.umap_epochs)

    def draw(number: int) -> np.ndarray:
        return manifold.umap(values, components, seeds.seed(key, f"umap{number}"), *options)

    map, found = draw(0), None
    if config.clusterer == "hdbscan":
        size = max(2, round(config.min_cluster_share * len(codes)))
        given = (config.umap_metric, config.selection, config.min_samples)
        if n_clusters == "auto":
            found = density.hdbscan_or_smaller(map, size, note, *given)
        else:
            found = density.hdbscan(map, size, *given)
            if found.memberships.shape[1] != n_clusters:
                note(f"HDBSCAN finds no {n_clusters} clusters: a Gaussian mixture of {n_clusters} is used")
                found = None
    if found is None:
        maps = [map, *(draw(number) for number in range(1, config.draws))]
        found = mixtures.gaussian_clusters(maps, n_clusters, seeds.seed(key, "gmm"), config.mixture_runs)
    told = {"clear": None, "n_clusters": found.memberships.shape[1], "by": config.clusterer}
    return Found(found.labels, found.memberships, np.zeros((0, len(codes)), np.int32), told)


def whole(found: Found, rows: np.ndarray, n: int, known: np.ndarray, codes: Values) -> Found:
    """What is found of the sorted rows (m,), whose codes are `known` (m, d), carried over to all n."""
    if len(rows) == n:
        return found
    rest = np.setdiff1d(np.arange(n), rows)
    others = clusters.extended(found, known, codes(rest))
    labels = np.empty(n, np.int32)
    member = np.empty((n, found.memberships.shape[1]), np.float32)
    levels = np.empty((len(found.levels), n), np.int32)
    for part, at in ((found, rows), (others, rest)):
        labels[at], member[at], levels[:, at] = part.labels, part.memberships, part.levels
    return Found(labels, member, levels, found.told)


def packed(found: Found) -> dict[str, np.ndarray]:
    """As arrays that .npz holds; what is told as the bytes of its JSON."""
    return {**found._asdict(), "told": np.frombuffer(json.dumps(found.told).encode(), np.uint8)}


def unpacked(arrays: Mapping[str, np.ndarray]) -> Found:
    """The inverse of `packed`."""
    told = json.loads(np.asarray(arrays["told"], np.uint8).tobytes())
    return Found(arrays["labels"], arrays["memberships"], arrays["levels"], told)
