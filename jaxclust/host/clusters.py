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
in every draw. Where draws of its view would take other numbers, a cluster of that level whose rows alone have clear
clusters in every draw is divided (nested.py); a number on which all agree is not doubted. 'coarse' and 'fine' take the
best of the levels of fewer and more clusters, undivided.

A given number K: the clusters of 'auto' where these are K, or are once they are divided; else the level of K clusters
with the highest excess. Where none has K, the next finer level is merged, or the finest one is split: merged are the
two clusters whose union adds the least to the squares within clusters (Ward 1963), split is the one with the most of
them, by 2-means; both in the draw's coordinates.

No clear clusters: the draws' highest excesses are below CLEAR on the mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxclust.errors import InputError
from jaxclust.host import neighbours, nested
from jaxclust.host.election import KEPT_LEVELS, Granularity, by_draw, distinct_levels, elect, mean_excess
from jaxclust.host.leaves import Level
from jaxclust.host.memberships import filled, matching, memberships, one_hot
from jaxclust.host.nested import Division
from jaxclust.host.parts import merged, split
from jaxclust.host.scores import FEW, Scored, View, cloud, look, scores

MARGIN = 0.03  # by which a view after the first has to be better to be taken
CLEAR = 0.25
JITTER = 1e-5  # of the standard deviation: copies of a row are no longer the same
ASKED = 5  # neighbours that say to which cluster a row outside the sample belongs


class Found(NamedTuple):
    """Clusters of n rows.

    labels:      (n,) int32, -1 is noise.
    memberships: (n, K) float32, rows sum to one; the noise rows too.
    levels:      (l, n) int32, other clusterings of the same rows without noise, fewest clusters first.
    told:        plain JSON: 'clear', 'n_clusters', 'score', 'cloud', 'excess', 'view', 'runner_up', 'by_draw',
                 'levels', 'divided': parts by the number of the cluster that is divided; score, cloud and excess are
                 those of the level before.
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
    if n_clusters == "auto":
        chosen, divided = elected(scored, looked, granularity, metric, seed)
    else:
        chosen, divided = with_number(scored, looked, int(n_clusters), metric, seed)
    found = described(chosen, scored, looked, n_clusters, note, divided)
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


def elected(
    scored: Sequence[Scored], views: Mapping[str, View], granularity: Granularity, metric: str, seed: int
) -> tuple[Scored, list[Division]]:
    """The level that is taken where no number is given, and the parts of its clusters; two halves where none is."""
    chosen = elect(scored, granularity)
    if chosen is None:
        return split_whole(views, 2, seed), []
    if granularity != "auto" or unanimous(scored, chosen.view, len(views[chosen.view].maps)):
        return chosen, []
    return chosen, clear_parts(chosen, scored, views, metric, seed)


def unanimous(scored: Sequence[Scored], view: str, draws: int) -> bool:
    """Whether several draws of a view would all take one number of clusters."""
    return draws > 1 and len(set(by_draw(view, scored, draws))) == 1


def clear_parts(
    chosen: Scored, scored: Sequence[Scored], views: Mapping[str, View], metric: str, seed: int
) -> list[Division]:
    """The parts of the clusters of a level; none where the whole has no clear clusters."""
    if mean_excess(scored, views) < CLEAR:
        return []
    return nested.divisions(chosen, views[chosen.view], metric, seed)


def with_number(
    scored: Sequence[Scored], views: Mapping[str, View], n_clusters: int, metric: str, seed: int
) -> tuple[Scored, list[Division]]:
    """K clusters: those of 'auto' or of the best level with K; else the next finer one merged, or the finest split."""
    best = elect(scored, "auto")
    if best is not None and best.n_clusters < n_clusters:
        divided = clear_parts(best, scored, views, metric, seed)
        if nested.number(best, divided) == n_clusters:
            return best, divided
    exact = [one for one in scored if one.n_clusters == n_clusters]
    if exact:
        return max(exact, key=lambda one: one.excess), []
    finer = [one for one in scored if one.n_clusters > n_clusters]
    coarser = [one for one in scored if one.n_clusters < n_clusters]
    if finer:
        nearest = min(finer, key=lambda one: (one.n_clusters, -one.excess))
        change: Callable[..., np.ndarray] = merged
    elif coarser:
        nearest = min(coarser, key=lambda one: (-one.n_clusters, -one.excess))
        change = split
    else:
        return split_whole(views, n_clusters, seed), []
    labels = change(views[nearest.view].maps[nearest.draw], nearest.level.labels, n_clusters, seed)
    return nearest._replace(level=nearest.level._replace(labels=labels, n_clusters=n_clusters)), []


def split_whole(views: Mapping[str, View], n_clusters: int, seed: int) -> Scored:
    """K clusters of the first view's first draw where no draw has any level: all rows, split."""
    name, view = next(iter(views.items()))
    labels = split(view.maps[0], np.zeros(len(view.values), np.int32), n_clusters, seed)
    return Scored(Level(labels, n_clusters, 0.0, 0.0), name, 0, 0.0)


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
    divided: Sequence[Division] = (),
) -> Found:
    """What is found, with memberships, other levels, and how sure it is."""
    view = views[chosen.view]
    member = memberships(chosen, matching(chosen, scored), view)
    kept = distinct_levels(scored)
    if divided:
        member = nested.divided_memberships(member, divided, view.maps[chosen.draw])
        labels = nested.divided_labels(chosen.level.labels, divided)
        chosen = chosen._replace(level=chosen.level._replace(labels=labels, n_clusters=member.shape[1]))
        kept = [chosen, *(one for one in kept if one.n_clusters != chosen.n_clusters)][:KEPT_LEVELS]
    excess = mean_excess(scored, views)
    clear = bool(excess >= CLEAR)
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
        "divided": {str(one.cluster): one.memberships.shape[1] for one in divided},
    }
    if n_clusters == "auto":
        told_of = {name: ", ".join(map(str, by_draw(name, scored, len(v.maps)))) for name, v in views.items()}
        draws = "; ".join(f"{name} {numbers}" for name, numbers in told_of.items())
        note(f"score {chosen.score:.2f}, a cloud without clusters {chosen.cloud:.2f}; clusters by draw: {draws}")
        if not clear:
            note("no clear clusters here: the labels are the most plausible ones")
    for one in divided:
        note(f"{len(one.rows)} rows of one cluster are {one.memberships.shape[1]} clear ones by themselves")
    levels = [filled(views[one.view].maps[one.draw], one.level.labels) for one in kept]
    order = np.argsort([one.n_clusters for one in kept], kind="stable")
    together = np.stack([levels[i] for i in order]) if levels else np.zeros((0, len(view.values)), np.int32)
    return Found(chosen.level.labels, member, together.astype(np.int32), told)


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
        "runner_up": None, "by_draw": {}, "levels": {str(found): 1.0}, "divided": {},
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
