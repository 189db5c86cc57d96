"""The phases of hc-mgan, in order; its equations are in __init__.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import trees as tree
from jaxclust.errors import InputError
from jaxclust.host import cuts
from jaxclust.methods.base import Model, Result
from jaxclust.methods.hc_mgan import slots
from jaxclust.methods.hc_mgan.config import Config
from jaxclust.methods.hc_mgan.model import networks, restore, samples
from jaxclust.methods.hc_mgan.slots import Slots
from jaxclust.methods.hc_mgan.split import (
    Place,
    Split,
    Work,
    by_cuts,
    key_of,
    packed,
    raw_split,
    refined,
    run,
    together,
    unpacked,
)
from jaxclust.methods.hc_mgan.training import groups_update, optimiser_states, raw_update
from jaxclust.methods.shared.job import Job
from jaxclust.methods.shared.outcome import outcome
from jaxclust.numerics import fold_name, fold_range
from jaxclust.typing import Array, Key, PyTree

# The trainings of a split, and the tree


@lru_cache(32)
def training(config: Config, shape: tuple[int, ...], count: int, refine: bool) -> Slots:
    """The training of `count` raw splits at a time, or of as many refinements."""
    nets = networks(config, shape)

    def begin(key: Key) -> tuple[PyTree, PyTree]:
        both = jax.vmap(nets.init)(fold_range(key, 0, 2))
        if refine:
            return both, jax.vmap(partial(optimiser_states, config))(both)
        params = {**jax.tree.map(lambda leaf: leaf[0], both), "generator": both["generator"]}
        return params, optimiser_states(config, params)

    def one(params: PyTree, opt_state: PyTree, real: Array, weight: Array, left: Array, key: Key) -> Any:
        first, last = config.noise_variance, config.last_noise_variance
        std = jnp.sqrt(last if refine and config.warm_start else last + (first - last) * left)
        return (groups_update if refine else raw_update)(config, nets, params, opt_state, real, weight, std, key)

    return slots.several(
        one, begin, nets.real, count, 2 if refine else 1, config.batch_size, config.form if nets.on_images else None
    )


def fit(job: Job[Config]) -> Result:
    """Phases: 'raw-1' or 'cuts-1', 'refined-1-1', 'refined-1-2', .., 'splits-1' of the first leaves; and so on.

    Raises InputError where the root cannot be split.
    """
    config = job.config
    splits, found, masses = grow(job)
    if not splits:
        raise InputError(unsplit(config, found[0]))
    chosen = [found[node] for node in splits]
    meta = {"config": asdict(config), "shape": list(job.shape), "splits": splits, "masses": masses}
    model = Model(meta, together(chosen), restore(meta))
    before = tree.memberships(splits, [one.unrefined for one in chosen])[tree.leaves(splits)]
    opinions = {"unrefined": before.argmax(0)} if config.refinements else {}
    summary = {
        "tree": {"splits": splits, "masses": [round(mass, 3) for mass in masses]},
        "newick": tree.newick(splits, masses),
        "linkage": tree.linkage(splits, masses).round(3).tolist(),
        "moved": [one.moved.round(5).tolist() for one in chosen],
        "ncut": [round(one.ncut, 5) for one in chosen],
        "doubt": [round(one.doubt, 5) for one in chosen],
    }
    result = outcome(model, job.images, opinions, **summary)
    if job.phases.kept:
        result.plots["node_shares"] = np.stack([one.share for one in chosen]).astype(np.float32)
        result.plots["node_samples"] = samples(
            networks(config, job.shape), model.arrays["generator"], fold_name(job.key, "pictures")
        )
    return result


def grow(job: Job[Config]) -> tuple[list[int], dict[int, Split], list[float]]:
    """The nodes that are split, in order (trees.py), splits by node, of leaves too, and the masses of all nodes.

    The largest leaf comes first. Leaves that are due later are split beside it, as many as there are slots.
    """
    config, n = job.config, job.n
    most = config.max_clusters if config.n_clusters == "auto" else int(config.n_clusters)
    member: dict[Place, np.ndarray] = {(): np.ones(n)}  # of the nodes so far
    number: dict[Place, int] = {(): 0}
    found: dict[Place, Split] = {}
    left: set[Place] = {()}  # leaves that may be split
    masses, splits, waves = [float(n)], list[int](), 0
    cut_of = by_cuts(job)
    while left and len(splits) + 1 < most:
        place = min(left, key=lambda leaf: (-masses[number[leaf]], leaf))
        if place not in found:
            open_leaves = {leaf: masses[number[leaf]] for leaf in left if leaf not in found}
            wave = tree.due(open_leaves, most - 1 - len(splits), concurrency(config))
            waves += 1
            found |= split_leaves(job, {leaf: member[leaf] for leaf in wave}, waves, cut_of)
            continue
        left.remove(place)
        if not stands(config, found[place], member[place]):
            continue
        for side, share in ((0, found[place].share), (1, 1 - found[place].share)):
            child = (*place, side)
            member[child], number[child] = share * member[place], len(masses)
            masses.append(float(member[child].sum()))
            if splittable(config, masses[-1], n):
                left.add(child)
        splits.append(number[place])
        parts = f"{masses[-2]:.0f} and {masses[-1]:.0f}"
        job.note(f"split {len(splits)}: node {splits[-1]} of {masses[splits[-1]]:.0f} into {parts}")
    if config.n_clusters != "auto" and len(splits) + 1 < most:
        job.note(f"{len(splits) + 1} leaves of {most}: no other could be split")
    return splits, {number[leaf]: found[leaf] for leaf in found}, masses


def concurrency(config: Config) -> int:
    """How many leaves are split at a time."""
    if config.concurrent != "auto":
        return config.concurrent
    return 1 if jax.default_backend() == "cpu" else 4


def splittable(config: Config, mass: float, n: int) -> bool:
    """Whether a node of that mass may be split: it holds two examples, or two of the smallest clusters."""
    return mass >= (2 * config.min_share * n if config.n_clusters == "auto" else 2.0)


def stands(config: Config, split: Split, member: np.ndarray) -> bool:
    """Whether a split of memberships (n,) is part of the tree. Where K is asked for, all are that could be trained."""
    if config.n_clusters != "auto" or not split.sound:
        return split.sound
    masses = [(share * member).sum() for share in (split.share, 1 - split.share)]
    return min(masses) >= config.min_share * len(member) and split.doubt <= config.max_doubt


def split_leaves(
    job: Job[Config], leaves: Mapping[Place, np.ndarray], wave: int, cut_of: Callable[[np.ndarray, Key], Split]
) -> dict[Place, Split]:
    """The splits of some leaves, given with their memberships (n,), that are trained at a time."""
    config, phases = job.config, job.phases
    name, places = f"splits-{wave}", list(leaves)
    titles: list[str] = []
    if phases.known(name):
        return unpacked(phases.compute(name, dict), places)
    keys = {place: key_of(job.key, place) for place in places}
    trained = partial(training, config, job.shape, concurrency(config))
    if config.start == "manifold":
        arrays = phases.compute(f"cuts-{wave}", lambda: packed({p: cut_of(leaves[p], keys[p]) for p in places}))
        found = unpacked(arrays, places)
    else:
        work = {place: Work(keys[place], leaves[place][None], config.epochs) for place in places}
        ends = run(job, trained(refine=False), work, f"raw-{wave}", titles)
        found = {place: raw_split(end) for place, end in ends.items()}
    for t in range(1, config.refinements + 1):
        work, epochs = {}, config.epochs + t * config.more_epochs
        for place in (place for place in places if found[place].open):
            groups = np.stack([found[place].share, 1 - found[place].share]) * leaves[place]
            warm = (found[place].params or None) if config.warm_start else None
            short = t > 1 or config.start == "raw"
            work[place] = Work(fold_name(keys[place], f"refinement{t}"), groups, epochs, short, warm)
        if not work:
            break
        ends = run(job, trained(refine=True), work, f"refined-{wave}-{t}", titles)
        found |= {place: refined(config, found[place], end, leaves[place]) for place, end in ends.items()}
    found = unpacked(phases.compute(name, lambda: packed(found)), places)
    for title in titles:
        phases.forget(title)
    return found


def unsplit(config: Config, root: Split) -> str:
    """Why there is no tree."""
    if root.ncut == cuts.UNDECIDED:
        return "the graph of nearest neighbours has no cut: give start raw, or more examples"
    if root.sound or (config.n_clusters == "auto" and root.ncut > config.max_ncut):
        cut = f"normalised cut {root.ncut:.3f} (max_ncut {config.max_ncut}), " if config.start == "manifold" else ""
        return (
            f"the split of all examples separates nothing: {cut}doubt {root.doubt:.3f} (max_doubt {config.max_doubt}), "
            f"or a side has less than min_share {config.min_share}: give n_clusters, or other bounds"
        )
    return f"the data could not be split in {config.restarts + 1} trainings: give more epochs or restarts"
