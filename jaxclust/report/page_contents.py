"""What the page of a run holds: columns of all examples, and what is said of the run, read from its directory."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust import __version__, models, runs
from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError
from jaxclust.models import Assignments
from jaxclust.report import maps
from jaxclust.runs import cards, lifecycle
from jaxclust.train import history

CURVE = 300  # points of a training curve
LARGEST = 5  # values of an example of features
NONE = 65535  # class of an example that has none
SCORES = ("n_clusters", "effective_clusters", "clear", "noise_fraction", "latent_dim", "acc", "nmi", "ari",
          "silhouette", "seconds", "peak_memory_mb")  # fmt: skip


class Contents(NamedTuple):
    """Of n examples.

    about: plain JSON.  columns: (n, ...) arrays by name.  names: n strings, or None.  kept: rows that the cards show.
    """

    about: dict[str, Any]
    columns: dict[str, np.ndarray]
    names: np.ndarray | None
    kept: np.ndarray


def collect(run: Path, dataset: Dataset | None) -> Contents:
    """Reads a complete run. dataset: what it was fitted to; without it there are no pictures and no classes."""
    config = lifecycle.read_config(run)
    if config["state"] != lifecycle.COMPLETE:
        raise InputError(f"{run}: the run is {config['state']}, not complete: go on with fit ... --resume")
    assigned = runs.load_assignments(run)
    n = len(assigned.labels)
    classes = None if dataset is None else dataset.labels
    if classes is not None and not (classes >= 0).any():
        classes = None
    made = cards.cards(assigned, classes)
    metrics = lifecycle.read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    levels = runs.read_levels(run, metrics, assigned.probabilities)
    points = maps.of_run(run, assigned.embedding)
    order = np.argsort(-assigned.probabilities, axis=1, kind="stable")
    columns = {
        "row": np.arange(n, dtype=np.uint32),
        **_coordinates(points),
        "cluster": assigned.labels.astype(np.uint16),
        "second": order[:, min(1, order.shape[1] - 1)].astype(np.uint16),
        "certainty": np.rint(assigned.probabilities.max(1) * 65535).astype(np.uint16),
        "noise": assigned.noise.astype(np.uint8),
        **_typicality(assigned),
        **({} if classes is None else {"class": np.where(classes < 0, NONE, classes).astype(np.uint16)}),
        **{f"level {k}": of.astype(np.uint16) for k, of in levels.items()},
    }
    names = assigned.names if dataset is None or dataset.names is None else dataset.names
    if dataset is not None and dataset.images.ndim == 2:
        columns |= _largest(dataset, config)
    about = _about(config, metrics, history.read(run)) | {
        "n": n,
        "clusters": cards.plain(made),
        **({"names": list(named)} if (named := runs.cluster_names(run)) else {}),
        "levels": list(levels),
        "classes": None if classes is None else _class_names(classes, dataset),
    }
    return Contents(about, columns, names, cards.listed(made))


def _typicality(assigned: Assignments) -> dict[str, np.ndarray]:
    """Its column, where the run has it."""
    if assigned.typicality is None:
        return {}
    return {"typicality": np.rint(assigned.typicality * 65535).astype(np.uint16)}


def drawn(run: Path, each: int) -> np.ndarray | None:
    """(K, each, h, w, c) uint8 that the model draws of its clusters; None where it draws no images."""
    fitted = runs.load(run)
    if fitted.model.functions.sample is None or fitted.preprocess.kind == "features":
        return None
    made = [models.sample(fitted, each, k, seed=k) for k in range(fitted.n_clusters)]
    return np.rint(np.clip(np.stack(made), 0, 1) * 255).astype(np.uint8)


def _about(config: dict[str, Any], metrics: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = ("method", "data", "seed", "preset", "split", "image_size", "data_fingerprint")
    return {
        **{name: config[name] for name in known if config.get(name) is not None},
        **({"parent": parent} if (parent := (config.get("parent") or {}).get("run")) else {}),
        "settings": config["config"],
        "versions": {"jaxclust": __version__, **config.get("versions", {})},
        "devices": config.get("devices"),
        "scores": {name: metrics[name] for name in SCORES if metrics.get(name) is not None},
        "phases": metrics.get("phases", {}),
        "curves": _curves(rows),
    }


def _curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each phase: its name, epochs, and the values of each term, some of them where there are many."""
    found = []
    for phase in dict.fromkeys(row["phase"] for row in rows):
        own = [row for row in rows if row["phase"] == phase]
        chosen = np.unique(np.linspace(0, len(own) - 1, min(CURVE, len(own))).astype(int))
        own = [own[i] for i in chosen]
        terms = dict.fromkeys(name for row in own for name in row if name not in ("phase", "step", "epoch", "seconds"))
        values = {name: [row.get(name) for row in own] for name in terms}
        found.append({"phase": phase, "epoch": [row.get("epoch", row["step"]) for row in own], "terms": values})
    return found


def _coordinates(points: np.ndarray) -> dict[str, np.ndarray]:
    """x and y as shares of the longer side, 0 to 65535."""
    low, high = points.min(0), points.max(0)
    scaled = (points - (low + high) / 2) / max(float((high - low).max()), 1e-12) + 0.5
    x, y = np.rint(np.clip(scaled, 0, 1) * 65535).astype(np.uint16).T
    return {"x": x.copy(), "y": y.copy()}


def _largest(dataset: Dataset, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Columns (n, LARGEST) in which each example is furthest from the middle, as prepared, and its raw values there."""
    preprocess = prepare.Preprocess(**config["preprocess"])
    columns, values = [], []
    for start in range(0, len(dataset.images), 4096):
        raw = np.asarray(dataset.images[start : start + 4096])
        size = np.abs(np.asarray(prepare.apply(preprocess, raw)[:]))
        top = np.argsort(-size, axis=1, kind="stable")[:, :LARGEST]
        columns.append(top.astype(np.uint32))
        values.append(np.take_along_axis(raw, top, 1).astype(np.float32))
    return {"column": np.concatenate(columns), "value": np.concatenate(values)}


def _class_names(classes: np.ndarray, dataset: Dataset | None) -> list[str]:
    names = None if dataset is None else dataset.class_names
    return [str(k) for k in range(int(classes.max()) + 1)] if names is None else [str(name) for name in names]
