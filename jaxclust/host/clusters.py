"""From codes to clusters, and their number: one way for all methods, without a size that is a share of the data.

    view    a representation of the rows: codes of a network, or whitened inputs      (whitening.py)
    draw    a UMAP of a view; each has another number of neighbours and another seed  (manifold.py)
    level   a clustering of a draw: persistent leaves of its density tree             (leaves.py)

    agreement(a) = mean over the other draws of the view of  max_b NMI(a, b),  b a level with 2/3 to 3/2 of a's clusters
    score(a)     = persistence(a) agreement(a)
    excess(a)    = (score(a) - c) / (1 - c),  c the highest score of clouds without clusters, Gaussian and even ones of
                   the view's covariance: 1 is all that there can be, 0 what such a cloud has too

Mutual information is that of the rows that both call clusters. Each draw has a level that scores highest there. Levels
with about as many clusters as these, within a factor USUAL of their upper median, stand for election, so that no single
draw with a lucky level decides. Of them the level of the highest excess is taken: its clusters are as large as they can
be, leave little out, and come again in draws that saw other neighbours. Several views compete by what they have beyond
such a cloud, as in the gap statistic (Tibshirani et al. 2001): UMAP divides a cloud of few dimensions too, the same way
in every draw. 'coarse' and 'fine' take the best of the levels of fewer and more clusters.

A given number K is taken from the level of that number with the highest score. Where none has it, the next finer level
is merged, or the finest one is split: merged are the two clusters whose union adds the least to the squares within
clusters (Ward 1963), split is the one with the most of them, by 2-means; both in the draw's coordinates.

No clear clusters: the draws' highest excesses are below CLEAR on the mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import neighbours
from jaxclust.host.leaves import Level
from jaxclust.host.parts import merged, split
from jaxclust.host.scores import FEW, Scored, View, cloud, information, look, scores, similar

Granularity = Literal["coarse", "auto", "fine"]

MARGIN = 0.03  # by which a view after the first has to be better to be taken
COARSER = 1.5  # the factor by which 'coarse' and 'fine' differ from 'auto' at least
USUAL = 1.8  # the most that a level's number of clusters differs by, as a factor, from what the draws like
CLEAR = 0.25
JITTER = 1e-5  # of the standard deviation: copies of a row are no longer the same
KEPT_LEVELS = 8
ASKED = 5  # neighbours that say to which cluster a row outside the sample belongs


class Found(NamedTuple):
    """Clusters of n rows.

    labels:      (n,) int32, -1 is noise.
    memberships: (n, K) float32, rows sum to one; the noise rows too.
    levels:      (l, n) int32, other clusterings of the same rows without noise, fewest clusters first.
    told:        plain JSON: 'clear', 'n_clusters', 'score', 'cloud', 'excess', 'view', 'runner_up', 'by_draw',
                 'levels'.
    """

    labels: np.ndarray
    memberships: np.ndarray
    levels: np.ndarray
    told: dict[str, Any]


def find(
    views: Mapping[str, np.ndarray],
    n_clusters: int | str,
    seed: int,
    *,
    draws: int = 4,
    granularity: Granularity = "auto",
    metric: str = "euclidean",
    note: Callable[[str], None] = lambda text: None,
) -> Found:
    """Clusters of the rows, in as many representations (n, d) as there are views.

    n_clusters: a number, at most n / 2; or 'auto'. granularity: of 'auto'. metric: 'euclidean', or 'cosine' of the
    values as they are. Raises InputError for fewer than 4 rows, fewer distinct rows than clusters, or one.
    """
    first = next(iter(views.values()))
    check(first, n_clusters)
    distinct, which = np.unique(first, axis=0, return_inverse=True)
    if len(distinct) < FEW <= len(first):
        return of_copies(distinct, which.reshape(-1), n_clusters, note)
    copies = len(distinct) < len(first)
    looked = {name: look(jittered(x, seed) if copies else x, metric, draws, seed, note) for name, x in views.items()}
    scored = []
    for i, (name, view) in enumerate(looked.items()):
        beyond = cloud(view, metric, draws, seed + 1000 * (i + 1)) + MARGIN * (i > 0)
        scored += [one._replace(cloud=beyond) for one in scores(name, view)]
    asked = None if n_clusters == "auto" else int(n_clusters)
    chosen = elect(scored, granularity) if asked is None else with_number(scored, looked, asked, seed)
    if chosen is None:
        maps = looked[next(iter(views))].maps
        labels = split(maps[0], np.zeros(len(first), np.int32), 2, seed)
        chosen = Scored(Level(labels, 2, 0.0, 0.0), next(iter(views)), 0, 0.0)
    found = described(chosen, scored, looked, n_clusters, note)
    return alike(found, which.reshape(-1)) if copies else found


def check(x: np.ndarray, n_clusters: int | str) -> None:
    """Raises InputError where these rows (n, d) cannot be divided into so many clusters."""
    n = len(x)
    if n_clusters != "auto" and n < 2 * int(n_clusters):
        raise InputError(f"{n} examples are too few for {n_clusters} clusters of two: give more data or a smaller K")
    if n < 4:
        raise InputError(f"{n} examples are too few to find clusters: give at least 4")
    if not np.isfinite(x).all():
        raise InputError("codes are not finite: the training diverged; lower --learning-rate")
    if (x == x[0]).all():
        raise InputError("all examples have the same code: there is nothing to cluster")


def jittered(x: np.ndarray, seed: int) -> np.ndarray:
    """x (n, d) with copies of a row apart by next to nothing."""
    spread = JITTER * np.asarray(x, np.float64).std(0) + np.finfo(np.float32).tiny
    return (x + np.random.default_rng(seed).normal(size=x.shape) * spread).astype(np.float32)


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


def with_number(scored: Sequence[Scored], views: Mapping[str, View], n_clusters: int, seed: int) -> Scored | None:
    """K clusters: the best level that has them; else the next finer one merged, or the finest one split."""
    exact = [one for one in scored if one.n_clusters == n_clusters]
    if exact:
        return max(exact, key=lambda one: one.excess)
    finer = [one for one in scored if one.n_clusters > n_clusters]
    coarser = [one for one in scored if one.n_clusters < n_clusters]
    if finer:
        best = min(finer, key=lambda one: (one.n_clusters, -one.excess))
        change: Callable[..., np.ndarray] = merged
    elif coarser:
        best = min(coarser, key=lambda one: (-one.n_clusters, -one.excess))
        change = split
    else:
        name, view = next(iter(views.items()))
        labels = split(view.maps[0], np.zeros(len(view.values), np.int32), n_clusters, seed)
        return Scored(Level(labels, n_clusters, 0.0, 0.0), name, 0, 0.0)
    labels = change(views[best.view].maps[best.draw], best.level.labels, n_clusters, seed)
    return best._replace(level=best.level._replace(labels=labels, n_clusters=n_clusters))


def alike(found: Found, which: np.ndarray) -> Found:
    """The same with copies of a row, which (n,) says of what, alike: their mean membership and commonest label."""
    k, rows = found.memberships.shape[1], int(which.max()) + 1
    member = np.zeros((rows, k))
    np.add.at(member, which, found.memberships)
    count = np.bincount(which, minlength=rows)
    noise = np.bincount(which, found.labels < 0, minlength=rows) > count / 2
    votes = np.zeros((rows, k))
    known = found.labels >= 0
    np.add.at(votes, (which[known], found.labels[known]), 1)
    labels = np.where(noise, -1, votes.argmax(1)).astype(np.int32)[which]
    first = np.zeros(rows, int)
    first[which[::-1]] = np.arange(len(which))[::-1]
    missing = set(range(k)) - set(labels.tolist())
    if missing:  # copies of one row were several clusters: those stay as they were found
        return found
    member = (member / count[:, None])[which].astype(np.float32)
    return Found(labels, member, found.levels[:, first][:, which], found.told)


def described(
    chosen: Scored,
    scored: Sequence[Scored],
    views: Mapping[str, View],
    n_clusters: int | str,
    note: Callable[[str], None],
) -> Found:
    """What is found, with memberships, other levels, and how sure it is."""
    view = views[chosen.view]
    matches = matching(chosen, scored)
    excess = mean_excess(scored, views)
    clear = bool(excess >= CLEAR)
    kept = distinct_levels(scored)
    others = [one for one in kept if one.n_clusters != chosen.n_clusters]
    told = {
        "clear": clear,
        "n_clusters": chosen.n_clusters,
        "score": round(chosen.score, 4),
        "cloud": round(chosen.cloud, 4),
        "excess": round(excess, 4),
        "view": chosen.view,
        "runner_up": others[0].n_clusters if others else None,
        "by_draw": {name: by_draw(name, scored, len(v.maps)) for name, v in views.items()},
        "levels": {str(one.n_clusters): round(one.score, 4) for one in sorted(kept, key=lambda one: one.n_clusters)},
    }
    if n_clusters == "auto":
        told_of = {name: ", ".join(map(str, by_draw(name, scored, len(v.maps)))) for name, v in views.items()}
        draws = "; ".join(f"{name} {numbers}" for name, numbers in told_of.items())
        note(f"score {chosen.score:.2f}, a cloud without clusters {chosen.cloud:.2f}; clusters by draw: {draws}")
        if not clear:
            note("no clear clusters here: the labels are the most plausible ones")
    levels = [filled(views[one.view].maps[one.draw], one.level.labels) for one in kept]
    order = np.argsort([one.n_clusters for one in kept], kind="stable")
    together = np.stack([levels[i] for i in order]) if levels else np.zeros((0, len(view.values)), np.int32)
    return Found(chosen.level.labels, memberships(chosen, matches, view), together.astype(np.int32), told)


def matching(chosen: Scored, scored: Sequence[Scored]) -> list[Level]:
    """Of each other draw of the view the level that agrees most with the chosen one."""
    found = []
    for draw in sorted({one.draw for one in scored if one.view == chosen.view} - {chosen.draw}):
        levels = [one.level for one in scored if (one.view, one.draw) == (chosen.view, draw)]
        alike = [level for level in levels if similar(level, chosen.level)]
        if alike:
            found.append(max(alike, key=lambda level: information(chosen.level, level)))
    return found


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


def filled(map: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels (n,) without noise: those of the nearest row in the map (n, d) that has one."""
    from scipy.spatial import cKDTree

    known = labels >= 0
    if known.all():
        return labels
    out = labels.copy()
    out[~known] = labels[known][cKDTree(map[known]).query(map[~known])[1]]
    return out


def memberships(chosen: Scored, matches: Sequence[Level], view: View) -> np.ndarray:
    """How often the draws, and a row's neighbours, say each cluster: (n, K) float32, rows sum to one.

    A cluster of another draw stands for the chosen one that it shares most rows with.
    """
    n_clusters = chosen.n_clusters
    map = view.maps[chosen.draw]
    votes = one_hot(filled(map, chosen.level.labels), n_clusters)
    for other in matches:
        both = (chosen.level.labels >= 0) & (other.labels >= 0)
        table = np.zeros((other.n_clusters, n_clusters))
        np.add.at(table, (other.labels[both], chosen.level.labels[both]), 1)
        stands_for = np.append(np.where(table.any(1), table.argmax(1), -1), -1)
        votes += one_hot(stands_for[other.labels], n_clusters)
    if view.near is not None:
        votes = votes / votes.sum(1, keepdims=True)
        around = np.zeros_like(votes)
        for place in view.near.index.T:
            around += votes[place]
        votes += around / len(view.near.index.T)
    return (votes / votes.sum(1, keepdims=True)).astype(np.float32)


def one_hot(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """(n,) -> (n, K) float32; rows of -1 are zero."""
    return (labels[:, None] == np.arange(n_clusters)).astype(np.float32)


def of_copies(distinct: np.ndarray, which: np.ndarray, n_clusters: int | str, note: Callable[[str], None]) -> Found:
    """Where many rows are copies of few, each of these is a cluster; where fewer are asked for the nearest join."""
    k = len(distinct)
    if n_clusters != "auto" and int(n_clusters) > k:
        raise InputError(f"there are {k} distinct examples, fewer than {n_clusters} clusters: ask for fewer")
    labels = which.astype(np.int32)
    if n_clusters != "auto":
        labels = merged(distinct[which].astype(np.float64), labels, int(n_clusters))
    found = int(labels.max()) + 1
    note(f"{k} distinct rows among {len(which)}: {found} clusters")
    told = {
        "clear": True, "n_clusters": found, "score": 1.0, "cloud": 0.0, "excess": 1.0, "view": "copies",
        "runner_up": None, "by_draw": {}, "levels": {str(found): 1.0},
    }  # fmt: skip
    return Found(labels, one_hot(labels, found), labels[None], told)


def extended(found: Found, known: np.ndarray, others: np.ndarray) -> Found:
    """The same for rows outside the sample, (m, d), by their nearest ones in it, (n, d): those of the others alone.

    A row is noise where most of its nearest ones are; memberships are their mean, a level is their majority.
    """
    near = neighbours.nearest_of(others, known, min(ASKED, len(known))).index
    member = found.memberships[near].mean(1)
    noise = (found.labels[near] < 0).mean(1) > 0.5
    labels = np.where(noise, -1, member.argmax(1)).astype(np.int32)
    levels = found.levels[:, near[:, 0]]
    return Found(labels, member, levels, found.told)
