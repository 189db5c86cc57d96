"""The contract of a method: what it is called, what it fits, and what can be done with that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxclust.typing import Array, Key, PyTree


@dataclass(frozen=True, kw_only=True)
class Functions:
    """What a fitted model can do: pure functions of its arrays. `images` are prepared: (n, side, side, c) uint8
    or float32 in [0, 1], or (n, d) float32 features. None where a method has no such thing.

    embed:         (arrays, images) -> (n, d).
    log_posterior: (arrays, images) -> (n, K), normalised over K.
    sample:        (arrays, key, n, cluster) -> (n, ...) images in [0, 1] or features; n is static,
                   cluster a () int32 array.
    reconstruct:   (arrays, images) -> (n, ...), each by its own cluster's network.
    second_opinion: (arrays, images) -> (n,) int32, labels by another criterion (the lowest reconstruction error).
    decode:        (arrays, latent (n, d), cluster) -> (n, ...): for latent walks.
    centroids:     arrays -> (K, d), which `decode` takes whatever the cluster.
    between:       (arrays, shares (n, K), convex combinations of clusters) -> (n, d), which `decode` takes: where a
                   network makes a cluster's latent vector of its number.
    generate:      (arrays, key, n) -> (n, ...), drawn from the model's prior, of whatever cluster; n is static.
    embed_group:   (arrays, images, group) -> (n, d_group): codes of one of several latent groups; group is static.
    """

    embed: Callable[[PyTree, Array], Array]
    log_posterior: Callable[[PyTree, Array], Array]
    sample: Callable[[PyTree, Key, int, Array], Array] | None = None
    reconstruct: Callable[[PyTree, Array], Array] | None = None
    second_opinion: Callable[[PyTree, Array], Array] | None = None
    decode: Callable[[PyTree, Array, Array], Array] | None = None
    centroids: Callable[[PyTree], Array] | None = None
    between: Callable[[PyTree, Array], Array] | None = None
    generate: Callable[[PyTree, Key, int], Array] | None = None
    embed_group: Callable[[PyTree, Array, int], Array] | None = None


class Model(NamedTuple):
    """A fitted model: `meta` (plain JSON) says how to rebuild `functions`, `arrays` is a tree of arrays."""

    meta: Mapping[str, Any]
    arrays: PyTree
    functions: Functions


class Result(NamedTuple):
    """What a method's `fit` returns about the n examples that it saw (K clusters).

    model:         the fitted model.
    labels:        (n,) int32 in [0, K), the model's own argmax.
    probabilities: (n, K) float32, rows sum to one.
    noise:         (n,) bool, points that the density clustering left out (all False if the method has none).
    embedding:     (n, d) float32.
    opinions:      other labellings by name, (n,) int32 each: 'first', of the clusters on the host (-1 is noise),
                   'manager', 'reconstruction', 'nearest_centroid', 'restart_0', ...
    summary:       plain JSON: n_clusters, latent_dim, expert_latent_dims (None where there is none), ...
    plots:         arrays for figures, by name: 'explained_variance' (d,), 'map' (m, 2) with 'map_index' (m,), ...
    levels:        (l, n) int32, other clusterings by the same tree, fewest clusters first; None where there is none.
    """

    model: Model
    labels: np.ndarray
    probabilities: np.ndarray
    noise: np.ndarray
    embedding: np.ndarray
    opinions: dict[str, np.ndarray]
    summary: dict[str, Any]
    plots: dict[str, np.ndarray]
    levels: np.ndarray | None = None


PRESETS = ("quick", "full", "paper")


def presets(quick: Any, full: Any = None, papers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A method's presets, by name. 'paper' is the config's defaults.

    quick: for a small CPU. full: for a TPU or GPU; unset, the same. papers: what the text states for single sets of
    data, by their names: 'paper:usps'.
    """
    named = {f"paper:{name}": config for name, config in (papers or {}).items()}
    return {"quick": quick, "full": full or quick, "paper": type(quick)(), **named}


class Method(NamedTuple):
    """A method, as the registry, the command line and the estimators see it.

    name:    'moe-vae'.
    title:   one line for `jaxclust methods`.
    source:  author, title, year.
    Config:  a frozen dataclass whose defaults are the paper's values (preset 'paper').
    presets: name -> Config, with 'quick', 'full' and 'paper'.
    fit:     (shared.job.Job) -> Result. It sees prepared examples, and no labels.
    restore: (meta) -> Functions, the inverse of what `fit` put into Model.meta.
    warm:    whether it has networks that may begin as those of a fitted model (`init_from`).
    """

    name: str
    title: str
    source: str
    Config: type
    presets: Mapping[str, Any]
    fit: Callable[..., Result]
    restore: Callable[[Mapping[str, Any]], Functions]
    warm: bool = True
