"""What all estimators share: parameters from a config, fitting, and use of what was fitted."""

import ast
import dataclasses
import inspect
import os
import textwrap
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from jaxclust import methods, models, outliers, runs
from jaxclust.data import sources
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.errors import InputError, WrongType, nearest
from jaxclust.estimators import inputs
from jaxclust.estimators.editing import Clusters
from jaxclust.levels import labels_at, numbers
from jaxclust.methods.shared import edited
from jaxclust.models import Assignments, Fitted, Request
from jaxclust.runs import lifecycle
from jaxclust.system import environment, paths
from jaxclust.train import events, warm
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent, Terminal

OWN = {"preset": "auto", "seed": 0, "verbose": False}  # parameters that every estimator has beside its config's

HINTS = {  # for parameters that other estimators have
    "random_state": " (did you mean seed?)",
    "init_from": ", but fit has: fit(X, init_from=...)",
    "names": ", but fit has: fit(X, names=...)",
    "warm_start": ", but fit can begin with the networks of a fitted one: fit(X, init_from=...)",
}


def _make_init(config: type) -> Any:
    """An __init__ that stores a keyword parameter for each config field, with a signature that scikit-learn reads."""
    defaults = {**{field.name: None for field in dataclasses.fields(config)}, **OWN}
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(name, keyword, default=default) for name, default in defaults.items()),
        ]
    )

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N807
        for name in kwargs:
            if name not in signature.parameters:
                known = [parameter for parameter in signature.parameters if parameter != "self"]
                near = HINTS.get(name) or nearest(name, known)
                raise WrongType(f"{type(args[0]).__name__} has no parameter {name!r}{near}: help() of it lists all")
        if len(args) > 1:
            name = type(args[0]).__name__
            raise WrongType(f"{name} takes its parameters by their names: {name}(preset=..., seed=...)")
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        self, values = bound.arguments.pop("self"), bound.arguments
        for name, value in values.items():
            setattr(self, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


@cache
def _texts_of_file(path: str) -> dict[str, dict[str, str]]:
    """For each class of a file, the text below each field."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            texts = found.setdefault(node.name, {})
            for field, after in pairwise(node.body):
                if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                    continue
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    texts[field.target.id] = " ".join(str(after.value.value).split())
    return found


def _parameters(method: methods.Method) -> str:
    """The fields of its config with what `jaxclust fit METHOD --help` says about them, as lines of a docstring."""
    texts: dict[str, str] = {}
    for kind in reversed(method.Config.__mro__[:-1]):
        with suppress(OSError, TypeError):  # a class of a notebook, or without its source
            texts |= _texts_of_file(inspect.getfile(kind)).get(kind.__name__, {})
    lines = []
    for field in dataclasses.fields(method.Config):
        by_preset = {name: repr(getattr(method.presets[name], field.name)) for name in methods.PRESETS}
        same = len(set(by_preset.values())) == 1
        values = by_preset["quick"] if same else ", ".join(f"{name} {value}" for name, value in by_preset.items())
        said = f"{field.name}: {texts.get(field.name, '')} ({values})"
        lines += textwrap.wrap(said, 112, initial_indent="      ", subsequent_indent="        ")
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """A parameter without NumPy's types, and a list or an array as a tuple."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _start(init_from: Any, request: Request, preprocess: Preprocess) -> warm.Start:
    """`models.start_of` of a fitted estimator or of a run. Raises WrongType for anything else."""
    if isinstance(init_from, DeepClusterer):
        return models.start_of(init_from._fitted(), type(init_from).__name__, request, preprocess)
    if not isinstance(init_from, str | os.PathLike):
        raise WrongType(f"init_from is {init_from!r:.60}: give a fitted estimator, or the directory of a run")
    directory = paths.local(init_from)
    return models.start_of(runs.load(directory), str(directory), request, preprocess)


class DeepClusterer(Clusters, TransformerMixin, ClusterMixin, BaseEstimator):
    """What all estimators share. A subclass names its method: `class MoEVAE(DeepClusterer, method="moe-vae")`.

    Parameters (all by keyword): every field of the method's config, where None stands for the preset's value;
      preset: 'quick' (a small CPU), 'full' (a TPU or GPU), 'paper' (the published values), or 'auto': full where there
        is a TPU or GPU, else quick.
      seed: whole number; the same seed on the same machine gives the same labels.
      verbose: draws progress bars.

    X is images (n, h, w) or (n, h, w, c) with c 1 or 3, uint8 or float, or features (n, d), dense, of scipy.sparse or a
    data frame of numbers; a list of paths of images, of PIL images or of arrays, of one size; or what `load_data`
    gives, where images may be resized. y is ignored. What is larger than memory is streamed:
    `load_data(PATH, stream="on")`.

    Attributes:
      labels_: (n,) int32, in [0, n_clusters_).
      n_clusters_: how many clusters there are.
      probabilities_: (n, n_clusters_) float32, rows sum to one.
      embedding_: (n, d) float32.
      noise_: (n,) bool, examples that the density clustering left out (labels_ has a cluster for them all the same).
      clear_: whether there are clear clusters (None where the method does not say); only after `fit`.
      parent_: the estimator that `merge`, `split`, `rename` or `recluster` made this one of; else None.
      cluster_names_: what clusters are called, '' without a name.
      clusters_: a table of the clusters: size, certainty, noise, density, medoid, exemplars.
      levels_: numbers of clusters that `labels_at` and `predict_at` offer beside n_clusters_.
      opinions_: labels by other criteria, by name; only after `fit`.
      summary_: latent sizes and what else the method tells; only after `fit`.
      seconds_: seconds by phase; only after `fit`.
      n_features_in_: columns, where X is features.
      feature_names_in_: their names, where X is a DataFrame with strings as names; only after `fit`.
      typicality_: (n,) float32 in (0, 1], how many of its cluster's examples lie as far out, see `score_samples`.
      names_: (n,) object, str: which example is which, as `names` told `fit` or the paths in X; None if neither did.
    """

    method: ClassVar[str]
    fitted_: Fitted

    def __init_subclass__(cls, method: str | None = None, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if method is not None:
            cls.method, found = method, methods.find(method)
            cls.__init__ = _make_init(found.Config)  # type: ignore[method-assign]
            shared = "preset, seed, verbose and the fitted attributes: see DeepClusterer."
            intro = "Parameters, where None stands for the preset's value, in brackets:"
            cls.__doc__ = f"{cls.__doc__}\n\n    {intro}\n{_parameters(found)}\n\n    {shared}\n    "

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Any = None,
        *,
        names: Any = None,
        init_from: Any = None,
        callbacks: Any = None,
    ) -> Self:
        """Cluster X. Raises InputError, naming the remedy, for data that cannot be clustered.

        names: (n,) what each example is called, which `names_` keeps and `save` writes; paths in X are names anyway.
        init_from: a fitted estimator, or the directory of a run: networks begin with its arrays of the same names and
            shapes instead of random ones. A line tells what does not suit.
        callbacks: functions of one event, a dict (train/events.py), such as [print] or [jaxclust.Log("jsonl", "logs")].
        """
        environment.start_jax()
        report = events.told(Terminal() if self.verbose else Silent(), callbacks)
        data = inputs.as_training(X)
        features = inputs.features(X, data)
        request = self._request()
        dataset = sources.load(data, names=names)
        preprocess, images = models.prepared(request.config, dataset.images)
        start = None if init_from is None else _start(init_from, request, preprocess)
        phases = Phases(None, report, start=start)
        report.begin(
            {
                "method": request.method.name,
                "seed": request.seed,
                "n_samples": len(images),
                "config": dataclasses.asdict(request.config),
            }
        )
        result = models.fit(request, images, preprocess, phases)
        assigned = models.assignments(result)._replace(names=dataset.names, named=dataset.named)
        self._adopt(models.fitted(request, preprocess, result), assigned, features)
        self._classes = (dataset.labels, dataset.class_names)
        self.opinions_, self.summary_, self.seconds_ = result.opinions, result.summary, phases.seconds
        self.clear_ = result.summary.get("clear")
        if callbacks:
            report.end(runs.describe(result, None))
        return self

    def fit_predict(self, X: Any, y: Any = None, **options: Any) -> np.ndarray:  # noqa: N803
        """`fit(X, **options).labels_`."""
        return self.fit(X, **options).labels_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Labels of new data, (n,) int32."""
        return self.predict_proba(X).argmax(1).astype(np.int32)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities of each cluster, (n, n_clusters_) float32, each row independent of the others."""
        return models.predict_proba(self._fitted(), self._raw(X))

    @property
    def levels_(self) -> tuple[int, ...]:
        """Numbers of clusters of the coarser and finer levels that the same tree has, rising."""
        return numbers(self._fitted().levels)

    def labels_at(self, n_clusters: int) -> np.ndarray:
        """Labels (n,) int32 of what was fitted, by the level of that number of clusters (one of `levels_`)."""
        return labels_at(self._fitted().levels, n_clusters, self.labels_, self.embedding_)

    def predict_at(self, X: Any, n_clusters: int) -> np.ndarray:  # noqa: N803
        """Labels (n,) int32 of new data, by the level of that number of clusters (one of `levels_`)."""
        return models.predict_at(self._fitted(), self._raw(X), n_clusters)

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Embedding of new data, (n, d) float32."""
        return models.embed(self._fitted(), self._raw(X))

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """Typicality of new data, (n,) float32 in (0, 1]: near 0 an outlier, 1 the middle of a cluster.

        The share of the examples of its cluster, of those that were fitted, that lie at least as far out. Of data like
        those of the fit a share of .05 is below .05, so `labels[model.score_samples(X) < .05] = -1` marks outliers.
        """
        X = self._raw(X)  # noqa: N806
        self._know_outliers()
        return models.typicality(self._fitted(), X)

    @property
    def typicality_(self) -> np.ndarray:
        """`score_samples` of what was fitted, (n,) float32."""
        return outliers.typicality(self._know_outliers(), self.embedding_, self.probabilities_)

    def reconstruct(self, X: Any) -> np.ndarray:  # noqa: N803
        """X as its clusters' networks give it back: (n, h, w, c) in [0, 1], or features (n, d) in their own units."""
        return models.reconstruct(self._fitted(), self._raw(X))

    def sample(self, n: int = 1, *, cluster: int, seed: int = 0) -> np.ndarray:
        """n new examples of a cluster: images (n, h, w, c) in [0, 1], or features (n, d) in their own units."""
        return models.sample(self._fitted(), n, cluster, seed)

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model to a directory that `load` and the command line read. Raises RunExists."""
        typicality = self.typicality_
        parameters: dict[str, Any] = {name: getattr(self, name) for name in OWN}
        if self._edits:
            parameters["parent"] = {"edits": self._edits}
        assigned = self._assigned()._replace(typicality=typicality)
        runs.save(paths.local(directory), self._fitted(), assigned, parameters, self.clusters_, overwrite=overwrite)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """The fitted estimator from a directory that `save` or `jaxclust fit` wrote."""
        directory = paths.local(directory)
        fitted = runs.load(directory)
        if fitted.method != cls.method:
            raise InputError(f"{directory}: holds a model of {fitted.method}, not of {cls.method}: use jaxclust.load")
        config = lifecycle.read_config(directory)
        own = {name: config.get(name, default) for name, default in OWN.items()}
        estimator = cls(**own, **fitted.config)
        columns = {"n_features_in_": fitted.preprocess.n_features} if fitted.preprocess.kind == "features" else {}
        estimator._adopt(fitted, runs.load_assignments(directory), columns)
        estimator._table = runs.read_clusters(directory)
        return estimator

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns that `transform` gives, (d,) objects: 'moevae0', 'moevae1', ..."""
        self._fitted()
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(self.embedding_.shape[1])], object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]  # embeddings are float32 whatever X is
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: the fitted functions stay behind, and follow from the model's meta."""
        state = dict(super().__getstate__())
        if "fitted_" in state:
            model = state["fitted_"].model
            model = model._replace(arrays=jax.device_get(model.arrays), functions=None)
            state["fitted_"] = state["fitted_"]._replace(model=model)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "fitted_" in state:
            model = self.fitted_.model
            model = model._replace(functions=edited.restore(methods.find(self.method), model.meta))
            self.fitted_ = self.fitted_._replace(model=model)

    def _request(self) -> Request:
        method = methods.find(self.method)
        _, config = methods.choose_preset(method, self.preset)
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(config)}
        given = {name: plain(value) for name, value in given.items() if value is not None}
        models.check_values(type(config), given)
        config = dataclasses.replace(config, **given)
        seed = self.seed
        models.check_seed(seed)
        return Request(method, config, int(seed))

    def _adopt(self, fitted: Fitted, assigned: Assignments, features: dict[str, Any]) -> None:
        self.labels_, self.probabilities_, self.noise_, self.embedding_ = assigned[:4]
        self.n_clusters_ = fitted.n_clusters
        self._reconstruction = assigned.reconstruction
        self.names_, self._named = assigned.names, assigned.named
        self.fitted_, self._classes, self._table = fitted, (None, None), None
        self.parent_, self._edits = None, {}
        for name in ("n_features_in_", "feature_names_in_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        self.__dict__.update(features)

    def _assigned(self) -> Assignments:
        of = (self.labels_, self.probabilities_, self.noise_, self.embedding_)
        return Assignments(*of, self._reconstruction, self.names_, self._named)

    def _fitted(self) -> Fitted:
        check_is_fitted(self, "fitted_")
        return self.fitted_

    def _know_outliers(self) -> outliers.Outliers:
        """The statistics of what was fitted, made where the model has none."""
        fitted = self._fitted()
        known = fitted.outliers or outliers.of_fit(self.embedding_, self.probabilities_)
        self.fitted_ = fitted._replace(outliers=known)
        return known

    def _raw(self, X: Any) -> Images:  # noqa: N803
        """X as standard data. Raises InputError where its columns are not those that were fitted."""
        data = inputs.as_input(X)
        inputs.check_features(self, X, data)
        return sources.load(data).images


class WithCentroids(DeepClusterer):
    """Estimators whose clusters have centroids that a decoder turns into examples."""

    @property
    def centroids_(self) -> np.ndarray:
        """The clusters' centroids as examples: images (K, h, w, c) in [0, 1], or features (K, d) in their own units."""
        return models.centroids(self._fitted())

    def interpolate(self, start: int, end: int, n: int = 9) -> np.ndarray:
        """n examples on the straight line between the centroids of two clusters, both included: (n, ...)."""
        return models.interpolate(self._fitted(), start, end, n)
