"""Autoencoders of five kinds in one code path: ae, vae, beta-vae, and wae with an MMD or a latent GAN penalty.

    L = rec(x, y) + r * penalty + l1 * |m|_1        (Santos 2020, eq. 4.1 and section 4.4.1)

    kind      z                  penalty
    ae        m                  0
    vae       m + s e            kl_weight KL(N(m, s^2) || N(0, I))    (Kingma & Welling 2014)
    beta-vae  m + s e            beta KL; beta = latent_dim / input_dim unless given (Higgins et al. 2017)
    wae       m, or m + s e      weight * MMD^2(z, prior), or weight * -log D(z)  (Tolstikhin et al. 2018)

m, log s^2: the encoder's output. rec and KL are sums over pixels and latent dimensions, averaged over the batch.
r rises from 0 to 1 over `ramp_steps` against KL vanishing; r kl_weight is the text's W. Deviation: with `clean_target`
the decoder is asked for the image before augmentation, which makes the code insensitive to what that changes.
"""

from functools import lru_cache
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxclust import losses
from jaxclust.nn.apply import eval_mode, init, train_mode
from jaxclust.nn.autoencoders import Critic, Decoder, Encoder
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import Augmentation, augment_step
from jaxclust.train.optimisers import adam
from jaxclust.train.training import Batch, Training, TrainState, ramp, step_key, to_unit
from jaxclust.typing import Array, Key, PyTree


class AutoencoderSpec(NamedTuple):
    """Everything that defines an autoencoder's training."""

    kind: str = "vae"
    latent_dim: int = 100
    likelihood: str = "bernoulli"
    width: float = 1.0
    min_filters: int = 1
    learning_rate: float = 5e-4
    schedule: str = "constant"
    n_steps: int = 1000
    ramp_steps: int = 100
    kl_weight: float = 1.0
    beta: float | None = None
    l1_means: float = 1e-4
    wae_encoder: str = "random"
    wae_penalty: str = "mmd"
    wae_weight: float = 10.0
    augmentation: Augmentation = Augmentation()
    clean_target: bool = False
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"


def modules(spec: AutoencoderSpec, shape: tuple[int, ...]) -> tuple[Encoder, Decoder]:
    """Encoder and decoder for examples of `shape`, (D, D, c) or (d,)."""
    return (
        Encoder(spec.latent_dim, spec.width, spec.min_filters, spec.form, spec.dtype, spec.stem),
        Decoder(shape, spec.width, spec.min_filters, spec.form, spec.dtype, spec.stem),
    )


def is_stochastic(spec: AutoencoderSpec) -> bool:
    """Whether codes are drawn from the posterior; otherwise they are its means."""
    return spec.kind in ("vae", "beta-vae") or (spec.kind == "wae" and spec.wae_encoder == "random")


def sample_gaussian(key: Key, mean: Array, log_var: Array) -> Array:
    """A reparametrised draw from N(mean, exp(log_var)), any shape."""
    return mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)


def penalty(
    spec: AutoencoderSpec, key: Key, z: Array, mean: Array, log_var: Array, weight: Array, critic: PyTree, size: int
) -> Array:
    """The term that draws codes towards N(0, I), averaged over the batch: (). `size`: numbers in one example."""
    if spec.kind == "ae":
        return jnp.zeros(())
    if spec.kind in ("vae", "beta-vae"):
        beta = spec.kl_weight if spec.kind == "vae" else spec.beta if spec.beta is not None else spec.latent_dim / size
        return beta * weighted_mean(losses.kl_standard_normal(mean, log_var).sum(-1), weight)
    if spec.wae_penalty == "mmd":
        prior = jax.random.normal(key, z.shape)
        return spec.wae_weight * losses.maximum_mean_discrepancy(z, prior, weight)
    fooled = optax.sigmoid_binary_cross_entropy(Critic().apply(critic, z), jnp.ones(len(z)))
    return spec.wae_weight * weighted_mean(fooled, weight)


def critic_loss(critic: PyTree, key: Key, z: Array, weight: Array) -> Array:
    """-log D(prior) - log(1 - D(z)), D after the sigmoid, averaged over the batch: ()."""
    prior = jax.random.normal(key, z.shape)
    real = optax.sigmoid_binary_cross_entropy(Critic().apply(critic, prior), jnp.ones(len(z)))
    fake = optax.sigmoid_binary_cross_entropy(Critic().apply(critic, z), jnp.zeros(len(z)))
    return weighted_mean(real + fake, weight)


@lru_cache(32)  # fits that differ in their seed share programs
def autoencoder(spec: AutoencoderSpec, shape: tuple[int, ...]) -> Training:
    """The training of one autoencoder for examples of `shape`, (D, D, c) images or (d,) features."""
    encoder, decoder = modules(spec, shape)
    optimiser = adam(spec.learning_rate, spec.n_steps, spec.schedule)
    critic_optimiser = optax.adam(spec.learning_rate, b1=0.5)
    has_critic = spec.kind == "wae" and spec.wae_penalty == "gan"

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        k_encoder, k_decoder, k_critic = jax.random.split(fold_name(key, "init"), 3)
        params, stats = {}, {}
        params["encoder"], stats["encoder"] = init(encoder, k_encoder, jnp.zeros(batch_shape))
        code = jnp.zeros((batch_shape[0], spec.latent_dim))
        params["decoder"], stats["decoder"] = init(decoder, k_decoder, code)
        critic = Critic().init(k_critic, code) if has_critic else {}
        opt_state = (optimiser.init(params), critic_optimiser.init(critic))
        return TrainState(jnp.zeros((), jnp.int32), (params, critic), opt_state, stats, key)

    def loss(
        params: PyTree, critic: PyTree, state: TrainState, image: Array, target: Array, weight: Array
    ) -> tuple[Array, PyTree]:
        (mean, log_var), seen = train_mode(encoder, params["encoder"], state.extra["encoder"], image, weight)
        z = sample_gaussian(step_key(state, "posterior"), mean, log_var) if is_stochastic(spec) else mean
        output, made = train_mode(decoder, params["decoder"], state.extra["decoder"], z, weight)
        terms = {
            "reconstruction": weighted_mean(losses.reconstruction(spec.likelihood, output, target), weight),
            "penalty": penalty(spec, step_key(state, "prior"), z, mean, log_var, weight, critic, prod(shape)),
            "l1_means": weighted_mean(jnp.abs(mean).sum(-1), weight),
        }
        total = terms["reconstruction"] + ramp(state.step, spec.ramp_steps) * terms["penalty"]
        terms["loss"] = total + spec.l1_means * terms["l1_means"]
        return terms["loss"], ({"encoder": seen, "decoder": made}, z, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        clean = to_unit(batch.image)
        image = augment_step(state, clean, spec.augmentation, spec.form)
        target = clean if spec.clean_target else image
        params, critic = state.params
        grads, (stats, z, terms) = jax.grad(loss, has_aux=True)(params, critic, state, image, target, batch.weight)
        updates, main = optimiser.update(grads, state.opt_state[0], params)
        side = state.opt_state[1]
        if has_critic:
            key = step_key(state, "critic")
            terms["critic"], grads = jax.value_and_grad(critic_loss)(critic, key, z, batch.weight)
            change, side = critic_optimiser.update(grads, side, critic)
            critic = optax.apply_updates(critic, change)
        params = (optax.apply_updates(params, updates), critic)
        return TrainState(state.step + 1, params, (main, side), stats, state.key), terms

    def embed(state: TrainState, images: Array) -> Array:
        return eval_mode(encoder, state.params[0]["encoder"], state.extra["encoder"], to_unit(images))[0]

    return Training(start, step, embed)


def encoder_of(state: TrainState) -> dict[str, PyTree]:
    """The trained encoder: its 'params' and 'stats'."""
    return {"params": state.params[0]["encoder"], "stats": state.extra["encoder"]}
