"""A fitted mixture of experts: labels, codes, samples and reconstructions of prepared images, and its pictures."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from jaxclust.data.rows import Images
from jaxclust.host import manifold
from jaxclust.methods.base import Functions, Result
from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.moe_vae.config import Config, autoencoder_spec, mixture_spec
from jaxclust.methods.shared import autoencoder, classifier, experts
from jaxclust.nn.apply import eval_mode
from jaxclust.nn.autoencoders import Classifier
from jaxclust.train import loop
from jaxclust.train.programs import options
from jaxclust.train.training import to_unit
from jaxclust.typing import Array, Key, PyTree

PICTURED, PICTURED_PER_EXPERT, FEWEST_PICTURED = 2000, 100, 15  # points of the two-dimensional maps
LOOKED = 200  # images of each expert, by which its latent dimensions are measured
EXPERTS = 12  # the largest, whose own latent space is mapped


@cache
def posterior(network: Classifier) -> Callable[[PyTree, Array], Array]:
    """log pi(x), the manager's: (arrays, images (n, ...)) -> (n, K). One object for a network, so compiled once.

    arrays['manager'] has 'params' and 'stats'.
    """

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return classifier.log_posterior_of(network, arrays["manager"], images)

    return log_posterior


def functions(code: autoencoder.AutoencoderSpec, spec: mixture.MixtureSpec, shape: tuple[int, ...]) -> Functions:
    """What a fitted mixture can do; arrays: params and stats of 'encoder', 'manager' and (stacked) 'experts'."""
    encoder, _ = autoencoder.modules(code, shape)
    log_posterior = posterior(classifier.module(spec.manager))

    def embed(arrays: PyTree, images: Array) -> Array:
        return eval_mode(encoder, arrays["encoder"]["params"], arrays["encoder"]["stats"], to_unit(images))[0]

    def decode(arrays: PyTree, latent: Array, cluster: Array) -> Array:
        return experts.decode(spec.experts, shape, arrays["experts"], latent, cluster)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        return decode(arrays, jax.random.normal(key, (n, max(spec.experts.latent_dims))), cluster)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        labels = log_posterior(arrays, images).argmax(-1)
        return experts.reconstruct(spec.experts, shape, arrays["experts"], images, labels)

    def second_opinion(arrays: PyTree, images: Array) -> Array:
        return experts.nearest(spec.experts, shape, arrays["experts"], images)

    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        second_opinion=second_opinion,
        decode=decode,
    )


def pictures(spec: mixture.MixtureSpec, result: Result, images: Images, seed: int) -> dict[str, np.ndarray]:
    """Arrays for the figures, of at most PICTURED examples.

    map (m, 2), map_index (m,):               2-D UMAP of the codes of a random sample.
    expert_map (e, 2), expert_map_index (e,): 2-D UMAP of each expert's own codes of its own examples.
    ones (K, ...):                            every expert's reconstruction of an image of ones.
    """
    n, n_clusters = result.probabilities.shape
    rows = np.sort(np.random.default_rng(seed).choice(n, min(n, PICTURED), replace=False))
    largest = np.argsort(-np.bincount(result.labels, minlength=n_clusters), kind="stable")[:EXPERTS]
    own = [rows[result.labels[rows] == k][:PICTURED_PER_EXPERT] for k in largest]
    own = [members for members in own if len(members) >= FEWEST_PICTURED]
    arrays, shape = result.model.arrays["experts"], images.shape[1:]
    drawn = {"map": manifold.umap(result.embedding[rows], 2, seed, neighbors=15, n_epochs=200), "map_index": rows}
    if own:
        encode = jax.jit(partial(experts.codes, spec.experts, shape), compiler_options=options())
        labels = [result.labels[m[0]] for m in own]
        codes = [  # in one process, where phases on the host run
            loop.in_batches(partial(encode, arrays, k), images[m], PICTURED_PER_EXPERT, together=False)
            for k, m in zip(labels, own, strict=True)
        ]
        own_codes = [code[:, : spec.experts.latent_dims[k]] for k, code in zip(labels, codes, strict=True)]
        maps = [manifold.umap(code, 2, seed, neighbors=10, n_epochs=50) for code in own_codes]
        drawn |= {"expert_map": np.concatenate(maps), "expert_map_index": np.concatenate(own)}
    answer = jax.jit(partial(experts.reconstructions, spec.experts, shape), compiler_options=options(once=True))
    return {**drawn, "ones": np.asarray(answer(arrays, np.ones((1, *shape), np.float32))[0])[:, 0]}


def expert_kl(spec: mixture.MixtureSpec, result: Result, images: Images) -> list[list[float] | None]:
    """Of each expert the mean KL of its latent dimensions in nats, largest first, over at most LOOKED of its own
    images; None where it has none. A dimension with next to none says nothing about an image."""
    arrays, shape = result.model.arrays["experts"], images.shape[1:]
    measure = jax.jit(partial(experts.divergences, spec.experts, shape), compiler_options=options())
    found: list[list[float] | None] = []
    for k, size in enumerate(spec.experts.latent_dims):
        own = np.flatnonzero(result.labels == k)[:LOOKED]
        if not len(own):
            found.append(None)
            continue
        values = loop.in_batches(partial(measure, arrays, k), images[own], LOOKED, together=False)
        found.append([round(float(value), 4) for value in -np.sort(-values.mean(0)[:size])])
    return found


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted mixture: arrays hold params and statistics of 'encoder', 'manager' and 'experts'."""
    return functions(*specs_of(meta), tuple(meta["shape"]))


def specs_of(meta: Mapping[str, Any]) -> tuple[autoencoder.AutoencoderSpec, mixture.MixtureSpec]:
    """Of the autoencoder and of the mixture of a fitted model, for which no more is trained."""
    config, likelihood = Config(**meta["config"]), meta["likelihood"]
    mixed = mixture_spec(config, likelihood, np.array(meta["expert_latent_dims"]), 1)
    return autoencoder_spec(config, likelihood, meta["latent_dim"], 1), mixed
