"""What a user does with the clusters of a fitted estimator: look at them, name, merge and split them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import clone

from jaxclust.models import Assignments, Fitted
from jaxclust.runs import cluster_table, editing, edits
from jaxclust.runs.cluster_table import Table
from jaxclust.runs.edits import Edits, Into
from jaxclust.system import paths
from jaxclust.train.progress import Silent, Terminal

FEATURES = ("n_features_in_", "feature_names_in_")  # what edits do not change


class Clusters:
    """The part of every estimator that is about its clusters, one by one.

    Edits give another fitted estimator; the one that they are of stays as it is, and is the other's `parent_`.
    """

    parent_: Self | None
    verbose: bool
    seed: int
    _edits: dict[str, Any]  # what was done to `parent_`
    _classes: tuple[np.ndarray | None, Any]  # of what was fitted, where X told them, and their names
    _table: Table | None  # clusters.csv of the run that was loaded

    def _fitted(self) -> Fitted:
        raise NotImplementedError

    def _assigned(self) -> Assignments:
        raise NotImplementedError

    def _adopt(self, fitted: Fitted, assigned: Assignments, features: dict[str, Any]) -> None:
        raise NotImplementedError

    @property
    def clusters_(self) -> Table:
        """A row for each cluster, as in clusters.csv (docs/using.md): `pandas.DataFrame(model.clusters_)`.

        Classes are counted where X was a `Dataset` with classes, and where the run that was loaded counts them, until
        it is edited. They are for this alone; fitting never sees them.
        """
        fitted = self._fitted()
        found = cluster_table.table(self._assigned(), fitted.cluster_names, *self._classes)
        return cluster_table.with_counts(found, self._table)

    @property
    def cluster_names_(self) -> tuple[str, ...]:
        """What the clusters are called, '' for those without a name."""
        fitted = self._fitted()
        return fitted.cluster_names or ("",) * fitted.n_clusters

    def merge(self, *groups: Iterable[int]) -> Self:
        """A fitted estimator in which each group of clusters is one: `model.merge([3, 7], [1, 2])`.

        Its probabilities are the sums of the group's. It stands at the place of the group's lowest number, under its
        name; higher numbers close up. Raises InputError for clusters that there are not.
        """
        given: list[Any] = [list(group) if isinstance(group, Iterable) and not isinstance(group, str) else group
                 for group in groups]  # fmt: skip
        if len(given) == 1 and isinstance(given[0], list) and all(isinstance(one, list | tuple) for one in given[0]):
            given = given[0]  # a list of groups
        return self.edit({"merge": given})

    def split(self, cluster: int, into: Into = "auto") -> Self:
        """A fitted estimator in which a cluster is several: found on its codes, and learned by a classifier of codes.

        into: how many; 'auto' finds the number. The largest part keeps the cluster's number, the others come last.
        """
        return self._edited(edits.parse({"split": [cluster]}, "split")._replace(into=into), "split")

    def rename(self, names: Mapping[int, str]) -> Self:
        """A fitted estimator with names of some clusters: `model.rename({0: "cats"})`; '' takes a name away."""
        return self.edit({"names": names})

    def recluster(self, what: Literal["noise"] = "noise") -> Self:
        """A fitted estimator with clusters of the examples that are noise beside the others, which stay."""
        return self.edit({"recluster": [what]})

    def edit(self, changes: Mapping[str, Any] | str | os.PathLike[str]) -> Self:
        """A fitted estimator with edits as in edits.json, which the page saves: a path, or an object of that form."""
        if isinstance(changes, Mapping):
            return self._edited(edits.parse(changes, "edits"), "edits")
        path = paths.local(changes, "edits")
        found, run = edits.read(path)
        own = {"method": self._fitted().method, "seed": self.seed}
        edits.check_run(run, own, self._fitted().n_clusters, str(path), Path("this estimator"))
        return self._edited(found, str(path))

    def _edited(self, asked: Edits, where: str) -> Self:
        fitted = self._fitted()
        edits.check(asked, fitted.n_clusters, where)
        seed = self.seed if isinstance(self.seed, int | np.integer) else 0
        report = Terminal() if self.verbose else Silent()
        found = editing.apply(fitted, self._assigned(), asked, seed=int(seed), report=report)
        made: Self = clone(self)
        columns = {name: value for name, value in vars(self).items() if name in FEATURES}
        made._adopt(found.fitted, found.assigned, columns)
        made._classes, made.parent_, made._edits = self._classes, self, edits.plain(asked)
        return made
