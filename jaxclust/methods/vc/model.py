"""The networks of vc as pure functions, and what a fitted one can do.

q(k|x)     cluster network, a softmax            q(z|x, k)  code network, a Gaussian for every cluster
p(z|k)     prior network, a Gaussian             p(x|z)     decoder, Bernoulli or Gaussian
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxclust import losses
from jaxclust.errors import InputError
from jaxclust.methods.base import Functions
from jaxclust.methods.shared.extent import Extent, pictures, vectors
from jaxclust.methods.vc.config import Config, augmentation, user_function
from jaxclust.nn.apply import Module, compute_type, eval_mode, init, train_mode
from jaxclust.nn.autoencoders import Decoder, Trunk, hidden_widths
from jaxclust.nn.variational import (
    Clusters,
    GaussianOfCluster,
    GaussianOfCode,
    TextDecoder,
    TextTrunk,
    plan_of,
    scaled,
    variance,
)
from jaxclust.numerics import fold_name
from jaxclust.train.augment import augment_in_form, brighten
from jaxclust.train.training import to_unit
from jaxclust.typing import Array, Key, PyTree


class Inferred(NamedTuple):
    """What the networks see in x: log q(k|x) (b, K), and the features (b, m) of q(z|x, k)."""

    log_q: Array
    features: Array


class Modules(NamedTuple):
    """The Flax modules: two trunks (the same where they are shared), their heads, prior and decoder."""

    cluster_trunk: Module
    clusters: Module
    code_trunk: Module
    codes: Module
    prior: Module
    decoder: Module


@dataclass(frozen=True)
class Networks:
    """The networks for examples of an extent, as pure functions of their `params` and their `stats` of batches.

    Where a function takes a weight (b,), the batch's statistics are those of the examples so weighted, and the new
    `stats` come back too; with None it takes the ones it is given.
    """

    config: Config
    n_clusters: int
    extent: Extent
    likelihood: str
    """'bernoulli' or 'gaussian'."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x: prepared examples, for the text's networks without padding."""
        if self.config.network == "size" or len(self.extent.shape) == 1:
            return self.extent.shape
        return (self.extent.height, self.extent.width, self.extent.shape[2])

    @property
    def size(self) -> int | None:
        """How many numbers of an image log p(x|z) is summed over; None for features."""
        return prod(self.shape) if len(self.shape) > 1 else None

    def modules(self) -> Modules:
        """The Flax modules. Raises InputError for images that the text has no networks for."""
        config, dtype = self.config, compute_type(self.config.precision)
        channels = self.shape[-1] * (2 if self.likelihood == "gaussian" else 1)
        outputs, clusters = (*self.shape[:-1], channels), Clusters(self.n_clusters)
        if config.network == "size":
            shared = (config.width, config.min_filters, config.form, dtype)
            codes = GaussianOfCode(self.n_clusters, config.latent_dim, hidden_widths(config.width)[::-1], dtype=dtype)
            trunk, prior = Trunk(*shared), GaussianOfCluster(config.latent_dim)
            return Modules(trunk, clusters, trunk, codes, prior, Decoder(outputs, *shared))
        plan = plan_of(self.shape)
        return Modules(
            TextTrunk(120, config.width, dtype),
            clusters,
            TextTrunk(10, config.width, dtype),
            GaussianOfCode(
                self.n_clusters, config.latent_dim, scaled(plan.codes, config.width), plan.activation, dtype
            ),
            GaussianOfCluster(config.latent_dim, scaled(plan.prior, config.width)),
            TextDecoder(outputs, config.width, dtype),
        )

    def check(self) -> None:
        """Raises InputError for images that there are no networks for, or that the user's function does not take."""
        self.modules()
        x = jax.ShapeDtypeStruct((2, *self.shape), jnp.float32)
        name = f"augmentation is {self.config.augmentation!r}"
        try:
            augmented = jax.eval_shape(self.augment, jax.random.key(0), x)
        except InputError:
            raise
        except Exception as error:  # of the user's, of any kind
            what = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{name}: fails for an image {self.shape}: {what}") from error
        if (augmented.shape, augmented.dtype) != (x.shape, x.dtype):
            raise InputError(
                f"{name}: makes {augmented.dtype}{augmented.shape[1:]} of float32{self.shape}: return such an image"
            )

    def init(self, key: Key) -> tuple[PyTree, PyTree]:
        """Fresh params and stats."""
        nets, x = self.modules(), jnp.zeros((1, *self.shape))
        params, stats, features = {}, {}, {}
        trunks = {"trunk": nets.code_trunk}
        if not self.config.shared_trunk:
            trunks = {"cluster_trunk": nets.cluster_trunk, "code_trunk": nets.code_trunk}
        for name, module in trunks.items():
            params[name], stats[name] = init(module, fold_name(key, name), x)
            features[name] = eval_mode(module, params[name], stats[name], x)
        of_cluster, of_code = features[next(iter(trunks))], features[list(trunks)[-1]]
        params["clusters"] = nets.clusters.init(fold_name(key, "clusters"), of_cluster)["params"]
        params["codes"] = nets.codes.init(fold_name(key, "codes"), of_code, jnp.zeros((1, 1), jnp.int32))["params"]
        params["prior"] = nets.prior.init(fold_name(key, "prior"), jnp.zeros((1, self.n_clusters)))["params"]
        z = jnp.zeros((1, self.config.latent_dim))
        params["decoder"], stats["decoder"] = init(nets.decoder, fold_name(key, "decoder"), z)
        return params, stats

    def target(self, images: Array) -> Array:
        """x (b, *shape) of prepared images: what is encoded and what decodings are compared with."""
        if self.shape == self.extent.shape:
            return to_unit(images)
        return vectors(self.extent, images).reshape(-1, *self.shape)

    def augment(self, key: Key, x: Array) -> Array:
        """x^ (b, ...): each x transformed at random. Features have no transformation but a user's own."""
        config = self.config
        if config.augmentation == "none" or (x.ndim == 2 and config.augmentation == "images"):
            return x
        if config.augmentation != "images":
            return jax.vmap(user_function(str(config.augmentation)))(jax.random.split(key, len(x)), x)
        x = augment_in_form(fold_name(key, "maps"), x, augmentation(config), config.form)
        return brighten(fold_name(key, "brightness"), x, config.brightness, config.binarise)

    def infer(self, params: PyTree, stats: PyTree, x: Array, weight: Array | None) -> tuple[Inferred, PyTree]:
        """q(k|x), and the features of q(z|x, k), of x (b, ...)."""
        nets = self.modules()
        if self.config.shared_trunk:
            features, stats = _apply(nets.code_trunk, params, stats, "trunk", x, weight)
            of_cluster = features
        else:
            of_cluster, stats = _apply(nets.cluster_trunk, params, stats, "cluster_trunk", x, weight)
            features, stats = _apply(nets.code_trunk, params, stats, "code_trunk", x, weight)
        return Inferred(nets.clusters.apply({"params": params["clusters"]}, of_cluster), features), stats

    def posterior(self, params: PyTree, features: Array, clusters: Array) -> tuple[Array, Array]:
        """Mean and variance (b, j, p) of q(z|x, k): features (b, m), clusters (b, j) int32."""
        return self.modules().codes.apply({"params": params["codes"]}, features, clusters)

    def prior(self, params: PyTree, shares: Array) -> tuple[Array, Array]:
        """Mean and variance (..., p) of p(z|k); shares (..., K) are one-hot, or a convex combination of such."""
        return self.modules().prior.apply({"params": params["prior"]}, shares)

    def decode(self, params: PyTree, stats: PyTree, z: Array, weight: Array | None) -> tuple[Array, PyTree]:
        """The decoder's output (n, ...) of codes z (n, p)."""
        return _apply(self.modules().decoder, params, stats, "decoder", z, weight)

    def log_likelihood(self, output: Array, x: Array) -> Array:
        """log p(x|z) in nats, of the output of n codes and x (n, ...): (n,)."""
        if self.likelihood == "bernoulli":
            return -losses.bernoulli_reconstruction(output, x)
        mean, raw = (part.reshape(len(x), -1) for part in jnp.split(output, 2, -1))
        return losses.gaussian_log_density(x.reshape(len(x), -1), mean, variance(raw))

    def picture(self, output: Array) -> Array:
        """Prepared examples, the means of p(x|z), of an output (n, ...)."""
        means = jax.nn.sigmoid(output) if self.likelihood == "bernoulli" else jnp.split(output, 2, -1)[0]
        if self.shape == self.extent.shape:
            return means if means.ndim == 2 else jnp.clip(means, 0.0, 1.0)
        return pictures(self.extent, means.reshape(len(means), -1))


def _apply(
    module: Module, params: PyTree, stats: PyTree, name: str, x: Array, weight: Array | None
) -> tuple[Array, PyTree]:
    if weight is None:
        return eval_mode(module, params[name], stats[name], x), stats
    out, seen = train_mode(module, params[name], stats[name], x, weight)
    return out, {**stats, name: seen}


def functions(nets: Networks) -> Functions:
    """What a fitted one can do; arrays: 'params', 'stats', 'kept' (K',), the clusters that are left."""

    def infer(arrays: PyTree, images: Array) -> tuple[Array, Array, Array]:
        found, _ = nets.infer(arrays["params"], arrays["stats"], nets.target(images), None)
        log_q = jax.nn.log_softmax(found.log_q[:, arrays["kept"]])
        cluster = arrays["kept"][log_q.argmax(-1)]
        mean, _ = nets.posterior(arrays["params"], found.features, cluster[:, None])
        return log_q, cluster, mean[:, 0]

    def embed(arrays: PyTree, images: Array) -> Array:
        return infer(arrays, images)[2]

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return infer(arrays, images)[0]

    def decode(arrays: PyTree, latent: Array, cluster: Array | None = None) -> Array:
        return nets.picture(nets.decode(arrays["params"], arrays["stats"], latent, None)[0])

    def priors(arrays: PyTree) -> tuple[Array, Array]:
        return nets.prior(arrays["params"], jax.nn.one_hot(arrays["kept"], nets.n_clusters))

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        mean, var = priors(arrays)
        noise = jax.random.normal(key, (n, mean.shape[1]))
        return decode(arrays, mean[cluster] + jnp.sqrt(var[cluster]) * noise)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        return decode(arrays, embed(arrays, images))

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        """The cluster of the largest p(k|z) at the mean of q(z|x, k): (n,)."""
        mean, var = priors(arrays)
        z = embed(arrays, images)[:, None]
        return losses.gaussian_log_density(z, mean, var).argmax(-1).astype(jnp.int32)

    def centroids(arrays: PyTree) -> Array:
        return priors(arrays)[0]

    def between(arrays: PyTree, shares: Array) -> Array:
        return nets.prior(arrays["params"], shares @ jax.nn.one_hot(arrays["kept"], nets.n_clusters))[0]

    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        second_opinion=second_opinion,
        decode=decode,
        centroids=centroids,
        between=between,
    )


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Networks(Config(**meta["config"]), meta["n_clusters"], Extent.from_meta(meta), meta["likelihood"]))
