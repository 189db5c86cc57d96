"""The losses (eq. 3.2 to 3.7) and one iteration of a raw split and of a refinement (algorithms 3.2 to 3.4)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxclust.methods.hc_mgan.config import Config
from jaxclust.methods.hc_mgan.model import Networks
from jaxclust.nn import conv
from jaxclust.nn.gan import NOISE
from jaxclust.numerics import fold_name, fold_range, weighted_mean
from jaxclust.train.augment import NONE, augment_in_form
from jaxclust.train.mesh import over_data
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
    make, look = conv.over_networks(nets.generator.apply, config.form), partial(shown, config, nets, std, key)
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
    keys = fold_range(key, 0, 2)

    def one(params: PyTree, opt_state: PyTree, other: PyTree, which: Array, real: Array, key: Key) -> Any:
        return group_update(config, nets, params, opt_state, other, which, real, weight, std, key)

    if config.order == "together":
        others = jax.tree.map(lambda leaf: leaf[::-1], params)
        reals = jnp.stack([real, real[::-1]], 1)
        return conv.over_networks(one, config.form)(params, opt_state, others, jnp.arange(2), reals, keys)

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
    key, ranges = fold_name(key, name), config.ranges(config.flip)
    if nets.on_images and ranges != NONE:
        x = nets.real(augment_in_form(fold_name(key, "augment"), nets.pictures(x), ranges, config.form))
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
