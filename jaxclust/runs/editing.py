"""Edits done to a fitted model and to what is kept of its examples: merged, split, named, noise clustered again.

Clusters are found by host/clusters.py on the codes of the examples, and learned by a head (methods/shared/edited.py):
each step is a function of an example alone, whatever the method.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxclust import outliers
from jaxclust.errors import InputError
from jaxclust.host import clusters, sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.levels import regrouped
from jaxclust.methods.shared import classifier, edited
from jaxclust.methods.shared.edited import Step
from jaxclust.models import Assignments, Fitted
from jaxclust.numerics import fold_name, usual_settings
from jaxclust.runs.edits import Edits, Into
from jaxclust.train.inference import apply_in_batches
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Reporter, Silent
from jaxclust.typing import Array, Key, PyTree

MOST = 20_000  # examples whose codes are clustered, and as many that a head learns
FEWEST = 4
EPOCHS, STEPS, BATCH = 5.0, 800, 256  # of a head; the fewest steps


class Edited(NamedTuple):
    """What comes of edits. origin: of each cluster those before that it took its examples from, none for one of noise.

    told: what is to be said of each step, in words.
    """

    fitted: Fitted
    assigned: Assignments
    origin: tuple[tuple[int, ...], ...]
    told: tuple[str, ...] = ()


@usual_settings()
def apply(
    fitted: Fitted, assigned: Assignments, edits: Edits, *, seed: int = 0, report: Reporter | None = None
) -> Edited:
    """The edits, which `edits.check` has passed, done in their order. What is given stays as it is.

    seed: of UMAPs and heads. Raises InputError where a cluster cannot be split, or where there is no noise.
    """
    report, k = report or Silent(), fitted.n_clusters
    names = list(fitted.cluster_names or [""] * k)
    for cluster, name in edits.names.items():
        names[cluster] = name
    fitted = fitted._replace(cluster_names=tuple(names))
    found = Edited(fitted, assigned, tuple((cluster,) for cluster in range(k)))
    if edits.merge:
        found = _merged(found, edits.merge)
    for cluster in edits.split:
        found = _split(found, found.origin.index((cluster,)), edits.into, seed, report)
    if edits.recluster:
        found = _reclustered(found, seed, report)
    kept, assigned = found.fitted.cluster_names, found.assigned
    known = outliers.of_fit(assigned.embedding, assigned.probabilities)
    typicality = outliers.typicality(known, assigned.embedding, assigned.probabilities)
    return found._replace(
        fitted=found.fitted._replace(cluster_names=kept if any(kept) else (), outliers=known),
        assigned=assigned._replace(typicality=typicality),
    )


def _merged(before: Edited, merge: Sequence[Sequence[int]]) -> Edited:
    """Each group is one cluster at the place of its lowest number; the others close up."""
    counts = _counts(before)
    group_of = {k: tuple(sorted(group, key=lambda one: (-counts[one], one))) for group in merge for k in group}
    groups = [group_of.get(k, (k,)) for k in range(len(counts))]
    members = tuple(group for k, group in enumerate(groups) if k == min(group))
    step = Step(members, (-1,) * len(members))
    names = [before.fitted.cluster_names[min(group)] for group in members]
    told = tuple(f"clusters {_listed(sorted(group))} are one" for group in merge)
    return _after(
        before, step, names, {"shares": edited.shares(members, [counts[list(of)].tolist() for of in members])}, told
    )


def _split(before: Edited, cluster: int, into: Into, seed: int, report: Reporter) -> Edited:
    """The largest part keeps the number, the others come last."""
    rows = np.flatnonzero(before.assigned.labels == cluster)
    own = before.origin[cluster][0]
    least = FEWEST if into == "auto" else max(FEWEST, 2 * int(into))
    if len(rows) < least:
        raise InputError(f"cluster {own} has {len(rows)} examples: it takes {least} to split one into {into} parts")
    key = _key(before, seed)
    rows = rows[sampling.sample(len(rows), MOST, seeds.seed(key, "rows"))]
    codes = np.asarray(before.assigned.embedding[rows], np.float32)
    parts = _found(codes, into, key, report)
    known = parts.labels >= 0
    head = _head(codes[known], parts.memberships[known], key, report)
    k, n_parts = before.fitted.n_clusters, parts.memberships.shape[1]
    members = tuple((other,) for other in range(k)) + ((cluster,),) * (n_parts - 1)
    order = (*(0 if other == cluster else -1 for other in range(k)), *range(1, n_parts))
    names = list(before.fitted.cluster_names) + [""] * (n_parts - 1)
    if name := names[cluster]:
        for number, place in enumerate([cluster, *range(k, k + n_parts - 1)], 1):
            names[place] = f"{name} {number}"
    arrays = {"shares": np.ones((len(members), 1), np.float32), **head}
    told = f"cluster {own} is {n_parts} clusters" + _doubt(parts)
    return _after(before, Step(members, order, n_parts), names, arrays, (told,))


def _reclustered(before: Edited, seed: int, report: Reporter) -> Edited:
    """Clusters of the noise come last; what is in none of them stays noise, in the cluster that it had."""
    noise = np.flatnonzero(before.assigned.noise)
    if len(noise) < FEWEST:
        raise InputError(f"noise: {len(noise)} examples are noise: it takes {FEWEST} to cluster them")
    key, k = _key(before, seed), before.fitted.n_clusters
    noise = noise[sampling.sample(len(noise), MOST, seeds.seed(key, "rows"))]
    others = np.flatnonzero(~before.assigned.noise)
    others = others[sampling.sample(len(others), MOST, seeds.seed(key, "others"))]
    codes = np.asarray(before.assigned.embedding[np.concatenate([noise, others])], np.float32)
    new = _found(codes[: len(noise)], "auto", key, report)
    known, n_new = new.labels >= 0, new.memberships.shape[1]
    targets = np.zeros((len(codes), 1 + n_new), np.float32)
    targets[: len(noise), 1:][known] = new.memberships[known]
    targets[:, 0] = 1 - targets.sum(1)
    head = _head(codes, targets, key, report)
    counts = [np.bincount(before.assigned.labels[noise[new.labels == j]], minlength=k) for j in range(n_new)]
    orders = [np.argsort(-of, kind="stable") for of in counts]
    members = (*((other,) for other in range(k)), *(tuple(map(int, order)) for order in orders))
    shares = edited.shares(
        members, [[1.0]] * k + [of[order].tolist() for of, order in zip(counts, orders, strict=True)]
    )
    names = [*before.fitted.cluster_names, *[""] * n_new]
    told = f"the noise has {n_new} clusters" + _doubt(new)
    step = Step(members, (*[0] * k, *range(1, 1 + n_new)), 1 + n_new)
    after = _after(before, step, names, {"shares": shares, **head}, (told,))
    left = after.assigned.noise & (after.assigned.labels < k)
    origin = (*before.origin, *((),) * n_new)
    return after._replace(assigned=after.assigned._replace(noise=left), origin=origin)


def _after(
    before: Edited, step: Step, names: Sequence[str], arrays: Mapping[str, PyTree], told: tuple[str, ...]
) -> Edited:
    """Everything after a step: the model, and what it says of the examples, of which their codes are known."""
    fitted, assigned = before.fitted, before.assigned
    k = fitted.n_clusters

    def log_posterior(arrays: PyTree, known: Array) -> Array:
        return edited.transferred(step, known[:, :k], edited.log_parts_of(step, arrays, known[:, k:]))

    def again(log_probabilities: np.ndarray) -> np.ndarray:
        known = np.concatenate([log_probabilities, assigned.embedding], 1, dtype=np.float32)
        return apply_in_batches(log_posterior, dict(arrays), known)

    with np.errstate(divide="ignore"):
        probabilities = np.exp(again(np.log(assigned.probabilities)))
        opinion = assigned.reconstruction
        if opinion is not None:
            opinion = again(np.log(opinion[:, None] == np.arange(k))).argmax(1).astype(np.int32)
    model = edited.edited(fitted.model, step, arrays)
    levels = None if fitted.levels is None else regrouped(fitted.levels, step.members)
    return Edited(
        fitted._replace(n_clusters=len(names), model=model, levels=levels, cluster_names=tuple(names)),
        assigned._replace(
            labels=probabilities.argmax(1).astype(np.int32), probabilities=probabilities, reconstruction=opinion
        ),
        tuple(tuple(sorted(one for k in of for one in before.origin[k])) for of in step.members),
        (*before.told, *told),
    )


def _found(codes: np.ndarray, into: Into, key: Key, report: Reporter) -> Found:
    """Clusters of some codes (m, d), the largest first."""
    report.phase("clusters")
    found = clusters.find({"codes": codes}, into, seeds.seed(key, "clusters"), note=report.note)
    k = found.memberships.shape[1]
    order = np.argsort(-np.bincount(found.labels[found.labels >= 0], minlength=k), kind="stable")
    place = np.append(np.argsort(order), -1).astype(np.int32)
    return found._replace(labels=place[found.labels], memberships=found.memberships[:, order])


def _head(codes: np.ndarray, targets: np.ndarray, key: Key, report: Reporter) -> dict[str, PyTree]:
    """'mean', 'scale' and 'head' of a step: a classifier of codes (m, d) that learns targets (m, P)."""
    mean, scale = codes.mean(0), np.maximum(codes.std(0), 1e-6 * max(float(codes.std()), 1e-30))
    scaled = ((codes - mean) / scale).astype(np.float32)
    batches = -(-len(scaled) // min(BATCH, len(scaled)))
    epochs = max(EPOCHS, STEPS / batches)
    training = classifier.classifier(edited.head_spec(targets.shape[1], round(epochs * batches)), targets)
    phases = Phases(None, report)
    state = phases.train("head", training, scaled, key=key, epochs=epochs, batch_size=min(BATCH, len(scaled)))
    return {"mean": mean, "scale": scale, "head": jax.device_get(classifier.arrays_of(state))}


def _counts(of: Edited) -> np.ndarray:
    return np.bincount(of.assigned.labels, minlength=of.fitted.n_clusters)


def _key(before: Edited, seed: int) -> Key:
    """Of the next step."""
    return fold_name(jax.random.key(seed), f"edit {edited.n_edits(before.fitted.model.meta)}")


def _doubt(found: Found) -> str:
    return "" if found.told["clear"] else ", not clear ones"


def _listed(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}"
