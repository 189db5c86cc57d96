"""Fit a method to data and use what was fitted on data: everything in memory, no run directory.

`images` are standard data, which `data.sources.load` gives: (n, h, w, c) uint8 or float32, or (n, d) float32 features.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import outliers
from jaxclust.data import prepare
from jaxclust.data.rows import Images, blocks
from jaxclust.errors import InputError, nearest
from jaxclust.levels import Levels, labels_at, of_labels
from jaxclust.methods import find
from jaxclust.methods.base import Method, Model, Result
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.settings import choices
from jaxclust.metrics import clustering
from jaxclust.numerics import usual_settings
from jaxclust.outliers import Outliers
from jaxclust.train import warm
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.phases import Phases
from jaxclust.typing import Array, PyTree

log = logging.getLogger(__name__)

AGAINST_CLASSES = ("acc", "acc_labelled", "nmi", "ari", "homogeneity", "completeness")


class Fitted(NamedTuple):
    """A fitted model with all that it takes to use it on standard data.

    method: its name.  config: the method's config as plain JSON.  preprocess: standard data -> input of the model.
    levels: coarser and finer clusterings, where the method has them.  cluster_names: what a user calls the clusters, ''
    for those without a name; or empty.  outliers: statistics of the examples of the fit; None of a model that was saved
    without them.
    """

    method: str
    config: Mapping[str, Any]
    preprocess: prepare.Preprocess
    n_clusters: int
    model: Model
    levels: Levels | None = None
    cluster_names: tuple[str, ...] = ()
    outliers: Outliers | None = None


class Assignments(NamedTuple):
    """What is kept about the n examples of a fit: as in `Result`; reconstruction (n,) is None if there is none.

    names, named: of the examples, as in `Dataset`.
    typicality: (n,) float32, see outliers.py; None where it is not known.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    noise: np.ndarray
    embedding: np.ndarray
    reconstruction: np.ndarray | None
    names: np.ndarray | None = None
    named: str = "name"
    typicality: np.ndarray | None = None


@dataclass(frozen=True)
class Request:
    """A method, its config (an instance of method.Config) and the seed."""

    method: Method
    config: Any
    seed: int = 0


@usual_settings()
def prepared(config: Any, images: Images) -> tuple[prepare.Preprocess, Images]:
    """How standard data is prepared, and the prepared data. Raises InputError if it does not suit `config`."""
    check_config(config)
    check_n_clusters(getattr(config, "n_clusters", "auto"), len(images))
    likelihood, scaling = getattr(config, "likelihood", "auto"), getattr(config, "scaling", "standard")
    preprocess = prepare.plan(images, likelihood=likelihood, scaling=scaling)
    check_distinct(getattr(config, "n_clusters", "auto"), images)
    return preprocess, prepare.apply(preprocess, images)


def check_n_clusters(n_clusters: int | str, n: int) -> None:
    """Raises InputError for a number of clusters that n examples cannot have."""
    if n < 2:
        raise InputError(f"the data holds {n} example: clustering needs at least 2")
    if isinstance(n_clusters, str):
        return
    if n_clusters < 2:
        raise InputError(f"n_clusters is {n_clusters}: give at least 2, or auto")
    if n_clusters > n:
        raise InputError(f"n_clusters is {n_clusters} but there are only {n} examples: give fewer clusters")


def check_distinct(n_clusters: int | str, images: Images) -> None:
    """Raises InputError where fewer examples differ than there shall be clusters. It looks until it has seen enough."""
    if isinstance(n_clusters, str):
        return
    seen: set[bytes] = set()
    for _, block in blocks(images):
        for row in block:
            seen.add(np.ascontiguousarray(row).tobytes())
            if len(seen) >= n_clusters:
                return
    raise InputError(
        f"n_clusters is {n_clusters} but only {len(seen)} of the {len(images)} examples differ: give fewer clusters"
    )


def check_config(config: Any) -> None:
    """Raises InputError for a field whose value is not of the kind that its dataclass states (choices, numbers)."""
    check_values(type(config), {field.name: getattr(config, field.name) for field in fields(config)})


def check_values(kind: type, values: Mapping[str, Any]) -> None:
    """The same for some fields of a config of that kind, before there is one."""
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _is_kind(value, hints[name]):
            near = nearest(value, choices(hints[name])) if isinstance(value, str) else ""
            raise InputError(f"{name} is {value!r}: give {' | '.join(_words(hints[name]))}{near}")


def check_count(name: str, value: int, least: int) -> None:
    """Raises InputError for what is no whole number of at least that."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}: give a whole number of at least {least}")


def check_seed(seed: int) -> None:
    """Raises InputError for a seed that is no key."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed!r}: give a whole number from 0 to 2^32 - 1")


@usual_settings()
def fit(request: Request, images: Images, preprocess: prepare.Preprocess, phases: Phases) -> Result:
    """The method on prepared images. Raises InputError where fewer than two clusters come out."""
    job = Job(request.config, images, preprocess, jax.random.key(request.seed), phases)
    result = request.method.fit(job)
    if phases.start is not None and not phases.taken:
        log.warning("%s: none of its networks suits this fit, which began anew", phases.start.origin)
    if result.probabilities.shape[1] < 2:
        raise InputError("one cluster was found: give the number that you expect with --n-clusters")
    return result


def start_of(before: Fitted, origin: str, request: Request, preprocess: prepare.Preprocess) -> warm.Start:
    """The networks of a fitted model, for `request` to begin with: what has the same name and shape is taken.

    origin: what lines call it. Raises InputError where a method has no networks, or the examples have another shape.
    """
    for name in (before.method, request.method.name):
        if not find(name).warm:
            raise InputError(f"init_from {origin}: {name} has no networks to begin with: leave init_from out")
    was, now = before.preprocess, preprocess
    if (was.kind, was.shape) != (now.kind, now.shape):
        raise InputError(
            f"init_from {origin}: was fitted to {_form(was)}, the data are {_form(now)}: give a model of such data"
        )
    return warm.Start.of(origin, before.model.arrays)


def _form(preprocess: prepare.Preprocess) -> str:
    """What an example is, once prepared."""
    if preprocess.kind == "features":
        return f"features of {preprocess.n_features} columns"
    side, _, channels = preprocess.shape
    return f"images of {side}x{side}x{channels} (padded)"


def fitted(request: Request, preprocess: prepare.Preprocess, result: Result) -> Fitted:
    """What is needed to use `result` on new data."""
    levels = None
    if result.levels is not None:
        levels = of_labels(result.levels, result.labels, result.embedding)
    n_clusters = result.probabilities.shape[1]
    known = outliers.of_fit(result.embedding, result.probabilities)
    return Fitted(
        request.method.name, asdict(request.config), preprocess, n_clusters, result.model, levels, outliers=known
    )


def assignments(result: Result) -> Assignments:
    """What is kept of `result` about the examples."""
    opinion = result.opinions.get("reconstruction")
    return Assignments(result.labels, result.probabilities, result.noise, result.embedding, opinion)


@usual_settings()
def predict_proba(fitted: Fitted, images: Images) -> np.ndarray:
    """Probabilities (n, K) float32 of images (n, h, w, c) or features (n, d), each independent of the others."""
    log_posterior = _apply(fitted, fitted.model.functions.log_posterior, images)
    return np.exp(log_posterior, out=log_posterior)


def predict_at(fitted: Fitted, images: Images, n_clusters: int) -> np.ndarray:
    """Labels (n,) int32 of images or features by the level with that number of clusters."""
    labels = predict_proba(fitted, images).argmax(1)
    return labels_at(fitted.levels, n_clusters, labels, embed(fitted, images))


@usual_settings()
def embed(fitted: Fitted, images: Images, group: int | None = None) -> np.ndarray:
    """Embedding (n, d) float32 of images or features; of one latent group, where the method has several."""
    if group is None:
        return _apply(fitted, fitted.model.functions.embed, images)
    function, groups = _offered(fitted, "embed_group"), fitted.config["groups"]
    if not 0 <= group < groups:
        raise InputError(f"group {group} does not exist: choose one of 0 to {groups - 1}")
    return _apply(fitted, partial(function, group=group), images)


def typicality(fitted: Fitted, images: Images, probabilities: np.ndarray | None = None) -> np.ndarray:
    """How typical images or features are of their clusters, (n,) float32 in (0, 1], each independent of the others.

    See outliers.py. probabilities: what `predict_proba` gave, where that is known. Raises InputError for a model that
    was saved without statistics of its examples.
    """
    known = known_outliers(fitted)
    found = predict_proba(fitted, images) if probabilities is None else probabilities
    return outliers.typicality(known, embed(fitted, images), found)


def known_outliers(fitted: Fitted) -> Outliers:
    """The statistics of the examples of the fit. Raises InputError for a model that was saved without them."""
    if fitted.outliers is None:
        raise InputError(
            f"this model of {fitted.method} has no statistics of its examples: fit again, or put embedding.npy "
            "and probabilities.npy of its run beside the folder model"
        )
    return fitted.outliers


@usual_settings()
def reconstruct(fitted: Fitted, images: Images) -> np.ndarray:
    """Images as the model gives them back, (n, h, w, c) in [0, 1]; or features (n, d) in their own units.

    Where rows were scaled to length one (scaling 'unit'), that is their unit: their own lengths are not known.
    """
    return _raw(fitted, _apply(fitted, _offered(fitted, "reconstruct"), images))


@usual_settings()
def sample(fitted: Fitted, n: int, cluster: int | None, seed: int = 0) -> np.ndarray:
    """n new examples of one cluster: images (n, h, w, c) in [0, 1], or features (n, d) in their own units.

    cluster: None draws from the model's prior, where it has one.
    """
    check_count("n", n, 1)
    check_seed(seed)
    arrays, key = fitted.model.arrays, jax.random.key(seed)
    if cluster is None:
        generate = jax.jit(_offered(fitted, "generate"), static_argnums=2)
        return _raw(fitted, np.asarray(generate(arrays, key, n)))
    check_cluster(fitted, cluster)
    draw = jax.jit(_offered(fitted, "sample"), static_argnums=2)
    return _raw(fitted, np.asarray(draw(arrays, key, n, jnp.int32(cluster))))


def centroids(fitted: Fitted) -> np.ndarray:
    """The centroids of all clusters as examples: images (K, h, w, c) in [0, 1], or features in their own units."""
    return _between(fitted, np.eye(fitted.n_clusters, dtype=np.float32))


def interpolate(fitted: Fitted, start: int, end: int, n: int = 9, space: str = "latent") -> np.ndarray:
    """n examples between two clusters, both included, as `centroids` gives them.

    space: 'latent', on the straight line between their centroids; or 'clusters', of convex combinations of their
    numbers, where the method has a network that makes a centroid of these.
    """
    check_count("n", n, 2)
    if space not in ("latent", "clusters"):
        raise InputError(f"space is {space!r}: choose 'latent' or 'clusters'")
    shares = np.zeros((n, fitted.n_clusters), np.float32)
    for cluster, share in ((start, np.linspace(1, 0, n)), (end, np.linspace(0, 1, n))):
        check_cluster(fitted, cluster)
        shares[:, cluster] += share
    return _between(fitted, shares, space)


@usual_settings()
def _between(fitted: Fitted, shares: np.ndarray, space: str = "latent") -> np.ndarray:
    """Convex combinations (n, K) of the centroids, or of the clusters, decoded."""
    decode, arrays = _offered(fitted, "decode"), fitted.model.arrays
    place = _offered(fitted, "centroids" if space == "latent" else "between")

    def draw(arrays: PyTree, shares: Array) -> Array:
        latent = shares @ place(arrays) if space == "latent" else place(arrays, shares)
        return decode(arrays, latent, jnp.int32(0))

    return _raw(fitted, np.asarray(jax.jit(draw)(arrays, shares)))


def check_cluster(fitted: Fitted, cluster: int) -> None:
    """Raises InputError for a cluster that there is not."""
    if not isinstance(cluster, Integral) or not 0 <= cluster < fitted.n_clusters:
        raise InputError(f"cluster {cluster!r} does not exist: choose one of 0 to {fitted.n_clusters - 1}")


@usual_settings()
def score(
    pred: np.ndarray, true: np.ndarray | None, noise: np.ndarray | None = None, embedding: np.ndarray | None = None
) -> dict[str, Any]:
    """`metrics.clustering.score` where some classes may be unknown (-1): scores against classes are over the rest."""
    values = clustering.score(pred, None, noise, embedding)
    if true is not None and (true >= 0).any():
        known = true >= 0
        against = clustering.score(pred[known], true[known], None if noise is None else noise[known])
        values.update({name: against[name] for name in AGAINST_CLASSES})
    return values


def _is_kind(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return any(_is_kind(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_kind(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is str and callable(value):  # a function stands for its name, which the config looks up
        return True
    return isinstance(value, hint) if isinstance(hint, type) else True


def _words(hint: Any) -> list[str]:
    if get_origin(hint) in (Union, UnionType):
        return [word for part in get_args(hint) for word in _words(part)]
    if get_origin(hint) is Literal:
        return [repr(choice) for choice in get_args(hint)]
    if get_origin(hint) is tuple:
        return [f"a tuple, each {word}" for word in _words(get_args(hint)[0])]
    return [{int: "a whole number", float: "a number"}.get(hint, getattr(hint, "__name__", str(hint)))]


def _apply(fitted: Fitted, function: Callable[..., Any], images: Images) -> np.ndarray:
    return apply_in_batches(function, fitted.model.arrays, prepare.apply(fitted.preprocess, images))


CANNOT = {  # what an error calls them, where it is not the name itself
    "between": "interpolate between clusters",
    "generate": "sample from all clusters at once (give --cluster)",
    "embed_group": "embed by group",
}


def _offered(fitted: Fitted, name: str) -> Callable[..., Any]:
    function = getattr(fitted.model.functions, name)
    if function is None:
        raise InputError(f"{fitted.method} cannot {CANNOT.get(name, name)}: it has no such network")
    return function


def _raw(fitted: Fitted, outputs: np.ndarray) -> np.ndarray:
    p = fitted.preprocess
    if p.kind == "images":
        return np.clip(prepare.crop(p, outputs), 0.0, 1.0)  # linear outputs may pass the ends of the range
    return (outputs * np.asarray(p.scale) + np.asarray(p.mean)).astype(np.float32)
