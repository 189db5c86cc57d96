"""A run directory: made, refused, resumed, saved, loaded.

config.json      what was asked for, defaults included, and what it ran on; "state" says how it ended
metrics.json     scores, latent sizes, seconds        assignments.csv    one line an example
embedding.npy    (n, d) float32                       probabilities.npy  (n, K) float32
levels.npz       labels (n,) by number of clusters, coarser and finer ones of the same tree
history.jsonl    training curves                      figures/*.png
model/           model.json and arrays/               phases/            work in progress, gone on completion
"""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from jax.sharding import Mesh

from jaxclust import atomic, environment, models, rundir
from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.data.rows import Images
from jaxclust.errors import InputError
from jaxclust.methods import find
from jaxclust.methods.base import Model, Result
from jaxclust.methods.parts.levels import Levels
from jaxclust.models import Assignments, Fitted, Request
from jaxclust.rundir import COMPLETE
from jaxclust.train import hosts
from jaxclust.train.checkpoint import load_dicts, save_dicts
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Reporter, Silent

LEVELS = "levels.npz"  # beside model.json
FORMAT = 1  # of model.json; raised when older files can no longer be read
COLUMNS = ("index", "label", "probability", "noise", "label_by_reconstruction")

Draw = Callable[[Path, Result, Images, prepare.Preprocess, Dataset], object]


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
) -> dict[str, Any]:
    """Fit and leave a complete run in `out`; returns what metrics.json holds.

    The method sees the prepared images and nothing else of `dataset`; its labels are read once it is done. Killed at
    any moment, the same call with `resume` goes on and ends with the same result, bit by bit.

    Args:
      options: what else config.json shall hold: 'split', 'preset', ...
      draw: makes the figures, from (out, result, prepared images, preprocess, dataset).
      mesh: the devices that train; all by default.

    Raises:
      InputError: the request does not suit the data (nothing is written, an older run stays), or `out` holds a run.
    """
    report, options, start = report or Silent(), options or {}, time.perf_counter()
    models.check_seed(request.seed)
    preprocess, images = models.prepared(request.config, dataset.images)
    config = _describe(request, dataset, preprocess, options)
    begun: list[rundir.Begun] = []

    def begin() -> dict[str, bool]:
        begun.append(rundir.begin(out, config, overwrite=overwrite, resume=resume, note=report.note))
        return {"complete": rundir.read_config(out)["state"] == COMPLETE}

    if hosts.shared(begin)["complete"]:
        return rundir.read_json(out / "metrics.json")
    with rundir.marked(begun[0]):
        phases = Phases(out, report, mesh=mesh)
        earlier = sum(phases.seconds.values())
        result = models.fit(request, images, preprocess, phases)
        _write_assignments(out, models.assignments(result))
        if result.levels is not None:
            atomic.write_arrays(out / "levels.npz", {str(of.max() + 1): of for of in result.levels})
        _write_model(out / "model", models.fitted(request, preprocess, result))
        if draw is not None:
            with phases.timed("figures"):
                draw(out, result, images, preprocess, dataset)
        metrics = {
            "method": request.system.name,
            "data": dataset.name,
            "split": options.get("split", "all"),
            "seed": request.seed,
            "n_samples": len(images),
            **describe(result, dataset.labels),
            "phases": phases.seconds,
            "first_steps": phases.first_steps,
            "seconds": round(earlier + time.perf_counter() - start, 3),
            "peak_memory_mb": environment.peak_memory_mb(),
        }
        atomic.write_json(out / "metrics.json", metrics)
        rundir.complete(out)
    return rundir.read_json(out / "metrics.json")


def follow(request: Request, dataset: Dataset, mesh: Mesh | None = None) -> None:
    """What every process but the first does while that one is in `fit`: it computes along, and writes nothing."""
    preprocess, images = models.prepared(request.config, dataset.images)
    if not hosts.shared(dict)["complete"]:
        models.fit(request, images, preprocess, Phases(mesh=mesh))


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


def save(
    directory: Path, fitted: Fitted, assigned: Assignments, config: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """What was fitted in Python, as a complete run without metrics and figures.

    config: what else config.json shall hold. Raises RunExists or InputError if `directory` is not empty, unless
    `overwrite` is set and it holds a run.
    """
    described = {
        "method": fitted.method,
        "config": fitted.config,
        "preprocess": asdict(fitted.preprocess),
        **config,
        "versions": environment.versions(),
        "devices": environment.devices(),
    }
    with rundir.marked(rundir.begin(directory, described, overwrite=overwrite)):
        _write_assignments(directory, assigned)
        _write_model(directory / "model", fitted)
        rundir.complete(directory)


def load(directory: Path) -> Fitted:
    """The model of a complete run. Raises InputError, naming the file, where there is none."""
    config = rundir.read_config(directory)
    if config["state"] != COMPLETE:
        raise InputError(f"{directory}: the run is {config['state']}, not complete: go on with fit ... --resume")
    path = directory / "model" / "model.json"
    saved = rundir.read_json(path)
    if saved.get("format") != FORMAT:
        raise InputError(f"{path}: format {saved.get('format')!r} is not {FORMAT}: use the jaxclust that wrote it")
    try:
        preprocess = prepare.Preprocess(**saved["preprocess"])
        functions = find(saved["method"]).restore(saved["meta"])
        model = Model(saved["meta"], load_dicts(directory / "model" / "arrays"), functions)
        levels = _read_levels(directory / "model" / LEVELS)
        return Fitted(saved["method"], config["config"], preprocess, int(saved["n_clusters"]), model, levels)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OSError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{directory / 'model'}: damaged ({first}): fit again") from error


def load_assignments(directory: Path) -> Assignments:
    """What a complete run keeps about the examples that it was fitted to."""
    try:
        with open(directory / "assignments.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        opinion = [row["label_by_reconstruction"] for row in rows]
        return Assignments(
            np.array([int(row["label"]) for row in rows], np.int32),
            np.load(directory / "probabilities.npy", allow_pickle=False),
            np.array([row["noise"] == "1" for row in rows], bool),
            np.load(directory / "embedding.npy", allow_pickle=False),
            np.array(opinion, np.int32) if all(opinion) else None,
        )
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{directory}: assignments are damaged ({error}): fit again") from error


def write_table(path: Path, header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows as a CSV file, one at a time: the text of all of them would take more memory than they do."""

    def fill(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        print_table(text, header, rows)
        text.detach()

    atomic.write(path, fill)


def print_table(text: TextIO, header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> None:
    """Rows as CSV lines."""
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _describe(
    request: Request, dataset: Dataset, preprocess: prepare.Preprocess, options: Mapping[str, Any]
) -> dict[str, Any]:
    described = {
        "method": request.system.name,
        "data": dataset.name,
        "seed": request.seed,
        **options,
        "config": asdict(request.config),
        "data_fingerprint": dataset.fingerprint,
        "n_samples": len(dataset.images),
        "shape": dataset.images.shape[1:],
        "skipped": dataset.skipped,
        "preprocess": asdict(preprocess),
        "versions": environment.versions(),
        "devices": environment.devices(),
    }
    return json.loads(json.dumps(atomic.plain(described)))


def _write_assignments(out: Path, assigned: Assignments) -> None:
    n = len(assigned.labels)
    columns = (
        range(n),
        assigned.labels,
        (f"{p:.6f}" for p in assigned.probabilities.max(1)),
        assigned.noise.astype(np.int8),
        repeat("", n) if assigned.reconstruction is None else assigned.reconstruction,
    )
    atomic.write_array(out / "embedding.npy", np.asarray(assigned.embedding, np.float32))
    atomic.write_array(out / "probabilities.npy", np.asarray(assigned.probabilities, np.float32))
    write_table(out / "assignments.csv", COLUMNS, zip(*columns, strict=True))


def _read_levels(path: Path) -> Levels | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        return Levels(**arrays)


def _write_model(directory: Path, fitted: Fitted) -> None:
    save_dicts(directory / "arrays", fitted.model.arrays)
    if fitted.levels is not None:
        atomic.write_arrays(directory / LEVELS, fitted.levels._asdict())
    saved = {
        "format": FORMAT,
        "method": fitted.method,
        "n_clusters": fitted.n_clusters,
        "preprocess": asdict(fitted.preprocess),
        "meta": dict(fitted.model.meta),
    }
    atomic.write_json(directory / "model.json", saved)
