"""The networks of hrwae-gan as pure functions, the state of its training, and what a fitted one can do."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust import losses
from jaxclust.errors import InputError
from jaxclust.methods.base import Functions
from jaxclust.methods.hrwae_gan.config import Config
from jaxclust.methods.shared import classifier
from jaxclust.nn.apply import compute_type, eval_mode
from jaxclust.nn.hierarchical import Critic, Hierarchy, Walk, filters_of
from jaxclust.numerics import fold_name, product
from jaxclust.train.training import to_unit
from jaxclust.typing import Array, Key, PyTree

SATURATED = 0.99  # share of pairs of a prior's and an encoder's code that a critic tells apart, from which it is
FAR = 0.25  # MMD^2 of codes and prior, about that of codes whose mean is half a deviation off in every dimension
ALIKE = 1e-3  # deviation of codes over examples, below which they are all the same


@lru_cache(32)
def hierarchy(config: Config, shape: tuple[int, ...]) -> Hierarchy:
    """The autoencoder of examples of `shape`. Raises InputError for more groups than it has levels."""
    levels = len(filters_of(shape, config.width, config.min_filters))
    if config.groups > levels:
        what = f"images {shape[0]} x {shape[1]}" if len(shape) > 1 else "features"
        raise InputError(f"groups is {config.groups}: networks of {what} have {levels} levels: choose 1 to {levels}")
    return Hierarchy(
        shape,
        config.groups,
        config.latent_dim,
        config.channels,
        config.width,
        config.min_filters,
        config.encoder_extra,
        config.decoder_extra,
        config.form,
        compute_type(config.precision),
    )


def critic(config: Config) -> Critic:
    """The discriminator of each group."""
    return Critic(config.critic_widths)


def sizes(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """d_l, the length of every group's codes."""
    if len(shape) == 1:
        return (config.latent_dim,) * config.groups
    return (config.latent_dim, *(config.channels * 4 ** (level + 1) for level in range(1, config.groups)))


def standard_normal(key: Key, n: int, config: Config, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Standard normal noise (n, d_l) for each group."""
    return tuple(jax.random.normal(fold_name(key, str(i)), (n, d)) for i, d in enumerate(sizes(config, shape)))


class Health(NamedTuple):
    """How well the training does on examples that it does not see; lists and tuples have an entry for each group.

    reconstruction: in nats or squared error, summed over pixels.
    gap:            mean D(z) - D(z^), z of the prior and z^ of the posterior.
    told_apart:     mean f(D(z) - D(z^)): 1/2 where the critic cannot tell them apart, 1 where it always can.
    mmd:            MMD^2 between z^ and z, in units of the prior's deviation; 0 where they are alike, or a little less.
    code_mean:      root mean square over dimensions of the mean of z^ over examples.
    code_deviation, prior_deviation: mean over dimensions of the deviation of z^, and of z.
    spread:         mean over dimensions of the deviation of posterior means.
    """

    reconstruction: Array
    gap: Array
    told_apart: Array
    mmd: Array
    code_mean: Array
    code_deviation: Array
    prior_deviation: Array
    spread: Array


def health(config: Config, likelihood: str, params: PyTree, extra: PyTree, key: Key, images: Array) -> Health:
    """The health of a state, on prepared images (m, ...) that are not trained on."""
    x = to_unit(images)
    net, m, shape = hierarchy(config, x.shape[1:]), len(x), x.shape[1:]
    drawn = standard_normal(fold_name(key, "posterior"), m, config, shape)
    variables = {"params": params["autoencoder"], "batch_stats": extra["stats"]}
    walk, _ = net.apply(variables, x, drawn)
    others = standard_normal(fold_name(key, "prior"), m, config, shape)
    priors = [prior.at(e) for prior, e in zip(walk.priors, others, strict=True)]
    found = []
    for level, (z, code) in enumerate(zip(priors, walk.codes, strict=True)):
        judge = partial(eval_mode, critic(config), params["critics"][level], extra["critics"][level])
        gap = judge(z) - judge(code)
        centre, unit = z.mean(0), z.std(0) + 1e-6
        mmd = losses.maximum_mean_discrepancy((code - centre) / unit, (z - centre) / unit, jnp.ones(m))
        found.append(
            (
                gap.mean(),
                jax.nn.sigmoid(gap).mean(),
                mmd,
                jnp.sqrt((code.mean(0) ** 2).mean()),
                code.std(0).mean(),
                z.std(0).mean(),
                walk.posteriors[level].mean.std(0).mean(),
            )
        )
    reconstruction = losses.reconstruction(likelihood, walk.output, x).mean()
    return Health(reconstruction, *(jnp.stack(values) for values in zip(*found, strict=True)))


def saturated(look: Mapping[str, np.ndarray]) -> list[int]:
    """The groups whose critic tells almost all codes from the prior."""
    return [level for level, share in enumerate(look["told_apart"]) if share > SATURATED]


def far(look: Mapping[str, Any]) -> list[int]:
    """The groups whose codes are far from their prior, or nobody knows where (None or NaN)."""
    return [level for level, value in enumerate(look["mmd"]) if value is None or not value <= FAR]


def broken(looks: Sequence[Mapping[str, np.ndarray]], last: bool = False) -> str | None:
    """What is wrong with a training after these looks at its health, the last one now; None if nothing is.

    A critic may be ahead at one look, but not at two in a row, nor at the last one of a training.
    """
    now = looks[-1]
    bad = [name for name, value in now.items() if not np.isfinite(value).all()]
    if bad:
        return f"{', '.join(bad)} not finite"
    if now["spread"][0] < ALIKE:
        return "the codes of the top group are all the same"
    ahead = saturated(now) if last or len(looks) == 1 else [i for i in saturated(now) if i in saturated(looks[-2])]
    if ahead and (last or len(looks) > 1):
        return f"the critic of group {ahead[0]} tells all codes from the prior"
    return None


def head_spec(config: Config, n_clusters: int, n_steps: int) -> classifier.ClassifierSpec:
    """The training of the head."""
    return classifier.ClassifierSpec(
        n_clusters,
        config.width,
        config.min_filters,
        config.head_learning_rate,
        config.schedule,
        n_steps,
        config.mirrored(),
        config.form,
        compute_type(config.precision),
    )


def gaussians(codes: np.ndarray, variances: np.ndarray, labels: np.ndarray, n_clusters: int) -> dict[str, np.ndarray]:
    """A Gaussian for the top codes of each cluster: 'means' (K, d), and 'roots' (K, d, d), Cholesky factors.

    codes, variances: (n, d) moments of q(z_0|x). A cluster of fewer than two has the Gaussian of all.
    """
    means, roots = [], []
    for k in range(n_clusters):
        of = labels == k if (labels == k).sum() > 1 else np.ones(len(labels), bool)
        covariance = np.atleast_2d(np.cov(codes[of].astype(np.float64), rowvar=False)) + np.diag(
            variances[of].mean(0) + 1e-6
        )
        means.append(codes[of].mean(0))
        roots.append(np.linalg.cholesky(covariance))
    return {"means": np.stack(means).astype(np.float32), "roots": np.stack(roots).astype(np.float32)}


def functions(config: Config, shape: tuple[int, ...], likelihood: str, n_clusters: int) -> Functions:
    """What a fitted one can do; arrays: params and stats of 'autoencoder' and 'head', and `gaussians` of clusters."""
    net, head = hierarchy(config, shape), classifier.module(head_spec(config, n_clusters, 1))

    def variables(arrays: PyTree) -> PyTree:
        return {"params": arrays["autoencoder"]["params"], "batch_stats": arrays["autoencoder"]["stats"]}

    def walk(arrays: PyTree, images: Array) -> Walk:
        return net.apply(variables(arrays), to_unit(images))[0]

    def down(arrays: PyTree, z: Array, drawn: tuple[Array, ...] | None) -> Array:
        output = net.apply(variables(arrays), z, drawn, method=net.decode).output
        return picture(output)

    def picture(output: Array) -> Array:
        image = losses.mean_image(likelihood, output)
        return image if image.ndim == 2 else jnp.clip(image, 0.0, 1.0)

    def embed_group(arrays: PyTree, images: Array, group: int) -> Array:
        return walk(arrays, images).posteriors[group].mean

    def embed(arrays: PyTree, images: Array) -> Array:
        return embed_group(arrays, images, config.cluster_group)

    def log_posterior(arrays: PyTree, images: Array) -> Array:
        return classifier.log_posterior_of(head, arrays["head"], images)

    def generate(arrays: PyTree, key: Key, n: int) -> Array:
        drawn = standard_normal(key, n, config, shape)
        return down(arrays, drawn[0], drawn)

    def sample(arrays: PyTree, key: Key, n: int, cluster: Array) -> Array:
        drawn = standard_normal(key, n, config, shape)
        root = lax.dynamic_index_in_dim(arrays["roots"], cluster, keepdims=False)
        return down(arrays, arrays["means"][cluster] + product(drawn[0], root.T), drawn)

    def reconstruct(arrays: PyTree, images: Array) -> Array:
        return picture(walk(arrays, images).output)

    def decode(arrays: PyTree, latent: Array, cluster: Array) -> Array:
        return down(arrays, latent, None)

    return Functions(
        embed=embed,
        log_posterior=log_posterior,
        sample=sample,
        reconstruct=reconstruct,
        decode=decode,
        centroids=lambda arrays: arrays["means"],
        generate=generate,
        embed_group=embed_group,
    )


def restore(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted model."""
    return functions(Config(**meta["config"]), tuple(meta["shape"]), meta["likelihood"], meta["n_clusters"])
