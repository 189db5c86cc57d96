"""Clusters of clusters: a cluster is divided where its rows, looked at alone, have clear clusters in every draw.

In a map of all rows what is nearest stays together: 3, 5 and 8 are one island of USPS's pixels. In maps of that island
alone they are three. A cluster is divided into p parts where

    each draw of its rows alone has its highest score with p clusters, and
    the mean over these draws of  (score - c) / (1 - c)  is at least NESTED,

c the score of clouds without clusters that have the cluster's own covariance (scores.py). Handwritings of one digit are
parts too: mostly draws differ about their number, or they are hardly clearer than such clouds. They can be clearer, as
ones upright and slanted are; so clusters.py does not ask where all draws of the whole agree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxclust.host.election import elect, mean_excess
from jaxclust.host.memberships import filled, matching, memberships
from jaxclust.host.scores import Scored, View, cloud, further, looks, scores

NESTED = 2 / 3  # at a half, zeros of digits were two clusters in two fits of three
LEAST = 50  # rows of a cluster that is looked at
DRAWS, FIRST = 4, 2  # however few draws the whole has; and how many of these have to agree before there are more

Parts = tuple[np.ndarray, np.ndarray]


class Division(NamedTuple):
    """The parts of a cluster. cluster: its number. rows: (m,) its rows. labels: (m,) int32, their parts.
    memberships: (m, p) float32, rows sum to one."""

    cluster: int
    rows: np.ndarray
    labels: np.ndarray
    memberships: np.ndarray


def divisions(chosen: Scored, view: View, metric: str, seed: int) -> list[Division]:
    """The parts of those clusters of the level that have clear ones; none where the whole has a single draw."""
    rows_of = [np.flatnonzero(chosen.level.labels == cluster) for cluster in range(chosen.n_clusters)]
    large = [cluster for cluster, rows in enumerate(rows_of) if len(rows) >= LEAST and len(view.maps) > 1]
    seeds = [seed + cluster + 1 for cluster in large]
    parts = all_parts([view.values[rows_of[cluster]] for cluster in large], metric, seeds)
    return [
        Division(cluster, rows_of[cluster], *found)
        for cluster, found in zip(large, parts, strict=True)
        if found is not None
    ]


def all_parts(rows: Sequence[np.ndarray], metric: str, seeds: Sequence[int]) -> list[Parts | None]:
    """Of the rows (m, d) of each cluster, with its seed, their clear clusters; None where they have none.

    A cluster whose first draws differ has no others.
    """
    views = looks(rows, metric, FIRST, seeds, _silent)
    kept = [i for i, view in enumerate(views) if agreed(scores("within", view), FIRST)]
    more = further([views[i] for i in kept], DRAWS - FIRST, [seeds[i] for i in kept], _silent)
    found: list[Parts | None] = [None] * len(rows)
    for i, view in zip(kept, more, strict=True):
        found[i] = parts_of(view, metric, seeds[i])
    return found


def parts_of(view: View, metric: str, seed: int) -> Parts | None:
    """Labels (m,) and memberships (m, p) of the clear clusters of a cluster that all draws were made of."""
    if not agreed(scored := scores("within", view), DRAWS):
        return None
    beyond = cloud(view, metric, DRAWS, seed)
    scored = [one._replace(cloud=beyond) for one in scored]
    best = elect(scored, "auto")
    if best is None or mean_excess(scored, {"within": view}) < NESTED:
        return None
    labels = filled(view.maps[best.draw], best.level.labels)
    return labels, memberships(best, matching(best, scored), view)


def _silent(text: str) -> None:
    """No note: there would be one for each draw of each cluster."""


def agreed(scored: Sequence[Scored], draws: int) -> bool:
    """Whether so many draws have their highest scores with one number of clusters."""
    found = {one.draw for one in scored}
    best = [max((one for one in scored if one.draw == draw), key=lambda one: one.score) for draw in found]
    return len(found) == draws and len({one.n_clusters for one in best}) == 1


def number(chosen: Scored, divided: Sequence[Division]) -> int:
    """How many clusters the level has once these are divided."""
    return chosen.n_clusters + sum(division.memberships.shape[1] - 1 for division in divided)


def divided_labels(labels: np.ndarray, divided: Sequence[Division]) -> np.ndarray:
    """Labels (n,) of K clusters and noise with clusters divided: a first part keeps the number, others come last."""
    out, k = labels.copy(), int(labels.max()) + 1
    for division in divided:
        others = division.labels > 0
        out[division.rows[others]] = k + division.labels[others] - 1
        k += division.memberships.shape[1] - 1
    return out


def divided_memberships(member: np.ndarray, divided: Sequence[Division], map: np.ndarray) -> np.ndarray:
    """Memberships (n, K) with those of divided clusters shared out among their parts, in the order of divided_labels.

    A row of another cluster shares them out as the nearest row of the cluster in the map (n, d).
    """
    from scipy.spatial import cKDTree

    first = member.copy()
    columns = [first]
    for division in divided:
        nearest = cKDTree(map[division.rows]).query(map)[1]
        nearest[division.rows] = np.arange(len(division.rows))
        shares = member[:, [division.cluster]] * division.memberships[nearest]
        first[:, division.cluster] = shares[:, 0]
        columns.append(shares[:, 1:])
    return np.concatenate(columns, 1)
