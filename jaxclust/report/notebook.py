"""The page of a fitted estimator, shown in a notebook or written to a file."""

import html
import os
import tempfile
from pathlib import Path
from typing import Any

from jaxclust.data import dataset, sources
from jaxclust.data.dataset import Dataset
from jaxclust.estimators import inputs
from jaxclust.estimators.base import DeepClusterer
from jaxclust.report import page

HEIGHT = 900  # pixels of the page inside a notebook


class Shown:
    """A page that notebooks display. text: its HTML."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        inside = html.escape(self.text)
        return f'<iframe srcdoc="{inside}" style="width:100%;height:{HEIGHT}px;border:0" title="clusters"></iframe>'

    def __repr__(self) -> str:
        return f"<page of {len(self.text) / 1e6:.1f} MB: a notebook displays it, .save(FILE) writes it>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, which any browser opens."""
        Path(path).write_text(self.text, encoding="utf-8")


def show(model: DeepClusterer, X: Any, y: Any = None, names: Any = None) -> Shown:  # noqa: N803
    """The page of a fitted estimator: a map with the images, cards of the clusters, edits (see docs/using.md).

    X: what it was fitted to, or a `Dataset` of it as `load_data` gives.  y: (n,) classes, to colour by.  names: (n,)
    names of the examples. Raises InputError for other data, by their number and shape.
    """
    found = X if isinstance(X, Dataset) else sources.load(inputs.as_input(X))
    if y is not None or names is not None:
        found = dataset.build(found.name, found.images, y, names=names)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "run")
        return Shown(page.write(Path(folder) / "run", found).path.read_text(encoding="utf-8"))
