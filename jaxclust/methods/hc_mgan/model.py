"""Networks of hc-mgan, and what a fitted tree of them can do."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust import trees as tree
from jaxclust.methods.base import Functions
from jaxclust.methods.hc_mgan.config import Config
from jaxclust.nn import gan
from jaxclust.nn.apply import Module, compute_type
from jaxclust.nn.conv import over_networks
from jaxclust.numerics import contraction, fold_name
from jaxclust.train.training import to_unit
from jaxclust.typing import Array, Key, PyTree

SAMPLES = 12  # of each node, for a picture


class Networks(NamedTuple):
    """The networks of one GAN; their parameters are a dict with these names."""

    generator: gan.Generator
    features: gan.Features
    discriminator: Module
    classifier: Module

    @property
    def on_images(self) -> bool:
        """Whether examples are images, not features."""
        return len(self.generator.shape) > 1

    def real(self, images: Array) -> Array:
        """Prepared examples as the networks see them: images in [-1, 1], features as they are."""
        return 2.0 * to_unit(images) - 1.0 if self.on_images else images

    def pictures(self, made: Array) -> Array:
        """The inverse of `real`, of what a generator makes: images in [0, 1]."""
        return 0.5 * (made + 1.0) if self.on_images else made

    def init(self, key: Key) -> PyTree:
        """Fresh parameters of one GAN."""
        keys = {name: fold_name(key, name) for name in self._fields}
        params = {"generator": self.generator.init(keys["generator"], jnp.zeros((1, gan.NOISE)))}
        example = jnp.zeros((1, *self.generator.shape))
        params["features"] = self.features.init(keys["features"], example)
        seen = self.features.apply(params["features"], example)
        for name in ("discriminator", "classifier"):
            params[name] = getattr(self, name).init(keys[name], seen)
        return params


@lru_cache(32)
def networks(config: Config, shape: tuple[int, ...]) -> Networks:
    """The networks for examples of that shape."""
    shared = (config.form, compute_type(config.precision))
    generator = gan.Generator(shape, config.generator_width or config.width, *shared)
    return Networks(generator, gan.Features(config.width, *shared), gan.head(1), gan.head(2))


@lru_cache(32)
def log_odds_of_each(nets: Networks) -> Callable[[PyTree, Array], Array]:
    """The function (params, images (b, ...)) -> (b, V), log p / (1 - p) of the first child by each of V classifiers.

    params: 'features' and 'classifier' (V, ...); V is 1 after a raw split and 2 after a refinement.
    """

    def apart(params: PyTree, images: Array) -> Array:
        x = nets.real(images)

        def one(features: PyTree, classifier: PyTree) -> Array:
            logits = nets.classifier.apply(classifier, nets.features.apply(features, x))
            return logits[:, 0] - logits[:, 1]

        return over_networks(one, nets.features.form)(params["features"], params["classifier"]).T

    return apart


def log_odds(nets: Networks, params: PyTree, images: Array) -> Array:
    """log p / (1 - p) of the first child, p the mean over the V classifiers: (b,)."""
    each = log_odds_of_each(nets)(params, images)
    first, second = (jax.nn.logsumexp(jax.nn.log_sigmoid(sign * each), 1) for sign in (1.0, -1.0))
    return first - second


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted tree. meta: 'config', 'shape' and 'splits' (trees.py).

    arrays: 'features' and 'classifier' (S, V, ...) of each split, 'generator' (S, 2, ...) of its two children.
    """
    nets = networks(Config(**meta["config"]), tuple(meta["shape"]))
    ways = tree.ways(meta["splits"])
    last = [_last(leaf) for leaf in tree.leaves(meta["splits"])]

    def embed(arrays: PyTree, images: Array) -> Array:
        judges = {name: arrays[name] for name in ("features", "classifier")}
        return lax.map(lambda params: log_odds(nets, params, images), judges).T

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        odds = embed(arrays, images)
        chosen = jnp.stack([jax.nn.log_sigmoid(odds), jax.nn.log_sigmoid(-odds)])
        return contraction("cks,cbs->bk", jnp.asarray(ways), chosen)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        split, side = jnp.asarray(last)[cluster]
        params = jax.tree.map(lambda leaf: leaf[split, side], arrays["generator"])
        return generate(nets, params, key, n)

    return Functions(embed=embed, log_posterior=log_posterior, sample=sample)


def generate(nets: Networks, params: PyTree, key: Key, n: int) -> Array:
    """n examples (n, ...) of one generator, as prepared ones are: images in [0, 1]."""
    return nets.pictures(nets.generator.apply(params, jax.random.uniform(key, (n, gan.NOISE))))


def samples(nets: Networks, generators: PyTree, key: Key) -> np.ndarray:
    """Examples (2 S, SAMPLES, ...) of every node but the root, in order, by generators (S, 2, ...)."""
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), generators)
    make = jax.jit(partial(generate, nets), static_argnums=2)
    count = len(jax.tree.leaves(flat)[0])
    return np.stack([make(jax.tree.map(lambda leaf, i=i: leaf[i], flat), key, SAMPLES) for i in range(count)])


def _last(node: int) -> tuple[int, int]:
    """The split that made a node, and which of its two children it is."""
    return (node - 1) // 2, (node - 1) % 2
