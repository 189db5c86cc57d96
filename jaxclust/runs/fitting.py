"""A run from data to a complete directory: fitted, written, gone on with after a kill."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxclust import models, outliers
from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.data.rows import Images
from jaxclust.errors import InputError
from jaxclust.methods.base import Result
from jaxclust.models import Request
from jaxclust.numerics import usual_settings
from jaxclust.runs import cluster_table, lifecycle
from jaxclust.runs.artefacts import (
    SKIPPED,
    load,
    write_assignments,
    write_clusters,
    write_levels,
    write_model,
    write_table,
)
from jaxclust.runs.lifecycle import COMPLETE
from jaxclust.system import atomic, environment
from jaxclust.train import hosts, warm
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Reporter, Silent

Draw = Callable[[Path, Result, Images, prepare.Preprocess, Dataset], object]


@usual_settings()
def fit(
    request: Request,
    dataset: Dataset,
    out: Path,
    *,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Reporter | None = None,
    draw: Draw | None = None,
    mesh: Mesh | None = None,
    init_from: Path | None = None,
) -> dict[str, Any]:
    """Fit and leave a complete run in `out`; returns what metrics.json holds.

    The method sees the prepared images and nothing else of `dataset`; its labels are read once it is done. Killed at
    any moment, the same call with `resume` goes on and ends with the same result, bit by bit.

    Args:
      options: what else config.json shall hold: 'split', 'preset', ...
      draw: makes the figures, from (out, result, prepared images, preprocess, dataset).
      mesh: the devices that train; all by default.
      init_from: a run with whose networks it begins (`models.start_of`).

    Raises:
      InputError: the request does not suit the data (nothing is written, an older run stays), or `out` holds a run.
    """
    report, options, start = report or Silent(), options or {}, time.perf_counter()
    models.check_seed(request.seed)
    preprocess, images = models.prepared(request.config, dataset.images)
    networks, of_networks = _networks(init_from, out, request, preprocess)
    config = {**_describe(request, dataset, preprocess, options), "init_from": of_networks}
    begun: list[lifecycle.Begun] = []

    def begin() -> dict[str, bool]:
        begun.append(lifecycle.begin(out, config, overwrite=overwrite, resume=resume, note=report.note))
        return {"complete": lifecycle.read_config(out)["state"] == COMPLETE}

    if hosts.shared(begin)["complete"]:
        return lifecycle.read_json(out / "metrics.json")
    with lifecycle.marked(begun[0]):
        if dataset.skipped:
            write_table(out / SKIPPED, ("file", "reason"), iter(dataset.skipped))
        report.begin(config)
        phases = Phases(out, report, mesh=mesh, start=networks)
        earlier = sum(phases.seconds.values())
        result = models.fit(request, images, preprocess, phases)
        fitted = models.fitted(request, preprocess, result)
        _write_listings(out, dataset, result, fitted)
        write_model(out / "model", fitted)
        if draw is not None:
            with phases.timed("figures"):
                draw(out, result, images, preprocess, dataset)
            _tell_figures(out, report)
        told = {**_of_request(request, dataset, options), **describe(result, dataset.labels)}
        metrics = told | _spent(phases, earlier + time.perf_counter() - start)
        atomic.write_json(out / "metrics.json", metrics)
        lifecycle.complete(out)
    report.end(metrics)
    return lifecycle.read_json(out / "metrics.json")


def _spent(phases: Phases, seconds: float) -> dict[str, Any]:
    """Of metrics.json, what a fit took."""
    return {
        "phases": phases.seconds,
        "first_steps": phases.first_steps,
        "seconds": round(seconds, 3),
        "peak_memory_mb": environment.peak_memory_mb(),
    }


def _tell_figures(out: Path, report: Reporter) -> None:
    for path in sorted((out / "figures").glob("*.png")):
        report.figure(path)


def _write_listings(out: Path, dataset: Dataset, result: Result, fitted: models.Fitted) -> None:
    """What is said of each example, by its name, and of each cluster."""
    assert fitted.outliers is not None
    typicality = outliers.typicality(fitted.outliers, result.embedding, result.probabilities)
    found = models.assignments(result)._replace(names=dataset.names, named=dataset.named, typicality=typicality)
    write_assignments(out, found)
    write_clusters(out, cluster_table.table(found, (), dataset.labels, dataset.class_names))
    if result.levels is not None:
        write_levels(out, {int(of.max()) + 1: of for of in result.levels})


def _networks(
    init_from: Path | None, out: Path | None, request: Request, preprocess: prepare.Preprocess
) -> tuple[warm.Start | None, str | None]:
    """The networks of a run to begin with, and what config.json says of them: which run, and the sum of its model."""
    if init_from is None:
        return None, None
    if out is not None and out.resolve() == init_from.resolve():
        raise InputError(f"init_from {init_from}: is the run that is to be written: choose another --out")
    start = models.start_of(load(init_from), str(init_from), request, preprocess)
    return start, f"{init_from} ({start.sum():08x})"


def follow(request: Request, dataset: Dataset, mesh: Mesh | None = None, init_from: Path | None = None) -> None:
    """What every process but the first does while that one is in `fit`: it computes along, and writes nothing."""
    preprocess, images = models.prepared(request.config, dataset.images)
    if not hosts.shared(dict)["complete"]:
        networks, _ = _networks(init_from, None, request, preprocess)
        models.fit(request, images, preprocess, Phases(mesh=mesh, start=networks))


def describe(result: Result, labels: np.ndarray | None) -> dict[str, Any]:
    """Sizes and scores of a result as metrics.json has them, opinions included. labels (n,), -1 unknown."""
    scores = models.score(result.labels, labels, result.noise, result.embedding)
    opinions = {}
    if labels is not None:
        for name, opinion in result.opinions.items():
            values = models.score(opinion, labels)
            left_out = ("acc_labelled", "noise_fraction") if (opinion < 0).any() else ()
            opinions[name] = {key: values[key] for key in ("acc", "nmi", "ari", *left_out)}
    return {
        "n_clusters": result.probabilities.shape[1],
        "clear": result.summary.get("clear"),
        "effective_clusters": scores["effective_clusters"],
        "noise_fraction": scores["noise_fraction"],
        "latent_dim": result.summary.get("latent_dim"),
        "expert_latent_dims": result.summary.get("expert_latent_dims"),
        **{name: scores[name] for name in ("acc", "acc_labelled", "nmi", "ari", "silhouette")},
        "opinions": opinions,
        "summary": result.summary,
    }


def _of_request(request: Request, dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "method": request.method.name,
        "data": dataset.name,
        "split": options.get("split", "all"),
        "seed": request.seed,
        "n_samples": len(dataset.images),
    }


def _describe(
    request: Request, dataset: Dataset, preprocess: prepare.Preprocess, options: Mapping[str, Any]
) -> dict[str, Any]:
    described = {
        "method": request.method.name,
        "data": dataset.name,
        "seed": request.seed,
        **options,
        "config": asdict(request.config),
        "data_fingerprint": dataset.fingerprint,
        "n_samples": len(dataset.images),
        "shape": dataset.images.shape[1:],
        "skipped": len(dataset.skipped),
        "preprocess": asdict(preprocess),
        "versions": environment.versions(),
        "devices": environment.devices(),
    }
    return json.loads(json.dumps(atomic.plain(described)))
