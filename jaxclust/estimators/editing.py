"""What a user does with the clusters of a fitted estimator: look at them."""

from typing import Any

import numpy as np

from jaxclust.models import Fitted
from jaxclust.runs import cluster_table
from jaxclust.runs.cluster_table import Table


class Clusters:
    """The part of every estimator that is about its clusters, one by one."""

    _classes: tuple[np.ndarray | None, Any]  # of what was fitted, where X told them, and their names

    def _fitted(self) -> Fitted:
        raise NotImplementedError

    def _assigned(self) -> Any:
        raise NotImplementedError

    @property
    def clusters_(self) -> Table:
        """A row for each cluster, as in clusters.csv (docs/clusters.md): `pandas.DataFrame(model.clusters_)`.

        Classes are counted where X was a `Dataset` with classes. They are for this alone; fitting never sees them.
        """
        fitted = self._fitted()
        return cluster_table.table(self._assigned(), fitted.cluster_names, *self._classes)
