"""The losses (eq. 5 to 10) and the training."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import optax

from jaxclust import losses
from jaxclust.methods.hrwae_gan.config import Config
from jaxclust.methods.hrwae_gan.model import critic, hierarchy, standard_normal
from jaxclust.nn.apply import init, train_mode
from jaxclust.nn.hierarchical import Instead
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import augment_step
from jaxclust.train.optimisers import adam
from jaxclust.train.training import Batch, Training, TrainState, step_key, to_unit
from jaxclust.typing import Array, Key, PyTree

# Losses

PAIRS = {"relativistic": losses.relativistic_pair, "standard": losses.standard_pair}


def judged(
    config: Config, params: PyTree, stats: PyTree, prior: Array, code: Array, weight: Array
) -> tuple[Array, Array, PyTree]:
    """D(z) and D(z^), (b,) each, of draws of a prior and of codes, (b, d) each; the critic's new statistics."""
    both, weights = jnp.concatenate([prior, code]), jnp.concatenate([weight, jnp.zeros_like(weight)])
    values, stats = train_mode(critic(config), params, stats, both, weights)
    return *jnp.split(values, 2), stats


def random_lower(config: Config, state: TrainState, b: int) -> Array:
    """Examples of a batch of b whose lower groups the decoder gets from their priors: (b,) bool."""
    return jax.random.bernoulli(step_key(state, "instead"), config.prior_share, (b,))


def by_group(config: Config, state: TrainState, weight: Array) -> list[Array]:
    """Weights (b,) of a batch's examples in each group's terms. From z_2 on those weigh 0 whose z_1 is the prior's:
    what is below it is not q(z_l|z_<l, x)."""
    if not config.prior_share or config.groups < 3:
        return [weight] * config.groups
    true = weight * ~random_lower(config, state, len(weight))
    return [weight, weight, *[true] * (config.groups - 2)]


def autoencoder_loss(
    config: Config, likelihood: str, params: PyTree, state: TrainState, x: Array, target: Array, batch: Batch
) -> tuple[Array, tuple[PyTree, PyTree, dict[str, Array]]]:
    """L (eq. 9) of encoder and decoder; their new statistics, draws of the priors with the codes, and the terms."""
    shape, weight, pair = x.shape[1:], batch.weight, PAIRS[config.adversarial]
    variables = {"params": params, "batch_stats": state.extra["stats"]}
    drawn, others = (standard_normal(step_key(state, name), len(x), config, shape) for name in ("posterior", "prior"))
    instead = None
    if config.prior_share and config.groups > 1:
        instead = Instead(random_lower(config, state, len(x)), others)
    net = hierarchy(config, shape)
    (walk, seen), updated = net.apply(variables, x, drawn, weight, True, instead, mutable=["batch_stats"])
    priors = tuple(prior.at(e) for prior, e in zip(walk.priors, others, strict=True))
    deceived, matched = jnp.zeros(()), jnp.zeros(())
    attention = weight * state.extra["attention"][batch.index]
    weights = by_group(config, state, weight)
    for level, (z, code) in enumerate(zip(priors, walk.codes, strict=True)):
        critics = state.params["critics"][level], state.extra["critics"][level]
        real, fake, _ = judged(config, *critics, z, code, weights[level])
        counted = attention * (weights[level] > 0)
        deceived += config.group_decay**level * weighted_mean(pair(fake, real), counted)
        if level:
            matched += weighted_mean(losses.cosine_dissimilarity(seen[level], walk.maps[level]), counted)
    terms = {
        "reconstruction": weighted_mean(losses.reconstruction(likelihood, walk.output, target), attention),
        "adversarial": deceived,
        "matching": matched,
    }
    total = terms["reconstruction"] + config.adversarial_weight * terms["adversarial"]
    total += config.matching_weight * terms["matching"]
    return total, (updated["batch_stats"], (priors, walk.codes), {**terms, "loss": total})


def critic_loss(
    config: Config, critics: PyTree, state: TrainState, codes: PyTree, weight: Array
) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
    """L_D (eq. 5) of draws of the priors and codes, a pair of tuples of (b, d_l); new statistics, each group's gap."""
    total, seen, terms = jnp.zeros(()), [], {}
    for level, (z, code, counted) in enumerate(zip(*codes, by_group(config, state, weight), strict=True)):
        real, fake, stats = judged(config, critics[level], state.extra["critics"][level], z, code, counted)
        total += config.group_decay**level * weighted_mean(PAIRS[config.adversarial](real, fake), counted)
        terms[f"gap_{level}"] = weighted_mean(real - fake, counted)
        seen.append(stats)
    return total, (seen, terms)


# The training


@lru_cache(32)
def hrwae_gan(config: Config, shape: tuple[int, ...], likelihood: str, n_steps: int) -> Training:
    """One step updates encoder and decoder by L, then the critics by L_D, with the same codes.

    params: 'autoencoder', 'critics' (one a group); opt_state the same. extra: 'stats' and 'critics', running statistics
    of both, and 'attention' (n,), the weights w, found by Batch.index.
    """
    main, side = optimisers(config, n_steps)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = init(hierarchy(config, shape), fold_name(key, "autoencoder"), jnp.zeros(batch_shape))
        codes = standard_normal(key, 2, config, shape)
        made = [init(critic(config), fold_name(key, f"critic{i}"), code) for i, code in enumerate(codes)]
        critics, seen = [params for params, _ in made], [stats for _, stats in made]
        extra = {"stats": stats, "critics": seen, "attention": jnp.ones(batch_shape[0])}
        opt_state = {"autoencoder": main.init(params), "critics": side.init(critics)}
        both = {"autoencoder": params, "critics": critics}
        return TrainState(jnp.zeros((), jnp.int32), both, opt_state, extra, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        clean = to_unit(batch.image)
        x = augment_step(state, clean, config.mirrored(), config.form)
        target = clean if config.clean_target else x
        slope = jax.grad(partial(autoencoder_loss, config, likelihood), has_aux=True)
        grads, (stats, codes, terms) = slope(state.params["autoencoder"], state, x, target, batch)
        against = jax.value_and_grad(partial(critic_loss, config), has_aux=True)
        (value, (seen, gaps)), steps = against(state.params["critics"], state, codes, batch.weight)
        params, opt_state = {}, {}
        for name, optimiser, grad in (("autoencoder", main, grads), ("critics", side, steps)):
            updates, opt_state[name] = optimiser.update(grad, state.opt_state[name], state.params[name])
            params[name] = optax.apply_updates(state.params[name], updates)
        extra = {**state.extra, "stats": stats, "critics": seen}
        terms |= {"critic": value, **gaps}
        return TrainState(state.step + 1, params, opt_state, extra, state.key), terms

    def embed(state: TrainState, images: Array) -> Array:
        variables = {"params": state.params["autoencoder"], "batch_stats": state.extra["stats"]}
        walk, _ = hierarchy(config, shape).apply(variables, to_unit(images))
        return walk.posteriors[config.cluster_group].mean

    return Training(start, step, embed)


def optimisers(config: Config, n_steps: int) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Adam for the autoencoder, and for the critics, with their beta_1 of 0.5 (Radford et al. 2016)."""
    main = adam(config.learning_rate, n_steps, config.schedule)
    return main, adam(config.critic_learning_rate, n_steps, config.schedule, b1=0.5)
