"""Hierarchical and relativistic Wasserstein autoencoder-GAN (hrwae-gan; Morais, MSc thesis, IST 2021).

    x                 example              z_0 .. z_L-1      latent groups, z_0 at the top (nn/hierarchical.py)
    q(z_l|z_<l, x)    posterior            p(z_l|z_<l)       prior, learned but for p(z_0) = N(0, I)
    D_l, f            critic of group l before its sigmoid, and that sigmoid

Each critic tells draws z of the prior from draws z^ of the posterior, in pairs, and the encoder deceives it:

    L_D = sum_l a_l E[-log f(D_l(z) - D_l(z^))]                                          (eq. 5)
    L_G = sum_l a_l E[-log f(D_l(z^) - D_l(z))],  a_0 >= a_1 >= ..                       (eq. 6)
    L_I = sum_{l >= 1} 1 - cos(e_N-l, d_l), the encoder's map and the decoder's of one size    (eq. 10)
    L   = sum_i w_i (L_R + alpha L_G + kappa L_I)_i / sum_i w_i                          (eq. 9)

L_R is the cross-entropy or the squared error of the reconstruction. w is the noise attention: every few epochs UMAP and
HDBSCAN cluster z_0, and what is noise weighs `noise_weight` until the next time, others 1. L = 1 is a relativistic
WAE-GAN.

After the training each group's posterior means are clustered by UMAP and HDBSCAN, or by a Gaussian mixture (3.2).
Those of `cluster_group` teach a classifier of examples, the head, which gives the labels.

Deviations: the text prints L_N (eq. 11) as a count, without a gradient, where it means the weights w. Its labels are
HDBSCAN's; here they are the head's, which new examples can have too. Variances of codes are at most one, and batch norm
in the critics has the statistics of the prior's codes alone: without these two the codes run away (nn/hierarchical.py).
The preset 'quick' augments images and asks for the unchanged one; K is what comes again over draws of UMAP
(host/clusters.py); and half of the examples (`prior_share`) are decoded with lower groups drawn from their priors, or
z_0 would leave the image to them.

Some examples are held out: after every stretch of `attention_epochs` they tell how well the codes fit their priors. A
training that is broken ends there, with the last state that was found sound.
"""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxclust import losses
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images, take
from jaxclust.errors import Diverged, InputError
from jaxclust.host import sampling, seeds
from jaxclust.host.clusters import Found
from jaxclust.methods.base import Method, Model, Result, System
from jaxclust.methods.parts import classifier
from jaxclust.methods.parts.coders import inputs_of
from jaxclust.methods.parts.first_clusters import Values, first_clusters, found_of
from jaxclust.methods.parts.hrwae_gan_config import QUICK, Config, augmentation
from jaxclust.methods.parts.hrwae_gan_model import (
    broken,
    critic,
    gaussians,
    head_spec,
    health,
    hierarchy,
    noise,
    restore,
    saturated,
)
from jaxclust.methods.parts.networks import init, train_mode, transformed
from jaxclust.methods.parts.outcome import outcome, with_clusters
from jaxclust.nn.hierarchical import Instead
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train import loop
from jaxclust.train.phases import Phases, initial
from jaxclust.train.state import step_key, to_unit
from jaxclust.typing import Array, Batch, Key, PyTree, TrainState

AGREED, ROUNDS = 0.97, 3  # the share of the labels that the head shall give, and how often it is trained for that

# Losses

PAIRS = {"relativistic": losses.relativistic_pair, "standard": losses.standard_pair}


def judged(
    config: Config, params: PyTree, stats: PyTree, prior: Array, code: Array, weight: Array
) -> tuple[Array, Array, PyTree]:
    """D(z) and D(z^), (b,) each, of draws of a prior and of codes, (b, d) each; the critic's new statistics."""
    both, weights = jnp.concatenate([prior, code]), jnp.concatenate([weight, jnp.zeros_like(weight)])
    values, stats = train_mode(critic(config), params, stats, both, weights)
    return *jnp.split(values, 2), stats


def autoencoder_loss(
    config: Config, likelihood: str, params: PyTree, state: TrainState, x: Array, target: Array, batch: Batch
) -> tuple[Array, tuple[PyTree, PyTree, dict[str, Array]]]:
    """L (eq. 9) of encoder and decoder; their new statistics, draws of the priors with the codes, and the terms."""
    shape, weight, pair = x.shape[1:], batch.weight, PAIRS[config.adversarial]
    variables = {"params": params, "batch_stats": state.extra["stats"]}
    drawn, others = (noise(step_key(state, name), len(x), config, shape) for name in ("posterior", "prior"))
    instead = None
    if config.prior_share and config.groups > 1:
        which = jax.random.bernoulli(step_key(state, "instead"), config.prior_share, (len(x),))
        instead = Instead(which, others)
    net = hierarchy(config, shape)
    (walk, seen), updated = net.apply(variables, x, drawn, weight, True, instead, mutable=["batch_stats"])
    priors = tuple(prior.at(e) for prior, e in zip(walk.priors, others, strict=True))
    deceived, matched = jnp.zeros(len(x)), jnp.zeros(len(x))
    for level, (z, code) in enumerate(zip(priors, walk.codes, strict=True)):
        real, fake, _ = judged(config, state.params["critics"][level], state.extra["critics"][level], z, code, weight)
        deceived += config.group_decay**level * pair(fake, real)
    for level in range(1, config.groups):
        matched += losses.cosine_dissimilarity(seen[level], walk.maps[level])
    attention = weight * state.extra["attention"][batch.index]
    terms = {
        "reconstruction": weighted_mean(losses.reconstruction(likelihood, walk.output, target), attention),
        "adversarial": weighted_mean(deceived, attention),
        "matching": weighted_mean(matched, attention),
    }
    total = terms["reconstruction"] + config.adversarial_weight * terms["adversarial"]
    total += config.matching_weight * terms["matching"]
    return total, (updated["batch_stats"], (priors, walk.codes), {**terms, "loss": total})


def critic_loss(
    config: Config, critics: PyTree, state: TrainState, codes: PyTree, weight: Array
) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
    """L_D (eq. 5) of draws of the priors and codes, a pair of tuples of (b, d_l); new statistics, each group's gap."""
    total, seen, terms = jnp.zeros(()), [], {}
    for level, (z, code) in enumerate(zip(*codes, strict=True)):
        real, fake, stats = judged(config, critics[level], state.extra["critics"][level], z, code, weight)
        total += config.group_decay**level * weighted_mean(PAIRS[config.adversarial](real, fake), weight)
        terms[f"gap_{level}"] = weighted_mean(real - fake, weight)
        seen.append(stats)
    return total, (seen, terms)


# The training


@lru_cache(32)
def hrwae_gan(config: Config, shape: tuple[int, ...], likelihood: str, n_steps: int) -> Method:
    """One step updates encoder and decoder by L, then the critics by L_D, with the same codes.

    params: 'autoencoder', 'critics' (one a group); opt_state the same. extra: 'stats' and 'critics', running statistics
    of both, and 'attention' (n,), the weights w, found by Batch.index.
    """
    main, side = optimisers(config, n_steps)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = init(hierarchy(config, shape), fold_name(key, "autoencoder"), jnp.zeros(batch_shape))
        codes = noise(key, 2, config, shape)
        made = [init(critic(config), fold_name(key, f"critic{i}"), code) for i, code in enumerate(codes)]
        critics, seen = [params for params, _ in made], [stats for _, stats in made]
        extra = {"stats": stats, "critics": seen, "attention": jnp.ones(batch_shape[0])}
        opt_state = {"autoencoder": main.init(params), "critics": side.init(critics)}
        both = {"autoencoder": params, "critics": critics}
        return TrainState(jnp.zeros((), jnp.int32), both, opt_state, extra, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        clean = to_unit(batch.image)
        x = transformed(state, clean, augmentation(config, likelihood), config.form)
        target = clean if config.clean_target else x
        slope = jax.grad(partial(autoencoder_loss, config, likelihood), has_aux=True)
        grads, (stats, codes, terms) = slope(state.params["autoencoder"], state, x, target, batch)
        against = jax.value_and_grad(partial(critic_loss, config), has_aux=True)
        codes = jax.lax.stop_gradient(codes)
        (value, (seen, gaps)), steps = against(state.params["critics"], state, codes, batch.weight)
        params, opt_state = {}, {}
        for name, optimiser, grad in (("autoencoder", main, grads), ("critics", side, steps)):
            updates, opt_state[name] = optimiser.update(grad, state.opt_state[name], state.params[name])
            params[name] = optax.apply_updates(state.params[name], updates)
        extra = {**state.extra, "stats": stats, "critics": seen}
        terms |= {"critic": value, **gaps}
        return TrainState(state.step + 1, params, opt_state, extra, state.key), terms

    return Method(start, step)


def optimisers(config: Config, n_steps: int) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Adam for the autoencoder, and for the critics, with their beta_1 of 0.5 (Radford et al. 2016)."""
    rates: list[Any] = [config.learning_rate, config.critic_learning_rate]
    if config.schedule == "cosine":
        warm_up = max(1, n_steps // 20)
        cosine = partial(
            optax.warmup_cosine_decay_schedule, warmup_steps=warm_up, decay_steps=max(n_steps, warm_up + 1)
        )
        rates = [cosine(rate / 10, rate) for rate in rates]
    return optax.adam(rates[0]), optax.adam(rates[1], b1=0.5)


# The phases


def fit(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Phases: 'training-1', 'health-1', 'noise-1', 'training-2', ..; 'clusters-l' of each group on the host; 'head'.

    images: (n, side, side, c) uint8 or (n, d) float32, as data.prepare gives them. Raises InputError for more groups
    than the networks have levels, too few examples, and where no clusters are found; Diverged where the training is
    broken by its first look.
    """
    shape, n = images.shape[1:], len(images)
    hierarchy(config, shape)  # refuses a number of groups
    looked, rows = held_out(config, n, key)
    enough(config, len(rows))
    state, told = train(config, take(images, rows), images[looked], preprocess.likelihood, key, phases)

    arrays = {"params": state.params["autoencoder"], "stats": state.extra["stats"]}
    codes = moments(config, arrays, images)
    found = [clusters(config, level, codes, preprocess, images, key, phases) for level in range(config.groups)]
    first = found[config.cluster_group]
    assert first is not None
    n_clusters = first.memberships.shape[1]
    head, agreement = distilled(config, images, preprocess.likelihood, first.labels, n_clusters, key, phases)

    meta: dict[str, Any] = {"config": asdict(config), "shape": list(shape), "likelihood": preprocess.likelihood}
    meta["n_clusters"] = n_clusters
    fitted = {"autoencoder": arrays, "head": head, **gaussians(*codes[0], first.labels, n_clusters)}
    sizes = [means.shape[1] for means, _ in codes]
    summary = {
        "latent_dim": sizes[config.cluster_group],
        "latent_dims": sizes,
        "clusters_by_group": [None if one is None else one.memberships.shape[1] for one in found],
        "head_agreement": agreement,
        **told,
    }
    model = Model(meta, jax.device_get(fitted), restore(meta))
    opinions = {f"group_{level}": one.labels for level, one in enumerate(found) if one is not None}
    result = outcome(model, images, opinions, **summary)._replace(noise=first.labels < 0)
    return with_clusters(result, first)


def held_out(config: Config, n: int, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Sorted rows of n examples: those that are looked at, a share but 32 of few and 1000 of many, and the others."""
    order = np.random.default_rng(seeds.seed(key, "held-out")).permutation(n)
    count = max(round(config.held_out * n), min(32, n // 5))
    count = int(np.clip(count, 2, min(1000, n // 2)))
    return np.sort(order[:count]), np.sort(order[count:])


def enough(config: Config, n_trained: int) -> None:
    """Raises InputError for fewer examples than the clusters need."""
    if n_trained < 3:
        raise InputError(f"{n_trained} examples are too few to train on: give more data")
    if config.n_clusters != "auto" and config.max_samples < 2 * config.n_clusters:
        raise InputError(f"max_samples is {config.max_samples}: give at least twice n_clusters, {config.n_clusters}")


def train(
    config: Config, images: Images, looked: np.ndarray, likelihood: str, key: Key, phases: Phases
) -> tuple[TrainState, dict[str, Any]]:
    """The trained state, and what is known of the training: 'ended', why before its time or None; 'health', by look;
    and 'look', which of these is that of the state.

    It is trained in equal stretches of about `attention_epochs`; after each, its health on the examples `looked` (m,
    ...) and the noise attention are found anew. What is broken is undone, back to the last look without a saturated
    critic, where there is one.
    """
    shape, n, size = images.shape[1:], len(images), min(config.batch_size, len(images))
    stretches = max(1, round(config.epochs / config.attention_epochs))
    epochs = length(config, config.epochs, n) / stretches
    method = hrwae_gan(config, shape, likelihood, stretches * loop.total_steps(epochs, -(-n // size)))
    state = initial(method, fold_name(key, "init"), (size, *shape))
    attention, ended, kept, good = np.ones(n, np.float32), None, 0, state
    looks: list[dict[str, np.ndarray]] = []
    jitted = jax.jit(partial(health, config, likelihood))
    for i in range(1, stretches + 1):
        name, stretch = f"training-{i}", fold_name(key, f"training-{i}")
        before = jax.device_get(state._replace(key=key))
        extra = {**before.extra, "attention": attention}
        state = before._replace(step=np.zeros((), np.int32), key=stretch, extra=extra)
        try:
            state = phases.train(
                name, method, images, key=stretch, epochs=epochs, batch_size=config.batch_size, state=state
            )
        except Diverged as error:
            if i == 1:
                raise
            ended = str(error).partition(";")[0]
        else:
            look = partial(jitted, state.params, state.extra, fold_name(key, f"health-{i}"), looked)
            looks.append(phases.compute(f"health-{i}", lambda look=look: look()._asdict()))  # type: ignore[misc]
            ended = broken(looks, last=i == stretches)
        if ended is not None:
            if not kept:
                raise Diverged(f"training is broken after {i * epochs:g} epochs: {ended}; lower --learning-rate")
            phases.note(f"{name}: {ended}: goes on with the state after training-{kept}")
            return good, {"ended": ended, "look": kept, "health": plain(looks)}
        if not saturated(looks[-1]):
            kept, good = i, jax.device_get(state)
        if config.noise_weight > 1 and i < stretches:
            solve = partial(noise_of, config, state, images, fold_name(key, f"noise-{i}"))
            left_out = phases.compute(f"noise-{i}", solve)["noise"]
            attention = np.where(left_out, config.noise_weight, 1.0).astype(np.float32)
            phases.note(f"{left_out.mean():.1%} of the examples are noise")
    return state, {"ended": None, "look": stretches, "health": plain(looks)}


def plain(looks: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """What each look found as plain numbers."""
    return [{name: np.asarray(value, float).round(5).tolist() for name, value in look.items()} for look in looks]


def length(config: Config, epochs: float, n: int) -> float:
    """Epochs of a training for which the config states `epochs`: more where n examples are few (`min_steps`)."""
    return epochs * max(1.0, config.min_steps / (config.epochs * -(-n // min(config.batch_size, n))))


def moments(config: Config, arrays: PyTree, images: Images) -> list[tuple[np.ndarray, np.ndarray]]:
    """Means and variances (n, d_l) of every group's posterior, z_<l being their means."""
    net = hierarchy(config, images.shape[1:])

    def infer(images: Array) -> list[tuple[Array, Array]]:
        walk, _ = net.apply({"params": arrays["params"], "batch_stats": arrays["stats"]}, to_unit(images))
        return [(q.mean, jnp.exp(q.log_var)) for q in walk.posteriors]

    return loop.in_batches(jax.jit(infer), images)


def noise_of(config: Config, state: TrainState, images: Images, key: Key) -> dict[str, np.ndarray]:
    """'noise' (n,) bool: whose top codes the density tree leaves out of all clusters, in one draw of UMAP of a sample.

    Of more than `max_samples` examples the others are no noise.
    """
    rows = sampling.sample(len(images), config.max_samples, seeds.seed(key, "sample"))
    arrays = {"params": state.params["autoencoder"], "stats": state.extra["stats"]}
    codes, _ = moments(config, arrays, take(images, rows))[0]
    left_out = np.zeros(len(images), bool)
    one = replace(config, n_clusters="auto", draws=1)
    with suppress(InputError):  # too few examples, or no clusters yet
        left_out[rows] = found_of(one, {"codes": codes}, "auto", key).labels < 0
    return {"noise": left_out}


def clusters(
    config: Config,
    level: int,
    codes: list[tuple[np.ndarray, np.ndarray]],
    preprocess: Preprocess,
    images: Images,
    key: Key,
    phases: Phases,
) -> Found | None:
    """Clusters of the codes of group `level`, in the phase 'clusters-level'. None, with a note, where a group has none
    that does not give the labels."""
    inputs = partial(inputs_of, preprocess, images) if level == config.cluster_group else None
    try:
        return group_clusters(config, level, codes, preprocess, images, inputs, key, phases)
    except InputError as error:
        if level == config.cluster_group:
            raise
        phases.note(f"group {level}: {str(error).partition(':')[0]}")
        return None


def group_clusters(
    config: Config,
    level: int,
    codes: list[tuple[np.ndarray, np.ndarray]],
    preprocess: Preprocess,
    images: Images,
    inputs: Values | None,
    key: Key,
    phases: Phases,
) -> Found:
    """The same; raises InputError where there are none."""
    return first_clusters(
        config,
        len(images),
        codes[level][0].__getitem__,
        fold_name(key, f"group{level}"),
        phases,
        inputs=inputs,
        features=preprocess.kind == "features",
        name=f"clusters-{level}",
    )


def distilled(
    config: Config,
    images: Images,
    likelihood: str,
    first: np.ndarray,
    n_clusters: int,
    key: Key,
    phases: Phases,
) -> tuple[PyTree, float]:
    """The head that learns the labels `first` (n,), -1 unknown: its arrays, and the share of them that it gives.

    It is trained again, up to ROUNDS times in all, while that is less than AGREED.
    """
    seen, labels = take(images, np.flatnonzero(first >= 0)), first[first >= 0]
    n, size = len(labels), min(config.batch_size, len(labels))
    epochs = length(config, config.head_epochs, n)
    spec = head_spec(config, likelihood, n_clusters, loop.total_steps(epochs, -(-n // size)))
    method = classifier.classifier(spec, np.eye(n_clusters, dtype=np.float32)[labels])
    state, agreement = None, 0.0
    for i in range(1, ROUNDS + 1):
        name = "head" if i == 1 else f"head-{i}"
        of_round = fold_name(key, name)
        fresh = initial(method, fold_name(of_round, "init"), (size, *images.shape[1:]))
        if state is not None:
            fresh = fresh._replace(params=state.params, extra=state.extra)
        state = phases.train(name, method, seen, key=of_round, epochs=epochs, batch_size=size, state=fresh)
        said = loop.in_batches(partial(jax.jit(method.log_posterior), state), seen).argmax(1)
        agreement = float((said == labels).mean())
        phases.note(f"the head agrees with {agreement:.1%} of the labels that it learned")
        if agreement >= AGREED:
            break
    assert state is not None
    return {"params": state.params, "stats": state.extra["stats"]}, round(agreement, 5)


SYSTEM = System(
    name="hrwae-gan",
    title="hierarchical Wasserstein autoencoder with relativistic latent critics, clustered by density",
    source="Morais, Generative deep clustering with the hierarchical and relativistic WAE-GAN, MSc thesis, IST 2021",
    Config=Config,
    presets={"quick": QUICK, "paper": Config()},
    fit=fit,
    restore=restore,
)
