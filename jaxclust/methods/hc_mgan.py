"""A tree of clusters grown from the top by multi-generator GANs (hc-mgan; Mello, MSc thesis, UFMG 2021).

    s_k    membership of every example in node k, in [0, 1]        P_s    draws example i with probability s_i / sum s
    G      generator        D      discriminator, after its sigmoid        C      classifier, after its softmax
    D and C share their features, which D's loss alone moves.

The root's s is 1. The leaf with the largest mass is split, until there are as many as are asked for (algorithm 3.1):

  raw split (algorithm 3.2): two generators a and b, one D and one C, and real examples of P_s_k
    D     -log D(x) - 1/2 log(1 - D(G_a)) - 1/2 log(1 - D(G_b))                      (eq. 3.3)
    C     -1/2 log C_a(G_a) - 1/2 log C_b(G_b)                                       (eq. 3.4)
    G     -1/2 log D(G_a) - 1/2 log D(G_b) + gamma times the same as C               (eq. 3.2)
    then  s_l = C_a(x) s_k and s_m = C_b(x) s_k

  T refinements (algorithms 3.3 and 3.4): a group l and a group m, each with its G, D and C, one after the other
    D     -log D(x) - log(1 - D(G)), x of P_s_l or P_s_m
    C     -1/2 log C_own(G) - 1/2 log C_other(G'), G' the other group's
    G     -log D(G) + gamma (-1/2 log C_own(G) - 1/2 log C'_own(G)), C' the other group's
    then  s_l = p s_k and s_m = (1 - p) s_k, p the mean of what both C say

s_l + s_m = s_k: the leaves' memberships of an example sum to one. A key belongs to a node, whatever is split before or
beside it, so several leaves that will be split anyway are trained at a time, in one program, with the same result to
rounding.

Deviations: layer normalisation is over a whole image, and z is scaled to mean 0 and variance 1 (nn/gan.py). Steps come
in chunks of 32. Preset 'quick' has narrower networks that learn faster, and no raw split, for which so few steps are
not enough: a split begins with the normalised cut of a graph of nearest neighbours (`start` 'manifold'), which two
refinements move. Their C also see real examples (`real_weight` w: + w/2 (-log C_own(x) - log C_other(x')), x drawn for
C's own group, x' for the other), and have the groups' masses as prior (`prior` 'mass': log m_l / m_m is added to their
log odds); the second goes on with the first one's networks (`warm_start`), and noise stays small throughout. Options:
both groups updated from the same state (`order`); an end where no split separates anything (`n_clusters` 'auto': by the
normalised cut, by how far the two C disagree, by a child's share); random transformations of all that D and C see in
training (`rotation`, `zoom`, `shift`, `flip`; Zhao et al. 2020, Differentiable augmentation).
What the text leaves to the eye is done here: a training whose discriminator wins, or whose losses are not finite, is
begun anew, and so is a split that leaves a child nearly empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxclust.data.augment import NONE
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.errors import InputError
from jaxclust.host import cuts
from jaxclust.methods.base import Model, Result, System
from jaxclust.methods.parts import slots, tree
from jaxclust.methods.parts.hc_mgan_config import QUICK, Config, augmentation
from jaxclust.methods.parts.hc_mgan_model import Networks, networks, restore, samples
from jaxclust.methods.parts.hc_mgan_split import (
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
from jaxclust.methods.parts.networks import moved
from jaxclust.methods.parts.outcome import outcome
from jaxclust.methods.parts.population import keys as keys_of
from jaxclust.methods.parts.slots import Slots
from jaxclust.nn import conv
from jaxclust.nn.gan import NOISE
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.mesh import over_data
from jaxclust.train.phases import Phases
from jaxclust.typing import Array, Key, PyTree

# Losses, in nats


def discriminator_loss(nets: Networks, params: PyTree, real: Array, fakes: Sequence[Array], weight: Array) -> Array:
    """D's cross-entropy: of real examples (b, ...), asked for 1, and of each generator's (b, ...), asked for 0."""
    features = nets.features.apply(params["features"], in_turn([real, *fakes]))
    logits = nets.discriminator.apply(params["discriminator"], features).reshape(len(real), -1)
    each = weighted_mean(jax.nn.softplus(logits * jnp.array([-1.0] + [1.0] * len(fakes))), weight)
    return each[0] + each[1:].mean()


def in_turn(parts: Sequence[Array]) -> Array:
    """m batches (b, ...) as one (b m, ...) in which they take turns: spread over devices, each has its share of all."""
    return jnp.stack(parts, 1).reshape(-1, *parts[0].shape[1:])


def deceived(nets: Networks, params: PyTree, features: Array, weight: Array) -> Array:
    """-log D of generated examples, by their features (b, d)."""
    return weighted_mean(jax.nn.softplus(-nets.discriminator.apply(params, features)[:, 0]), weight)


def told_apart(nets: Networks, params: PyTree, features: Array, maker: Array | int, weight: Array) -> Array:
    """-log C_maker of generated examples, by their features (b, d); maker is 0 or 1."""
    log_p = jax.nn.log_softmax(nets.classifier.apply(params, features))
    return -weighted_mean(jnp.take(log_p, maker, axis=1), weight)


# Updates: each takes the parameters of a GAN and returns them updated, with the losses


def update_judges(
    config: Config,
    nets: Networks,
    params: PyTree,
    opt_state: PyTree,
    real: Array,
    fakes: Sequence[Array],
    weight: Array,
) -> tuple[PyTree, PyTree, Array]:
    """D and the features, by D's loss."""
    judges = {name: params[name] for name in ("features", "discriminator")}
    loss, grads = jax.value_and_grad(lambda p: discriminator_loss(nets, p, real, fakes, weight))(judges)
    judges, state = applied(config.discriminator_learning_rate, grads, opt_state["discriminator"], judges)
    return {**params, **judges}, {**opt_state, "discriminator": state}, loss


def raw_update(
    config: Config, nets: Networks, params: PyTree, opt_state: PyTree, real: Array, weight: Array, std: Array, key: Key
) -> tuple[PyTree, PyTree, dict[str, Array]]:
    """One iteration of algorithm 3.2, with real examples (b, ...). C and G share a pass through the features.

    params: 'generator' (2, ...), 'features', 'discriminator' and 'classifier'; opt_state: all but 'features'.
    """
    z = latents(key, len(real))
    make, look = conv.stacked(nets.generator.apply, config.form), partial(shown, config, nets, std, key)
    fakes, to_generators = jax.vjp(lambda p: list(map(look, "ab", make(p, z))), params["generator"])
    params, opt_state, of_d = update_judges(config, nets, params, opt_state, look("r", real), fakes, weight)
    seen, to_fakes = jax.vjp(partial(nets.features.apply, params["features"]), in_turn(fakes))

    def apart(classifier: PyTree, seen: Array) -> Array:
        a, b = seen[0::2], seen[1::2]
        return (told_apart(nets, classifier, a, 0, weight) + told_apart(nets, classifier, b, 1, weight)) / 2

    of_c, grads = jax.value_and_grad(apart)(params["classifier"], seen)
    params, opt_state = update(config.classifier_learning_rate, "classifier", grads, params, opt_state)

    def of_generators(seen: Array) -> tuple[Array, Array]:
        fooled = deceived(nets, params["discriminator"], seen, jnp.repeat(weight, 2))
        return fooled + config.classifier_weight * apart(params["classifier"], seen), fooled

    to_seen, fooled = jax.grad(of_generators, has_aux=True)(seen)
    to_each = to_fakes(to_seen)[0].reshape(len(real), 2, *real.shape[1:])
    (grads,) = to_generators([to_each[:, 0], to_each[:, 1]])
    params, opt_state = update(config.generator_learning_rate, "generator", grads, params, opt_state)
    return params, opt_state, {"discriminator": of_d, "classifier": of_c, "generator": fooled}


def group_update(
    config: Config,
    nets: Networks,
    params: PyTree,
    opt_state: PyTree,
    other: PyTree,
    which: Array | int,
    real: Array,
    weight: Array,
    std: Array,
    key: Key,
) -> tuple[PyTree, PyTree, dict[str, Array]]:
    """Algorithm 3.4 for group `which`, 0 is l and 1 is m, beside the parameters of the other.

    real: (2, b, ...) examples of this group and of the other, which C alone sees, and only if `real_weight` is not 0.
    """
    z = latents(key, real.shape[1])
    make, look = nets.generator.apply, partial(shown, config, nets, std, key)
    fake, to_generator = jax.vjp(lambda p: look("a", make(p, z[0])), params["generator"])
    theirs = look("b", make(other["generator"], z[1]))
    own_real = look("r", real[0])
    params, opt_state, of_d = update_judges(config, nets, params, opt_state, own_real, [fake], weight)
    features = partial(nets.features.apply, params["features"])
    seen, to_fake = jax.vjp(features, fake)
    pairs = [(1.0, seen, features(theirs))]
    if config.real_weight:
        both = features(in_turn([own_real, look("s", real[1])]))
        pairs.append((config.real_weight, both[0::2], both[1::2]))

    def apart(classifier: PyTree) -> Array:
        tell = partial(told_apart, nets, classifier, weight=weight)
        parts = [w * (tell(own, maker=which) + tell(other, maker=1 - which)) / 2 for w, own, other in pairs]
        return sum(parts[1:], parts[0])

    of_c, grads = jax.value_and_grad(apart)(params["classifier"])
    params, opt_state = update(config.classifier_learning_rate, "classifier", grads, params, opt_state)
    seen_there, to_fake_there = jax.vjp(partial(nets.features.apply, other["features"]), fake)

    def of_generator(seen: Array, seen_there: Array) -> tuple[Array, Array]:
        fooled = deceived(nets, params["discriminator"], seen, weight)
        own = told_apart(nets, params["classifier"], seen, which, weight)
        there = told_apart(nets, other["classifier"], seen_there, which, weight)
        return fooled + config.classifier_weight * (own + there) / 2, fooled

    (here, there), fooled = jax.grad(of_generator, (0, 1), has_aux=True)(seen, seen_there)
    (grads,) = to_generator(to_fake(here)[0] + to_fake_there(there)[0])
    params, opt_state = update(config.generator_learning_rate, "generator", grads, params, opt_state)
    return params, opt_state, {"discriminator": of_d, "classifier": of_c, "generator": fooled}


def groups_update(
    config: Config, nets: Networks, params: PyTree, opt_state: PyTree, real: Array, weight: Array, std: Array, key: Key
) -> tuple[PyTree, PyTree, dict[str, Array]]:
    """One iteration of algorithm 3.3: params and opt_state (2, ...), real examples (2, b, ...) of both groups.

    order 'turn': group m sees what l has become. 'together': both see the other as it was.
    """
    keys = keys_of(key, 0, 2)

    def one(params: PyTree, opt_state: PyTree, other: PyTree, which: Array, real: Array, key: Key) -> Any:
        return group_update(config, nets, params, opt_state, other, which, real, weight, std, key)

    if config.order == "together":
        others = jax.tree.map(lambda leaf: leaf[::-1], params)
        reals = jnp.stack([real, real[::-1]], 1)
        return conv.stacked(one, config.form)(params, opt_state, others, jnp.arange(2), reals, keys)

    def next_group(kept: PyTree, g: Array) -> tuple[PyTree, dict[str, Array]]:
        own, states = jax.tree.map(lambda leaf: leaf[g], kept)
        other = jax.tree.map(lambda leaf: leaf[1 - g], kept[0])
        own, states, terms = one(own, states, other, g, jnp.stack([real[g], real[1 - g]]), keys[g])
        return jax.tree.map(lambda leaf, new: leaf.at[g].set(new), kept, (own, states)), terms

    (params, opt_state), terms = lax.scan(next_group, (params, opt_state), jnp.arange(2))
    return params, opt_state, terms


def latents(key: Key, b: int) -> Array:
    """z of two generators, (2, b, NOISE); the first rows are the same, however many a batch is padded with."""
    return over_data(jax.random.uniform(fold_name(key, "z"), (b, 2, NOISE)).swapaxes(0, 1), axis=1)


def shown(config: Config, nets: Networks, std: Array, key: Key, name: str, x: Array) -> Array:
    """Examples (b, ...) as D and C see them in training: transformed at random and with noise. key: the iteration's."""
    key, ranges = fold_name(key, name), augmentation(config)
    if nets.on_images and ranges != NONE:
        x = nets.real(moved(fold_name(key, "augment"), nets.pictures(x), ranges, config.form))
    return over_data(x + std * jax.random.normal(key, x.shape))


def update(rate: float, name: str, grads: PyTree, params: PyTree, opt_state: PyTree) -> tuple[PyTree, PyTree]:
    """One network's parameters by their gradient."""
    new, state = applied(rate, grads, opt_state[name], params[name])
    return {**params, name: new}, {**opt_state, name: state}


def applied(rate: float, grads: PyTree, opt_state: PyTree, params: PyTree) -> tuple[PyTree, PyTree]:
    """One step of `adam`: params and its state."""
    updates, opt_state = adam(rate).update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def adam(rate: float) -> optax.GradientTransformation:
    """Adam as table 4.3 has it."""
    return optax.adam(rate, b1=0.5, b2=0.999)


def optimiser_states(config: Config, params: PyTree) -> PyTree:
    """Fresh states of the three optimisers of one GAN."""
    judges = {name: params[name] for name in ("features", "discriminator")}
    return {
        "discriminator": adam(config.discriminator_learning_rate).init(judges),
        "classifier": adam(config.classifier_learning_rate).init(params["classifier"]),
        "generator": adam(config.generator_learning_rate).init(params["generator"]),
    }


# The trainings of a split, and the tree


@lru_cache(32)
def training(config: Config, shape: tuple[int, ...], count: int, refine: bool) -> Slots:
    """The training of `count` raw splits at a time, or of as many refinements."""
    nets = networks(config, shape)

    def begin(key: Key) -> tuple[PyTree, PyTree]:
        both = jax.vmap(nets.init)(keys_of(key, 0, 2))
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


def fit(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Phases: 'raw-1' or 'cuts-1', 'refined-1-1', 'refined-1-2', .., 'splits-1' of the first leaves; and so on.

    images: (n, side, side, c) uint8 or (n, d) float32, as data.prepare gives them. Raises InputError where the root
    cannot be split.
    """
    splits, found, masses = grow(config, images, key, phases)
    if not splits:
        raise InputError(unsplit(config, found[0]))
    shape, chosen = images.shape[1:], [found[node] for node in splits]
    meta = {"config": asdict(config), "shape": list(shape), "splits": splits, "masses": masses}
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
    result = outcome(model, images, opinions, **summary)
    if phases.kept:
        result.plots["node_shares"] = np.stack([one.share for one in chosen]).astype(np.float32)
        result.plots["node_samples"] = samples(
            networks(config, shape), model.arrays["generator"], fold_name(key, "pictures")
        )
    return result


def grow(config: Config, images: Images, key: Key, phases: Phases) -> tuple[list[int], dict[int, Split], list[float]]:
    """The nodes that are split, in order (parts/tree.py), splits by node, of leaves too, and the masses of all nodes.

    The largest leaf comes first. Leaves that are due later are split beside it, as many as there are slots.
    """
    n, most = len(images), config.max_clusters if config.n_clusters == "auto" else int(config.n_clusters)
    member: dict[Place, np.ndarray] = {(): np.ones(n)}  # of the nodes so far
    number: dict[Place, int] = {(): 0}
    found: dict[Place, Split] = {}
    left: set[Place] = {()}  # leaves that may be split
    masses, splits, waves = [float(n)], list[int](), 0
    cut_of = by_cuts(config, images, key)
    while left and len(splits) + 1 < most:
        place = min(left, key=lambda leaf: (-masses[number[leaf]], leaf))
        if place not in found:
            open_leaves = {leaf: masses[number[leaf]] for leaf in left if leaf not in found}
            wave = tree.due(open_leaves, most - 1 - len(splits), concurrency(config))
            waves += 1
            found |= split_leaves(config, images, {leaf: member[leaf] for leaf in wave}, waves, key, phases, cut_of)
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
        phases.note(f"split {len(splits)}: node {splits[-1]} of {masses[splits[-1]]:.0f} into {parts}")
    if config.n_clusters != "auto" and len(splits) + 1 < most:
        phases.note(f"{len(splits) + 1} leaves of {most}: no other could be split")
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
    config: Config,
    images: Images,
    leaves: Mapping[Place, np.ndarray],
    wave: int,
    key: Key,
    phases: Phases,
    cut_of: Callable[[np.ndarray, Key], Split],
) -> dict[Place, Split]:
    """The splits of some leaves, given with their memberships (n,), that are trained at a time."""
    name, places = f"splits-{wave}", list(leaves)
    titles: list[str] = []
    if phases.known(name):
        return unpacked(phases.compute(name, dict), places)
    keys = {place: key_of(key, place) for place in places}
    trained = partial(training, config, images.shape[1:], concurrency(config))
    if config.start == "manifold":
        arrays = phases.compute(f"cuts-{wave}", lambda: packed({p: cut_of(leaves[p], keys[p]) for p in places}))
        found = unpacked(arrays, places)
    else:
        work = {place: Work(keys[place], leaves[place][None], config.epochs) for place in places}
        ends = run(config, images, trained(refine=False), work, f"raw-{wave}", key, phases, titles)
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
        ends = run(config, images, trained(refine=True), work, f"refined-{wave}-{t}", key, phases, titles)
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


SYSTEM = System(
    name="hc-mgan",
    title="clustering tree grown from the top by multi-generator GANs",
    source="Mello, Generative adversarial networks for hierarchical clustering, MSc thesis, UFMG 2021",
    Config=Config,
    presets={"quick": QUICK, "paper": Config()},
    fit=fit,
    restore=restore,
)
