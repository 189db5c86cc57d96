"""How well a level of a draw's tree agrees with the other draws, and what clouds without clusters would have.

The terms and the equations are those of clusters.py.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxclust.host import leaves, neighbours
from jaxclust.host.draws import Draw, maps
from jaxclust.host.leaves import Level
from jaxclust.host.neighbours import Nearest

NEIGHBOURS = (15, 10)  # that UMAP looks at, draw by draw in turn
SIMILAR = 1.5  # the most that the numbers of clusters of two levels differ by, as a factor, to be compared
CLOUD, CLOUDS = 2000, 4  # most rows of a cloud without clusters, and how many such clouds
FEW_ROWS = 500  # below which the data differ from another sample as much as clouds do: the highest cloud counts
FEW = 16  # rows below which there is no UMAP


class Scored(NamedTuple):
    """A level with its place (view's name, number of the draw), its agreement with the other draws, and the highest
    score of a cloud without clusters."""

    level: Level
    view: str
    draw: int
    agreement: float
    cloud: float = 0.0

    @property
    def n_clusters(self) -> int:
        """Clusters without the noise."""
        return self.level.n_clusters

    @property
    def score(self) -> float:
        """persistence * agreement, in [0, 1]."""
        return self.level.persistence * self.agreement

    @property
    def excess(self) -> float:
        """What the score has beyond that of a cloud without clusters, as a share of what it can have; at most 1."""
        return (self.score - self.cloud) / max(1 - self.cloud, 1e-6)


class View(NamedTuple):
    """What is known of one representation: its values (n, d), their neighbours, and the draws' maps (n, c)."""

    values: np.ndarray
    near: Nearest | None
    maps: tuple[np.ndarray, ...]


def look(x: np.ndarray, metric: str, draws: int, seed: int, note: Callable[[str], None]) -> View:
    """Neighbours and maps of a representation (n, d); of few rows the values are the only map."""
    return looks([x], metric, draws, [seed], note)[0]


def looks(
    rows: Sequence[np.ndarray], metric: str, draws: int, seeds: Sequence[int], note: Callable[[str], None]
) -> list[View]:
    """`look` at several representations, each with its seed: their draws share the cores."""
    views = []
    for values, seed in zip((neighbours.compared(x, metric) for x in rows), seeds, strict=True):
        few = len(values) < FEW
        near = None if few else neighbours.nearest(values, min(max(NEIGHBOURS), len(values) - 1) - 1, seed)
        views.append(View(values, near, (values,) if few else ()))
    return further(views, draws, seeds, note)


def further(views: Sequence[View], draws: int, seeds: Sequence[int], note: Callable[[str], None]) -> list[View]:
    """The same views with so many draws more, where they have neighbours. Draw i of a view has its seed + i."""
    asked = [
        (place, Draw(view.values, view.near, min(NEIGHBOURS[i % len(NEIGHBOURS)], len(view.values) - 1), seed + i))
        for place, (view, seed) in enumerate(zip(views, seeds, strict=True))
        if view.near is not None
        for i in range(len(view.maps), len(view.maps) + draws)
    ]
    found = list(zip([place for place, _ in asked], maps([draw for _, draw in asked], note), strict=True))
    return [
        view._replace(maps=view.maps + tuple(map for at, map in found if at == place))
        for place, view in enumerate(views)
    ]


def scores(name: str, view: View) -> list[Scored]:
    """The levels of all draws of a view, each with its agreement; a single draw agrees with itself."""
    draws = [leaves.levels(leaves.density_tree(map)) for map in view.maps]
    found = []
    for i, levels in enumerate(draws):
        others = [other for j, other in enumerate(draws) if j != i]
        for level in levels:
            agreed = [agreement(level, other) for other in others] or [1.0]
            found.append(Scored(level, name, i, float(np.mean(agreed))))
    return found


def cloud(view: View, metric: str, draws: int, seed: int) -> float:
    """The score of clouds without clusters that have the view's covariance, of as many rows but at most CLOUD.

    A cloud's score is the mean of its draws' highest ones. Clouds differ more than draws of one do, so there are CLOUDS
    of them, Gaussian and even ones in turn, with two draws each. The kind with the higher mean counts. Of few rows
    there are all draws, and the highest cloud counts.
    """
    x = np.asarray(view.values, np.float64)
    rows = min(len(x), CLOUD)
    draws = draws if rows < FEW_ROWS else min(draws, 2)
    if rows < FEW:
        return 0.0
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], -1))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng, drawn = np.random.default_rng(seed), []
    for i in range(CLOUDS):
        shape, half = (rows, x.shape[1]), np.sqrt(3)  # of an even distribution of variance one
        made = x.mean(0) + (rng.uniform(-half, half, shape) if i % 2 else rng.normal(size=shape)) @ root.T
        drawn.append(made.astype(np.float32))
    found = []
    for seen in looks(drawn, metric, draws, [seed + i for i in range(CLOUDS)], lambda text: None):
        scored = scores("cloud", seen)
        best = [max((one.score for one in scored if one.draw == k), default=0.0) for k in range(len(seen.maps))]
        found.append(float(np.mean(best)))
    if rows < FEW_ROWS:
        return max(found)
    return max(float(np.mean(found[0::2])), float(np.mean(found[1::2])))


def agreement(level: Level, others: Sequence[Level]) -> float:
    """The largest mutual information of a level with those of similarly many clusters in another draw, in [0, 1]."""
    return max((information(level, other) for other in others if similar(level, other)), default=0.0)


def similar(a: Level, b: Level) -> bool:
    """Whether two levels have about as many clusters."""
    return max(a.n_clusters, b.n_clusters) <= SIMILAR * min(a.n_clusters, b.n_clusters)


def information(a: Level, b: Level) -> float:
    """Mutual information of the rows that both call clusters, divided by the mean of the entropies."""
    both = (a.labels >= 0) & (b.labels >= 0)
    if not both.any():
        return 0.0
    cells = a.n_clusters * b.n_clusters
    pairs = np.bincount(a.labels[both].astype(np.intp) * b.n_clusters + b.labels[both], minlength=cells)
    table = pairs.reshape(a.n_clusters, b.n_clusters) / both.sum()
    of_a, of_b = entropy(table.sum(1)), entropy(table.sum(0))
    return max(0.0, 2 * (of_a + of_b - entropy(table)) / max(of_a + of_b, 1e-12))


def entropy(shares: np.ndarray) -> float:
    """-sum p log p, in nats."""
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
