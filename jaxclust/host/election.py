"""Which level of the draws' trees is taken. The terms and the equations are those of clusters.py."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from jaxclust.host.scores import Scored, View

Granularity = Literal["coarse", "auto", "fine"]

COARSER = 1.5  # the factor by which 'coarse' and 'fine' differ from 'auto' at least
USUAL = 1.8  # the most that a level's number of clusters differs by, as a factor, from what the draws like
KEPT_LEVELS = 8


def elect(scored: Sequence[Scored], granularity: Granularity) -> Scored | None:
    """The usual level of the highest excess; 'coarse' and 'fine': the best with fewer, or more, clusters than it."""
    best = max(usual(scored), key=lambda one: one.excess, default=None)
    if best is None or granularity == "auto":
        return best
    if granularity == "coarse":
        rest = [one for one in scored if one.n_clusters * COARSER <= best.n_clusters]
    else:
        rest = [one for one in scored if one.n_clusters >= best.n_clusters * COARSER]
    return max(rest, key=lambda one: one.excess, default=best)


def usual(scored: Sequence[Scored]) -> list[Scored]:
    """Of each view the levels with about as many clusters as its draws like, by the upper median of their best ones.

    Upper, so that of two draws that differ one is taken as it is, and not a number between that no draw likes.
    """
    kept: list[Scored] = []
    for view in dict.fromkeys(one.view for one in scored):
        levels = [one for one in scored if one.view == view]
        of_draws = [[one for one in levels if one.draw == draw] for draw in {one.draw for one in levels}]
        liked = sorted(max(of_draw, key=lambda one: one.excess).n_clusters for of_draw in of_draws)
        middle = liked[len(liked) // 2]
        kept += [one for one in levels if middle / USUAL <= one.n_clusters <= middle * USUAL]
    return kept


def best_by_draw(name: str, scored: Sequence[Scored], draws: int) -> list[Scored | None]:
    """The level that each draw of a view would take."""
    return [elect([one for one in scored if (one.view, one.draw) == (name, i)], "auto") for i in range(draws)]


def by_draw(name: str, scored: Sequence[Scored], draws: int) -> list[int | None]:
    """The number of clusters that each draw of a view would take."""
    return [None if one is None else one.n_clusters for one in best_by_draw(name, scored, draws)]


def mean_excess(scored: Sequence[Scored], views: Mapping[str, View]) -> float:
    """The mean of the draws' highest excesses in the view of the best level: a cloud's score is such a mean too."""
    best = elect(scored, "auto")
    if best is None:
        return 0.0
    of_draws = best_by_draw(best.view, scored, len(views[best.view].maps))
    return float(np.mean([0.0 if one is None else one.excess for one in of_draws]))


def distinct_levels(scored: Sequence[Scored]) -> list[Scored]:
    """The elected level and those of the highest excess, best first, no two of them with about as many clusters."""
    kept: list[Scored] = []
    elected = [] if (best := elect(scored, "auto")) is None else [best]
    for one in elected + sorted(scored, key=lambda one: -one.excess):
        apart = all(max(one.n_clusters, k.n_clusters) >= COARSER * min(one.n_clusters, k.n_clusters) for k in kept)
        if apart and len(kept) < KEPT_LEVELS:
            kept.append(one)
    return kept
