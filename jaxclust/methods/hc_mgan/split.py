"""What is trained to split a node of hc-mgan's tree, run to its end, and what comes out."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from jaxclust.data.rows import Images, blocks
from jaxclust.host import cuts, sampling, seeds
from jaxclust.methods.hc_mgan import slots
from jaxclust.methods.hc_mgan.config import Config
from jaxclust.methods.hc_mgan.model import log_odds_of_each, networks
from jaxclust.methods.hc_mgan.slots import Slots, Start
from jaxclust.methods.shared.job import Job
from jaxclust.nn.apply import by_path, nested
from jaxclust.numerics import fold_name
from jaxclust.train.inference import apply_in_batches
from jaxclust.typing import Key, PyTree

FEWEST = 0.01  # share of a node's mass below which a child is nearly empty
EMPTY = "a child is nearly empty"
USABLE = ("", slots.FAULTS[slots.COLLAPSED])  # faults of a node's first training: that D won at last is no obstacle

Place = tuple[int, ...]  # a node's way from the root: 0 to its first child, 1 to the second


class Split(NamedTuple):
    """A node's split, as far as it is known.

    share:  (n,) float64, p of every example: what part of its membership the first child gets.
    unrefined: (n,) float64, the same before it was refined.
    params: 'features', 'discriminator' and 'classifier' (V, ...), 'generator' (2, ...); V is 1 after a raw split and 2
            after a refinement. Nothing after a cut.
    offset: log m_l / m_m of the groups' masses, which is added to the classifiers' log odds; 0 with equal priors.
    moved:  (t,) share of the node's mass that each refinement moved.
    ncut:   normalised cut of the neighbours' graph between the children, in [0, 2]; 0 after a raw split.
    doubt:  how far the two classifiers' p are apart, a mean over the mass, in [0, 1]; 0 after a raw split, and 1 where
            no refinement of it was sound.
    sound:  whether a training could split the node.
    open:   whether another refinement may follow.
    """

    share: np.ndarray
    unrefined: np.ndarray
    params: PyTree
    moved: np.ndarray
    offset: float
    ncut: float
    doubt: float
    sound: bool
    open: bool


class Work(NamedTuple):
    """A training to be done: its key, memberships (groups, n) of its real examples, epochs, whether it has only
    `refinement_steps` of their steps, and parameters to begin with, new ones without."""

    key: Key
    members: np.ndarray
    epochs: float
    short: bool = False
    warm: PyTree | None = None


class End(NamedTuple):
    """A training that is done: why it failed, '' if it did not, its parameters, what its classifiers say of the first
    child, (n, V) float64 in [0, 1], and the prior's log odds in that."""

    fault: str
    params: PyTree
    says: np.ndarray
    offset: float = 0.0


def run(job: Job[Config], several: Slots, work: Mapping[Place, Work], name: str, titles: list[str]) -> dict[Place, End]:
    """All trainings at a time; what fails is begun anew with another key, as often as allowed. Where all fail, the last
    usable one counts.

    titles: gets the names of the phases.
    """
    config, images, key = job.config, job.images, job.key
    groups, count = several.groups, several.number
    places = list(work)
    ends: dict[Place, End] = {}
    for attempt in range(config.restarts + 1):
        titles.append(name if attempt == 0 else f"{name}-again-{attempt}")
        n_steps, cdf = np.zeros(count, np.int32), np.ones((count, groups, len(images)), np.float32)
        keys = [key] * count
        for i, place in enumerate(places):
            if place not in ends or ends[place].fault:
                one = work[place]
                keys[i] = jax.random.fold_in(one.key, attempt)
                cdf[i] = slots.cumulative(one.members)
                n_steps[i] = steps(config, one)
        state = slots.compiled(several.begin)(key, Start(jnp.stack(keys), jnp.asarray(cdf), jnp.asarray(n_steps)))
        epochs = int(n_steps.max()) / several.batches.per_epoch
        warm = {i: one.warm for i, one in enumerate(work.values()) if n_steps[i] and one.warm}
        state = state._replace(params=put_in(state.params, warm))
        state = job.train(titles[-1], several.training, epochs, key=key, batches=several.batches, state=state)
        params, faults = jax.device_get((state.params, state.extra["fault"]))
        for i in map(int, np.flatnonzero(n_steps)):
            of_slot = jax.tree.map(lambda leaf, i=i: leaf[i], params)
            end = ended(config, images, of_slot, faults[i], work[places[i]])
            if places[i] not in ends or end.fault in USABLE:
                ends[places[i]] = end
            if end.fault:
                job.note(f"{titles[-1]}: {end.fault}")
        if not any(end.fault for end in ends.values()):
            break
    return ends


def key_of(key: Key, place: Place) -> Key:
    """The key of a node, whatever the order of the splits."""
    key = fold_name(key, "root")
    for side in place:
        key = jax.random.fold_in(key, side)
    return key


def steps(config: Config, work: Work) -> int:
    """Steps of a training: an epoch visits as many examples as the node's mass (section 5.1)."""
    asked = max(config.min_steps, work.epochs * max(1, int(work.members.sum()) // config.batch_size))
    asked = asked if config.max_steps is None else min(asked, config.max_steps)
    return slots.whole(asked * (config.refinement_steps if work.short else 1.0))


def ended(config: Config, images: Images, params: PyTree, fault: int, work: Work) -> End:
    """What came out of a training of `work`."""
    nets = networks(config, images.shape[1:])
    offset = 0.0
    if len(work.members) == 2 and config.prior == "mass":
        offset = float(np.log(work.members[0].sum() / work.members[1].sum()))
    if len(work.members) == 1:
        judges = {name: params[name] for name in ("features", "discriminator", "classifier")}
        params = {**params, **jax.tree.map(lambda leaf: leaf[None], judges)}
    seeing = {name: params[name] for name in ("features", "classifier")}
    said = expit(np.asarray(apply_in_batches(log_odds_of_each(nets), seeing, images), np.float64) + offset)
    member = work.members.sum(0)
    first = said.mean(1) @ member / member.sum()
    why = slots.FAULTS[fault]
    if not np.isfinite(said).all():
        why = slots.FAULTS[slots.NOT_FINITE]
    elif fault != slots.NOT_FINITE and not FEWEST <= first <= 1 - FEWEST:
        why = EMPTY
    return End(why, params, said, offset)


def put_in(params: PyTree, warm: Mapping[int, PyTree]) -> PyTree:
    """Parameters (slots, ...) with those of some slots replaced, as NumPy arrays. The judges of a raw split serve both
    groups."""

    def replaced(leaf: np.ndarray, *new: np.ndarray) -> np.ndarray:
        leaf = np.array(leaf)
        for slot, part in zip(warm, new, strict=True):
            leaf[slot] = part
        return leaf

    return jax.tree.map(replaced, jax.device_get(params), *warm.values()) if warm else params


def raw_split(end: End) -> Split:
    """A node after its raw split."""
    sound, share = end.fault in USABLE, end.says[:, 0]
    return Split(share, share, end.params, np.zeros(0), 0.0, 0.0, 0.0, sound, sound)


def by_cuts(job: Job[Config]) -> Callable[[np.ndarray, Key], Split]:
    """The function (memberships (n,) of a node, its key) -> its normalised cut, before any network is trained.

    The images' neighbours are looked for when they are needed.
    """
    config, images = job.config, job.images
    most = config.max_ncut if config.n_clusters == "auto" else np.nextafter(cuts.UNDECIDED, 0)

    @cache
    def known() -> cuts.Neighbours:
        rows = sampling.sample(len(images), config.max_samples, job.seed("sample"))
        outside = np.isin(np.arange(len(images)), rows, invert=True)
        others = (flat(block[outside[first : first + len(block)]]) for first, block in blocks(images))
        return cuts.neighbours(rows, flat(images[rows]), others if outside.any() else (), config.neighbors)

    def cut(member: np.ndarray, of_node: Key) -> Split:
        share, ncut = known().bisect(member, seeds.seed(of_node, "cut"))
        return Split(share, share, {}, np.zeros(0), 0.0, ncut, 0.0, ncut <= most, ncut <= most)

    return cut


def flat(images: np.ndarray) -> np.ndarray:
    """Images (n, ...) as rows (n, d) float32."""
    return np.asarray(images, np.float32).reshape(len(images), prod(images.shape[1:]))


def refined(config: Config, before: Split, end: End, member: np.ndarray) -> Split:
    """A node of memberships (n,) after one more refinement, which is left aside where its training failed. After a cut
    there are no other networks: these may have a usable fault."""
    if end.fault not in (("",) if before.params else USABLE):
        doubt = before.doubt if len(before.moved) else 1.0
        return before._replace(open=False, doubt=doubt, sound=bool(before.params))
    share, total = end.says.mean(1), member.sum()
    moved = float(member @ np.abs(share - before.share) / total)
    doubt = float(member @ np.abs(end.says[:, 0] - end.says[:, 1]) / total)
    return before._replace(
        share=share, params=end.params, moved=np.append(before.moved, moved), offset=end.offset, doubt=doubt,
        open=moved >= config.settled,
    )  # fmt: skip


def packed(found: Mapping[Place, Split]) -> dict[str, np.ndarray]:
    """Splits as named arrays, for a phase to keep."""
    arrays: dict[str, np.ndarray] = {}
    for i, split in enumerate(found.values()):
        plain = {**split._asdict(), **by_path({"params": split.params})}
        del plain["params"]
        arrays |= {f"{i}/{name}": np.asarray(value) for name, value in plain.items()}
    return arrays


def unpacked(arrays: Mapping[str, np.ndarray], places: Sequence[Place]) -> dict[Place, Split]:
    """The inverse of `packed`."""
    found = {}
    for i, place in enumerate(places):
        own = {name.partition("/")[2]: value for name, value in arrays.items() if name.partition("/")[0] == str(i)}
        tree_of = {"params": {}, **nested(own)}
        for name in ("offset", "ncut", "doubt", "sound", "open"):
            tree_of[name] = tree_of[name].item()
        found[place] = Split(**tree_of)
    return found


def together(splits: Sequence[Split]) -> PyTree:
    """The parameters of all splits: 'features' and 'classifier' (S, V, ...), 'generator' (S, 2, ...).

    Where some splits have two classifiers, the only one of others counts twice. The prior is part of their biases.
    """
    two = any(len(split.moved) for split in splits)
    found = []
    for split in splits:
        judges = {name: split.params[name] for name in ("features", "classifier")}
        dense = judges["classifier"]["params"]
        bias = dense["bias"] + np.float32(split.offset / 2) * np.array([1, -1], np.float32)
        judges["classifier"] = {"params": {**dense, "bias": bias}}
        if two and not len(split.moved):
            judges = jax.tree.map(lambda leaf: np.repeat(leaf, 2, 0), judges)
        found.append({**judges, "generator": split.params["generator"]})
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)
