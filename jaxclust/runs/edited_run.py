"""A new run directory that is another one edited: it knows its parent, which stays as it is."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxclust.data import prepare
from jaxclust.data.dataset import Dataset
from jaxclust.errors import InputError, RunExists
from jaxclust.methods.base import Result
from jaxclust.methods.shared.edited import EDITS
from jaxclust.models import Assignments
from jaxclust.numerics import usual_settings
from jaxclust.runs import artefacts, cluster_table, edits, lifecycle
from jaxclust.runs.editing import Edited, apply
from jaxclust.runs.edits import Edits
from jaxclust.runs.fitting import Draw, describe
from jaxclust.system import atomic
from jaxclust.train import history
from jaxclust.train.progress import Reporter

COPIED = (history.NAME, artefacts.SKIPPED, "map.npz")  # what edits do not change
OF_CLUSTERS = ("tree", "clusters")  # in a summary: what is of the parent's clusters alone


class Asked(NamedTuple):
    """Edits of a run, where they come from, and what they say of the run that they are for."""

    edits: Edits
    where: str
    run: Mapping[str, Any] = {}


@usual_settings()
def make(
    run: Path,
    asked: Asked,
    out: Path,
    dataset: Dataset | None,
    *,
    overwrite: bool = False,
    report: Reporter | None = None,
    draw: Draw | None = None,
) -> Edited:
    """Writes the edited run into `out`.

    dataset: what the run was fitted to; without it there are no scores against classes and no figures.
    Raises InputError where the edits are not of this run, RunExists where `out` holds one; then nothing is written.
    """
    config = lifecycle.read_config(run)
    fitted = artefacts.load(run)
    edits.check_run(asked.run, config, fitted.n_clusters, asked.where, run)
    edits.check(asked.edits, fitted.n_clusters, asked.where)
    if out.resolve() == run.resolve():
        raise InputError(f"{out}: is the run that is to be edited, which stays as it is: choose another --out")
    if (out / "config.json").is_file() and not overwrite:
        raise RunExists(f"{out}: already holds a run: choose another --out, or --overwrite it")
    lifecycle.check_free(out, overwrite=overwrite, resume=False)
    seed = config.get("seed", 0)
    known = artefacts.load_assignments(run)
    found = apply(fitted, known, asked.edits, seed=seed, report=report)
    parent = {"run": str(run.resolve()), "edits": edits.plain(asked.edits), "clusters": found.origin}
    config = {name: value for name, value in config.items() if name != "state"} | {"parent": parent}
    with lifecycle.marked(lifecycle.begin(out, atomic.plain(config), overwrite=overwrite)):
        _write(run, known, found, out, dataset, draw)
        lifecycle.complete(out)
    return found


def _write(run: Path, known: Assignments, found: Edited, out: Path, dataset: Dataset | None, draw: Draw | None) -> None:
    for name in COPIED:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)
    classes = (None, None) if dataset is None else (dataset.labels, dataset.class_names)
    artefacts.write_assignments(out, found.assigned)
    artefacts.write_clusters(out, cluster_table.table(found.assigned, found.fitted.cluster_names, *classes))
    artefacts.write_model(out / "model", found.fitted)
    before = lifecycle.read_json(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    artefacts.write_levels(out, artefacts.read_levels(run, before, known.probabilities))
    result = _result(found, before.get("summary", {}), out)
    if draw is not None and dataset is not None:
        preprocess = found.fitted.preprocess
        draw(out, result, prepare.apply(preprocess, dataset.images), preprocess, dataset)
    if before:
        metrics = {**before, **describe(result, classes[0]), "clear": before.get("clear")}
        atomic.write_json(out / "metrics.json", metrics)


def _result(found: Edited, summary: Mapping[str, Any], out: Path) -> Result:
    """As a fit would give it, of what is kept; for scores and figures."""
    assigned, model = found.assigned, found.fitted.model
    plots = dict(np.load(out / "map.npz", allow_pickle=False)) if (out / "map.npz").is_file() else {}
    steps = list(model.meta.get(EDITS, ()))
    kept = {name: value for name, value in summary.items() if not (steps and name in OF_CLUSTERS)}
    dims = kept.get("expert_latent_dims")
    for step in steps[summary.get("n_edits", 0) :]:
        dims = dims and [dims[of[0]] for of in step["members"]]
    kept |= {"n_clusters": found.fitted.n_clusters, "expert_latent_dims": dims, "n_edits": len(steps)}
    kept.setdefault("latent_dim", None)
    opinions = {} if assigned.reconstruction is None else {"reconstruction": assigned.reconstruction}
    return Result(
        model,
        assigned.labels,
        assigned.probabilities,
        assigned.noise,
        assigned.embedding,
        opinions,
        kept,
        {"map": plots["points"], "map_index": plots["index"]} if plots else {},
    )
