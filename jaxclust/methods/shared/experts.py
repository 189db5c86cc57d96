"""Experts: K autoencoders of one form, one a cluster, for methods that are mixtures of them.

They are one network whose parameters are stacked on a leading axis of length K, so that a step trains all of them.
Latent sizes may differ: a mask keeps each expert's first d_k dimensions, and its KL is the sum over these.

    with a posterior     z = m + s e,  N(m, s^2) the encoder's; its KL to N(0, I) is told
    without              z is what the encoder says, and the KL is 0
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import losses
from jaxclust.methods.base import Functions
from jaxclust.methods.shared.autoencoder import sample_gaussian
from jaxclust.methods.shared.coders import CoderConfig, convolutional
from jaxclust.methods.shared.extent import Extent, pictures
from jaxclust.methods.shared.population import over_members
from jaxclust.nn.apply import Module, compute_type, eval_mode, init, train_mode
from jaxclust.nn.autoencoders import Coder, Decoder, Encoder
from jaxclust.nn.conv import over_networks
from jaxclust.nn.mlp import Layers
from jaxclust.train.training import TrainState, to_unit
from jaxclust.typing import Array, Key, PyTree


class ExpertsSpec(NamedTuple):
    """Everything that defines the experts.

    latent_dims: one size for each of the K experts.  posterior: whether codes are drawn.
    hidden:      widths of dense layers on vectors, mirrored in the decoder; None for nn.autoencoders' networks.
    """

    latent_dims: tuple[int, ...]
    likelihood: str = "gaussian"
    width: float = 1.0
    min_filters: int = 1
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    posterior: bool = True
    hidden: tuple[int, ...] | None = None


class Experts(NamedTuple):
    """The networks of one expert and the mask (K, d) of every expert's latent dimensions."""

    encoder: Module
    decoder: Module
    mask: np.ndarray


class ExpertBatch(NamedTuple):
    """What one expert sees in a step: image, target (c, ...); taken (c,), 0 for rows not its own."""

    image: Array
    target: Array
    taken: Array


class Passed(NamedTuple):
    """What comes of rows: reconstruction, summed over pixels, and kl, summed over latent dimensions, (c,); code (c, d).

    Of all experts there is a leading axis K.
    """

    reconstruction: Array
    kl: Array
    code: Array


def experts(spec: ExpertsSpec, shape: tuple[int, ...]) -> Experts:
    """The experts for examples of `shape`, (D, D, c) or (d,)."""
    largest = max(spec.latent_dims)
    mask = (np.arange(largest) < np.array(spec.latent_dims)[:, None]).astype(np.float32)
    if spec.hidden is not None:
        exact = jnp.dtype("float32")  # of codes
        encoder: Module = Layers((*spec.hidden, largest), False, spec.dtype, exact)
        return Experts(encoder, Layers((*spec.hidden[::-1], prod(shape)), False, spec.dtype), mask)
    sizes = (spec.width, spec.min_filters, spec.form, spec.dtype)
    encoder = Encoder(largest, *sizes) if spec.posterior else Coder(largest, *sizes)
    return Experts(encoder, Decoder(shape, *sizes), mask)


def plain(
    config: CoderConfig, extent: Extent, hidden: tuple[int, ...], n_clusters: int
) -> tuple[ExpertsSpec, tuple[int, ...]]:
    """Experts without a posterior in the networks that `config` asks for, and the shape of what they see
    (coders.Coders.target). hidden: widths of dense ones."""
    dense = not convolutional(config, extent)
    spec = ExpertsSpec(
        (config.latent_dim,) * n_clusters,
        width=config.width,
        min_filters=config.min_filters,
        form=config.form,
        dtype=compute_type(config.precision),
        posterior=False,
        hidden=hidden if dense else None,
    )
    return spec, (extent.size,) if dense else extent.shape


def init_experts(spec: ExpertsSpec, shape: tuple[int, ...], key: Key) -> tuple[PyTree, PyTree]:
    """Stacked parameters and batch statistics of K random experts: every leaf has a leading axis K."""
    networks = experts(spec, shape)

    def one(key: Key) -> tuple[PyTree, PyTree]:
        k_encoder, k_decoder = jax.random.split(key)
        encoder = init(networks.encoder, k_encoder, jnp.zeros((2, *shape)))
        decoder = init(networks.decoder, k_decoder, jnp.zeros((2, networks.mask.shape[1])))
        return {"encoder": encoder[0], "decoder": decoder[0]}, {"encoder": encoder[1], "decoder": decoder[1]}

    return jax.vmap(one)(jax.random.split(key, len(spec.latent_dims)))


def flagged(tree: PyTree) -> PyTree:
    """True for every leaf with axes: in a tree of stacked experts the first is that of the experts."""
    return jax.tree.map(lambda leaf: leaf.ndim > 0, tree)


def stacked(state: TrainState) -> PyTree:
    """The same of a state, for leaves that lie under the name 'experts'."""

    def is_stacked(path: tuple[Any, ...], leaf: Array) -> bool:
        return leaf.ndim > 0 and any(getattr(step, "key", None) == "experts" for step in path)

    return jax.tree_util.tree_map_with_path(is_stacked, state)


def over_experts(spec: ExpertsSpec, shape: tuple[int, ...], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` over the leading axis of all its arguments, as suits the experts' networks and the platform."""
    if spec.hidden is None:
        return over_networks(function, spec.form)
    leaves = jax.tree.leaves(jax.eval_shape(lambda key: init_experts(spec, shape, key)[0], jax.random.key(0)))
    over = over_members(sum(prod(leaf.shape[1:]) for leaf in leaves))
    return lambda *trees: over(function, *trees)


def pass_rows(
    spec: ExpertsSpec,
    shape: tuple[int, ...],
    params: PyTree,
    stats: PyTree,
    rows: ExpertBatch,
    mask: Array | None = None,
    key: Key | None = None,
) -> tuple[Passed, PyTree]:
    """One expert on its rows, and its new batch statistics.

    mask (d,): 1 for the expert's own latent dimensions, by default all.  key: of the draw from the posterior.
    """
    networks = experts(spec, shape)
    seen = train_mode(networks.encoder, params["encoder"], stats["encoder"], rows.image, rows.taken)
    (code, log_var), encoder_stats = seen if spec.posterior else ((seen[0], None), seen[1])
    z = code if log_var is None or key is None else sample_gaussian(key, code, log_var)
    z = z if mask is None else z * mask
    output, decoder_stats = train_mode(networks.decoder, params["decoder"], stats["decoder"], z, rows.taken)
    kl = jnp.zeros(len(z))
    if log_var is not None:
        divergence = losses.kl_standard_normal(code, log_var)
        kl = (divergence if mask is None else divergence * mask).sum(-1)
    reconstruction = losses.reconstruction(spec.likelihood, output, rows.target)
    return Passed(reconstruction, kl, z), {"encoder": encoder_stats, "decoder": decoder_stats}


def pass_all(
    spec: ExpertsSpec,
    shape: tuple[int, ...],
    params: PyTree,
    stats: PyTree,
    rows: ExpertBatch,
    weigh: Callable[[Passed], tuple[Passed, Any]],
) -> tuple[Any, PyTree, PyTree]:
    """All experts, without a posterior, on the same rows: what `weigh` tells, gradients, and new batch statistics.

    weigh: (Passed, leading axis K) -> dL/dPassed, and whatever else. Two passes, since a loss may ask for all experts
    before it says what it wants of each; gradients are taken within each expert, which is faster than across them.
    """

    def one(params: PyTree, stats: PyTree) -> tuple[Passed, PyTree]:
        return pass_rows(spec, shape, params, stats, rows)

    def weighted(params: PyTree, stats: PyTree, wanted: Passed) -> tuple[Array, PyTree]:
        passed, new = one(params, stats)
        parts = jax.tree.map(lambda value, weight: (value * weight).sum(), passed, wanted)
        return sum(parts, jnp.zeros(())), new

    wanted, told = weigh(over_experts(spec, shape, one)(params, stats)[0])
    grads, new = over_experts(spec, shape, jax.grad(weighted, has_aux=True))(params, stats, wanted)
    return told, grads, new


# What fitted experts can do. arrays: stacked 'params' and 'stats'; images are what the experts see


def _encoded(spec: ExpertsSpec, networks: Experts, params: PyTree, stats: PyTree, images: Array) -> Array:
    seen = eval_mode(networks.encoder, params["encoder"], stats["encoder"], images)
    return seen[0] if spec.posterior else seen


def decode(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, z: Array, cluster: Array) -> Array:
    """Images that expert `cluster` () makes of codes z (n, d), d the largest latent size: (n, *shape)."""
    networks = experts(spec, shape)
    params, stats = jax.tree.map(lambda leaf: leaf[cluster], (arrays["params"], arrays["stats"]))
    z = z * jnp.asarray(networks.mask)[cluster]
    output = eval_mode(networks.decoder, params["decoder"], stats["decoder"], z)
    return losses.mean_image(spec.likelihood, output)


def reconstructions(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, images: Array) -> tuple[Array, Array]:
    """Every expert's image of every example, from posterior means: (K, n, *shape), and their errors (K, n).

    The error is the reconstruction term, a mean over pixels.
    """
    networks = experts(spec, shape)
    image = to_unit(images)

    def one(params: PyTree, stats: PyTree, mask: Array) -> tuple[Array, Array]:
        mean = _encoded(spec, networks, params, stats, image)
        output = eval_mode(networks.decoder, params["decoder"], stats["decoder"], mean * mask)
        error = losses.reconstruction(spec.likelihood, output, image) / prod(shape)
        return losses.mean_image(spec.likelihood, output), error

    return over_experts(spec, shape, one)(arrays["params"], arrays["stats"], jnp.asarray(networks.mask))


def reconstruct(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, images: Array, labels: Array) -> Array:
    """Each example as the expert of its label (n,) makes it: (n, *shape)."""
    return reconstructions(spec, shape, arrays, images)[0][labels, jnp.arange(len(images))]


def nearest(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, images: Array) -> Array:
    """The expert that comes nearest to each example: (n,) int32."""
    return reconstructions(spec, shape, arrays, images)[1].argmin(0).astype(jnp.int32)


def divergences(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, cluster: Array, images: Array) -> Array:
    """KL of each latent dimension of expert `cluster` () for images (n, ...): (n, d) in nats, 0 beyond its own ones."""
    networks = experts(spec, shape)
    params, stats = jax.tree.map(lambda leaf: leaf[cluster], (arrays["params"], arrays["stats"]))
    mean, log_var = eval_mode(networks.encoder, params["encoder"], stats["encoder"], to_unit(images))
    return losses.kl_standard_normal(mean, log_var) * jnp.asarray(networks.mask)[cluster]


def codes(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, cluster: Array, images: Array) -> Array:
    """Posterior means of images (n, ...) by expert `cluster` (): (n, d), of which its first latent_dims are its own."""
    params, stats = jax.tree.map(lambda leaf: leaf[cluster], (arrays["params"], arrays["stats"]))
    return _encoded(spec, experts(spec, shape), params, stats, to_unit(images))


def all_codes(spec: ExpertsSpec, shape: tuple[int, ...], arrays: PyTree, images: Array) -> Array:
    """Codes of images (n, ...) by all experts, side by side: (n, K d)."""
    networks = experts(spec, shape)

    def one(params: PyTree, stats: PyTree) -> Array:
        return _encoded(spec, networks, params, stats, to_unit(images))

    return side_by_side(over_experts(spec, shape, one)(arrays["params"], arrays["stats"]))


def side_by_side(codes: Array) -> Array:
    """(K, n, d) -> (n, K d)."""
    return codes.swapaxes(0, 1).reshape(codes.shape[1], -1)


def picture(extent: Extent, output: Array) -> Array:
    """Decoders' outputs (n, ...) as prepared examples (n, *extent.shape)."""
    return pictures(extent, output) if output.ndim == 2 else jnp.clip(output, 0.0, 1.0)


def reconstructing(
    can: Functions, spec: ExpertsSpec, shape: tuple[int, ...], extent: Extent, target: Callable[[Array], Array]
) -> Functions:
    """The same functions, and two more: each example as the expert of its label makes it, and which comes nearest.

    target: images -> what the experts see (coders.Coders.target).
    """

    def by_label(arrays: PyTree, images: Array) -> Array:
        labels = can.log_posterior(arrays, images).argmax(-1)
        return picture(extent, reconstruct(spec, shape, arrays["experts"], target(images), labels))

    def by_error(arrays: PyTree, images: Array) -> Array:
        return nearest(spec, shape, arrays["experts"], target(images))

    return replace(can, reconstruct=by_label, second_opinion=by_error)
