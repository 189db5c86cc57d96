"""The clustering module as arrays, and what a fitted one can do, alone or on the code of an autoencoder."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxclust import losses
from jaxclust.methods.base import Functions
from jaxclust.methods.clustering_module.config import AEConfig
from jaxclust.methods.shared.coders import Coders, coders
from jaxclust.methods.shared.extent import Extent, pictures, vectors
from jaxclust.numerics import product, squared_distances
from jaxclust.typing import Array, Key, PyTree


class Module(NamedTuple):
    """Parameters of a clustering module of K clusters in d dimensions."""

    encoder: Array  # W_enc (d, K)
    encoder_bias: Array  # b_enc (K,)
    decoder: Array  # W_dec (K, d)
    decoder_bias: Array  # b_dec (d,)


def random_module(key: Key, n_clusters: int, dim: int) -> Module:
    """Weights drawn by Glorot and Bengio's rule, biases zero."""
    draw, (k_encoder, k_decoder) = jax.nn.initializers.glorot_uniform(), jax.random.split(key)
    return Module(
        draw(k_encoder, (dim, n_clusters)), jnp.zeros(n_clusters), draw(k_decoder, (n_clusters, dim)), jnp.zeros(dim)
    )


def module_of(centroids: Array) -> Module:
    """The module whose centroids are those given (K, d): W_enc is their pseudo-inverse, biases are zero (section 4.1).

    Its clusters are not those of the centroids' k-means, unless they are orthonormal: `posterior_of` has these.
    """
    n_clusters, dim = centroids.shape
    return Module(jnp.linalg.pinv(centroids), jnp.zeros(n_clusters), centroids, jnp.zeros(dim))


def posterior_of(centroids: Array, variance: Array) -> Module:
    """The module that is the posterior of an isotropic Gaussian mixture with these centroids (K, d), () variance:
    log g_k = (x . mu_k - |mu_k|^2 / 2) / variance + constant. No variance, of copies of a row alone, counts as 1e-6."""
    variance = jnp.maximum(variance, 1e-6)
    bias = -0.5 * (centroids**2).sum(-1) / variance
    return Module(centroids.T / variance, bias, centroids, jnp.zeros(centroids.shape[1]))


def log_responsibilities(module: Module, x: Array) -> Array:
    """log g = log softmax(x W_enc + b_enc) (eq. 6): (b, d) -> (b, K)."""
    return jax.nn.log_softmax(product(x, module.encoder) + module.encoder_bias)


def centroids_of(module: Module) -> Array:
    """mu (K, d), the decoder's images of the unit vectors: the bias counts."""
    return module.decoder + module.decoder_bias


def functions(pair: Coders | None, extent: Extent) -> Functions:
    """What a fitted module can do; arrays: 'module', 'deviation' (K,), and with `pair` 'params' and 'stats'.

    Its codes are those of the autoencoder; of cm alone, the module's own before the softmax (K numbers).
    """

    def code(arrays: PyTree, images: Array) -> Array:
        return vectors(extent, images) if pair is None else pair.embed(arrays["params"], arrays["stats"], images)

    def embed(arrays: PyTree, images: Array) -> Array:
        z = code(arrays, images)
        module = Module(**arrays["module"])
        return product(z, module.encoder) + module.encoder_bias if pair is None else z

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return log_responsibilities(Module(**arrays["module"]), code(arrays, images))

    def decode(arrays: PyTree, latent: Array, cluster: Array | None = None) -> Array:
        return pictures(extent, latent) if pair is None else pair.picture(arrays["params"], arrays["stats"], latent)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        mu = centroids_of(Module(**arrays["module"]))
        noise = jax.random.normal(key, (n, mu.shape[1]))
        return decode(arrays, mu[cluster] + arrays["deviation"][cluster] * noise)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        z = code(arrays, images)
        if pair is None:
            module = Module(**arrays["module"])
            z = product(jnp.exp(log_responsibilities(module, z)), centroids_of(module))
        return decode(arrays, z)

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return (
            squared_distances(code(arrays, images), centroids_of(Module(**arrays["module"])))
            .argmin(-1)
            .astype(jnp.int32)
        )

    def centroids(arrays: PyTree) -> Array:
        return centroids_of(Module(**arrays["module"]))

    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        second_opinion=second_opinion,
        decode=decode,
        centroids=centroids,
    )


def answers(pair: Coders | None, extent: Extent, arrays: PyTree, images: Array) -> dict[str, Array]:
    """What is summed up over the data to choose among restarts, for each example.

    responsibilities: g (n, K).
    ambiguity:        (n,) E1 - E2, whose mean is L_sp (section 5.2.4).
    spread:           (n, K) g_ik |z_i - mu_k|^2 / d, from which the clusters' variances follow.
    """
    module = Module(**arrays["module"])
    z = vectors(extent, images) if pair is None else pair.embed(arrays["params"], arrays["stats"], images)
    g, mu = jnp.exp(log_responsibilities(module, z)), centroids_of(module)
    ambiguity = losses.responsibility_sparsity(g, (mu**2).sum(-1)) - losses.responsibility_overlap(g, mu)
    return {"responsibilities": g, "ambiguity": ambiguity, "spread": g * squared_distances(z, mu) / z.shape[1]}


def restore_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted cm."""
    return functions(None, Extent.from_meta(meta))


def restore_ae_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted ae-cm."""
    return functions(coders(AEConfig(**meta["config"]), Extent.from_meta(meta)), Extent.from_meta(meta))
