"""The clustering module, alone (cm) and inside an autoencoder (ae-cm) (Boubekki et al., Machine Learning 110, 2021).

    x_i, z_i   an example, its code                  g_ik    responsibility of cluster k: softmax(z_i W_enc + b_enc)
    mu_k       centroid, W_dec[k] + b_dec            alpha   concentration of the Dirichlet prior (K,)
    zbar_i     sum_k g_ik mu_k, the reconstruction   q_k     batch mean of g_ik

The expected log-likelihood of an isotropic Gaussian mixture is the loss of an autoencoder with one hidden layer, whose
code is the responsibilities (theorem 1). Alone, on x (eq. 7; sums over the batch):

    L_CM = E0 + E1 - E2 + E3
    E0 = sum_i |x_i - xbar_i|^2                          reconstruction
    E1 = sum_i sum_k g_ik (1 - g_ik) |mu_k|^2            sparsity
    E2 = sum_i sum_{k != l} g_ik g_il mu_k . mu_l        overlap
    E3 = sum_k (1 - alpha_k) log q_k                     balance

Inside an autoencoder, on its code z, with orthonormal centroids, for which E1 simplifies and E2 is zero (eq. 10):

    L = beta sum_i |x_i - xhat_i|^2 + sum_i |z_i - zbar_i|^2 + sum_i sum_k g_ik (1 - g_ik) + E3
        + lambda |mu mu^T - I|_1

Starts: random; or for cm centroids of k-means(++), with W_enc their pseudo-inverse; or for ae-cm 'pretrained': the
autoencoder alone, k-means of its codes, then cm on these codes. In an 'averaging epoch' after the last one the
parameters are averaged over its steps, since small batches scatter them.

Several restarts are trained as one program, and the one with the least L_sp = (E1 - E2) / n is kept (section 5.2.4):
no label is needed. With n_clusters 'auto' the module starts with `max_clusters`; host/merging.py says how it goes on.

Deviations: the text's double sum of E2 includes k = l, its eq. 10 prints mu^T mu (losses.py); biases start at zero.
Adam's epsilon is 1e-3 as in the authors' code, which also averages all parameters and not the centroids alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import losses
from jaxclust.data.prepare import Preprocess
from jaxclust.data.rows import Images
from jaxclust.errors import InputError
from jaxclust.host import kmeans, seeds
from jaxclust.methods.base import Functions, Method, Model, Result, System
from jaxclust.methods.parts import population
from jaxclust.methods.parts.coders import CoderConfig, Coders, Frame, autoencoder, coders, frame, vectors
from jaxclust.methods.parts.module_model import (
    Module,
    answers,
    centroids_of,
    functions,
    log_responsibilities,
    module_of,
    posterior_of,
    random_module,
)
from jaxclust.methods.parts.networks import damped_adam
from jaxclust.methods.parts.outcome import frame_of
from jaxclust.methods.parts.population import over_members, pick
from jaxclust.numerics import fold_name
from jaxclust.train import loop
from jaxclust.train.apply import apply_in_batches
from jaxclust.train.phases import Phases, initial
from jaxclust.train.state import advance, new_state
from jaxclust.typing import Array, Batch, Key, PyTree, TrainState


@dataclass(frozen=True)
class Config:
    """Settings of cm; the defaults are the text's for USPS (preset 'paper')."""

    n_clusters: int | Literal["auto"] = "auto"
    """Number of clusters K; 'auto' finds it."""
    max_clusters: int = 20
    """Where 'auto' starts from."""
    alpha: float | tuple[float, ...] = 40.0
    """Concentration of the Dirichlet prior: one for all clusters, or K of them in any order."""
    start: Literal["random", "k-means++", "k-means"] = "random"
    """First centroids."""
    encoder_start: Literal["pseudo-inverse", "posterior"] = "pseudo-inverse"
    """Encoder that goes with first centroids: their pseudo-inverse, or the posterior of k-means' clusters."""
    restarts: int = 1
    """Runs with other first parameters, trained together; that of the least L_sp is kept."""
    epochs: float = 150
    """Epochs before the averaging epoch."""
    batch_size: int = 150
    """Examples a batch."""
    learning_rate: float = 1e-3
    """Learning rate (Adam)."""
    scaling: Literal["standard", "minmax", "maxabs", "unit", "none"] = "standard"
    """How features are scaled; images always lie in [0, 1]."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "restarts"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}: give a number above 0")
        if min(np.atleast_1d(self.alpha)) <= 0:
            raise InputError(f"alpha is {self.alpha}: give numbers above 0")
        if isinstance(self.alpha, tuple) and len(self.alpha) != self.n_clusters:
            raise InputError(f"alpha has {len(self.alpha)} numbers for {self.n_clusters} clusters: give one, or K")
        if self.n_clusters == "auto" and self.max_clusters < 2:
            raise InputError(f"max_clusters is {self.max_clusters}: give a number of at least 2")


@dataclass(frozen=True)
class AEConfig(CoderConfig, Config):
    """Settings of ae-cm; the defaults are the text's for USPS (preset 'paper')."""

    alpha: float | tuple[float, ...] = 20.0
    beta: float = 0.5
    """Weight of the autoencoder's squared error."""
    orthonormality: float = 1.0
    """Weight lambda of |mu mu^T - I|_1."""
    start: Literal["random", "pretrained"] = "pretrained"  # type: ignore[assignment]
    """Random parameters; or an autoencoder trained alone, k-means of its codes and cm on them."""
    pretrain_epochs: float = 100
    """Epochs of the autoencoder alone."""
    module_epochs: float = 100
    """Epochs of cm on its codes."""
    epochs: float = 1000
    batch_size: int = 256

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        CoderConfig.__post_init__(self)


# Losses


def cm_terms(module: Module, x: Array, weight: Array, alpha: Array) -> dict[str, Array]:
    """The four terms of L_CM (eq. 7), which is their sum: x (b, d), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, x)), centroids_of(module)
    return {
        "reconstruction": (weight * losses.gaussian_reconstruction(g @ mu, x)).sum(),
        "sparsity": (weight * losses.responsibility_sparsity(g, (mu**2).sum(-1))).sum(),
        "overlap": -(weight * losses.responsibility_overlap(g, mu)).sum(),
        "balance": losses.dirichlet_balance(g, weight, alpha),
    }


def ae_cm_terms(module: Module, z: Array, weight: Array, alpha: Array, orthonormality: float) -> dict[str, Array]:
    """The terms of eq. 10 but for the autoencoder's: z (b, p), weight (b,), alpha (K,)."""
    g, mu = jnp.exp(log_responsibilities(module, z)), centroids_of(module)
    return {
        "module_reconstruction": (weight * losses.gaussian_reconstruction(g @ mu, z)).sum(),
        "sparsity": (weight * losses.responsibility_sparsity(g)).sum(),
        "balance": losses.dirichlet_balance(g, weight, alpha),
        "orthonormality": orthonormality * losses.orthonormality(mu),
    }


# Trainings


class Length(NamedTuple):
    """Steps of a training, and of the averaging epoch at its end."""

    steps: int
    averaged: int


def averaged(mean: PyTree, params: PyTree, step: Array, length: Length) -> PyTree:
    """The mean of the parameters over the averaging epoch up to this step; before it, `mean` as it is."""
    count = step - (length.steps - length.averaged) + 1

    def update() -> PyTree:
        return jax.tree.map(lambda m, p: m + (p - m) / count, mean, params)

    return jax.lax.cond(count > 0, update, lambda: mean)


@lru_cache(32)
def clustering_module(config: Config, n_clusters: int, dim: int, length: Length, view: Frame | None) -> Method:
    """The training of the module alone, on images of that frame or on codes (b, dim). extra: 'mean', the averaged
    parameters."""
    adam, alpha = damped_adam(config.learning_rate), concentrations(config, n_clusters)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params = {"module": random_module(fold_name(key, "module"), n_clusters, dim)}
        return new_state(params, adam, {"mean": jax.tree.map(jnp.zeros_like, params)}, key)

    def loss(params: PyTree, batch: Batch) -> tuple[Array, PyTree]:
        x = batch.image if view is None else vectors(view, batch.image)
        terms = cm_terms(params["module"], x, batch.weight, jnp.asarray(alpha))
        return sum(terms.values(), jnp.zeros(())), terms

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, terms = jax.grad(loss, has_aux=True)(state.params, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], new.params, state.step, length)
        return new._replace(extra={"mean": mean}), per_example(terms, batch)

    return Method(init, step)


@lru_cache(32)
def ae_clustering_module(config: AEConfig, n_clusters: int, length: Length, pair: Coders) -> Method:
    """The joint training of autoencoder and module. extra: 'mean' as above, and the coders' 'stats'."""
    adam, alpha = damped_adam(config.learning_rate), concentrations(config, n_clusters)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = pair.init(fold_name(key, "coders"), batch_shape[0])
        params["module"] = random_module(fold_name(key, "module"), n_clusters, config.latent_dim)
        return new_state(params, adam, {"mean": jax.tree.map(jnp.zeros_like, params), "stats": stats}, key)

    def loss(params: PyTree, state: TrainState, batch: Batch) -> tuple[Array, tuple[PyTree, PyTree]]:
        x, weight = pair.target(batch.image), batch.weight
        z, stats = pair.encode(params, state.extra["stats"], pair.random(state, batch.image), weight)
        output, stats = pair.decode(params, stats, z, weight)
        terms = ae_cm_terms(params["module"], z, weight, jnp.asarray(alpha), config.orthonormality)
        terms["reconstruction"] = config.beta * (weight * losses.gaussian_reconstruction(output, x)).sum()
        return sum(terms.values(), jnp.zeros(())), (stats, terms)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, batch)
        new = advance(state, grads, adam, {})
        mean = averaged(state.extra["mean"], new.params, state.step, length)
        return new._replace(extra={"mean": mean, "stats": stats}), per_example(terms, batch)

    return Method(init, step)


def concentrations(config: Config, n_clusters: int) -> np.ndarray:
    """alpha as (K,)."""
    return np.broadcast_to(np.asarray(config.alpha, np.float32), (n_clusters,))


def per_example(terms: dict[str, Array], batch: Batch) -> dict[str, Array]:
    """Sums over the batch as means, with their sum as 'loss'."""
    return {name: term / batch.weight.sum() for name, term in {**terms, "loss": sum(terms.values())}.items()}


# The phases


def fit_cm(config: Config, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """The module alone, on vectors: first centroids if they are not random, training, choice of the restart."""
    n_clusters = given(config, len(images))
    view = frame(preprocess)
    length = epochs_of(config.epochs, config.batch_size, len(images))
    runs = Restarts(phases, config, key, 2 * n_clusters * view.size)
    method = clustering_module(config, n_clusters, view.size, length, view)
    state = None
    if config.start != "random":
        flat = loop.in_batches(jax.jit(partial(vectors, view)), images)
        first = phases.compute("centroids", lambda: centroids(config, [flat], n_clusters, key))
        state = start_at(config, runs.begun("module", method, images), first)
    state = runs.train("module", method, images, config.epochs, state)
    return chosen(config, None, view, n_clusters, {"module": state.extra["mean"]["module"]}, images)


def fit_ae_cm(config: AEConfig, images: Images, preprocess: Preprocess, key: Key, phases: Phases) -> Result:
    """Autoencoder, k-means of its codes and the module on them, if pre-trained; then all together; the choice."""
    n_clusters = given(config, len(images))
    view = frame(preprocess)
    pair = coders(config, view)
    length = epochs_of(config.epochs, config.batch_size, len(images))
    runs = Restarts(phases, config, key, pair.size, config.network == "conv")
    joint = ae_clustering_module(config, n_clusters, length, pair)
    state = None
    if config.start == "pretrained":
        before = runs.train(
            "autoencoder", autoencoder(pair, damped_adam(config.learning_rate)), images, config.pretrain_epochs
        )
        module = pretrained_module(runs, config, pair, before, images, n_clusters)
        state = runs.begun("joint", joint, images)
        params = {**before.params, "module": module}
        state = state._replace(params=params, extra={**state.extra, "stats": before.extra})
    state = runs.train("joint", joint, images, config.epochs, state)
    mean = dict(state.extra["mean"])
    arrays = {"module": mean.pop("module"), "params": mean, "stats": state.extra["stats"]}
    return chosen(config, pair, view, n_clusters, arrays, images)


def pretrained_module(
    runs: "Restarts", config: AEConfig, pair: Coders, before: TrainState, images: Images, n_clusters: int
) -> Module:
    """k-means of each restart's codes, and the module alone on them: stacked modules."""
    over = over_members(pair.size, config.network == "conv")

    def encode(images: Array) -> Array:
        codes = over(lambda params, stats: pair.embed(params, stats, images), before.params, before.extra)
        return jnp.moveaxis(codes, 0, 1)

    codes = loop.in_batches(jax.jit(encode), images)
    each = list(np.moveaxis(codes, 1, 0))
    first = runs.phases.compute("centroids", lambda: centroids(config, each, n_clusters, runs.key))
    length = epochs_of(config.module_epochs, config.batch_size, len(images))
    method = clustering_module(config, n_clusters, config.latent_dim, length, None)
    small = runs._replace(size=2 * n_clusters * config.latent_dim, convolutional=False, own_images=True)
    state = start_at(config, small.begun("module", method, codes), first)
    return small.train("module", method, codes, config.module_epochs, state).extra["mean"]["module"]


class Restarts(NamedTuple):
    """The trainings of all restarts; their states have a leading axis. size, convolutional, own_images: as in
    `population`."""

    phases: Phases
    config: Config
    key: Key
    size: int
    convolutional: bool = False
    own_images: bool = False

    def train(
        self, name: str, member: Method, images: Images, epochs: float, state: TrainState | None = None
    ) -> TrainState:
        """A training and its averaging epoch, of all at once or in turn."""
        states, parts = [], population.groups(self.config.restarts, self.size, self.convolutional)
        for first, count in parts:
            last = self.phases.train(
                name if len(parts) == 1 else f"{name}-{first}",
                self._population(member, first, count),
                images,
                key=fold_name(self.key, name),
                epochs=epochs + 1,
                batch_size=self.config.batch_size,
                state=None if state is None else population.narrowed(population.part(state, first, count), count),
            )
            states.append(population.widened(last, count))
        return population.together(states)

    def begun(self, name: str, member: Method, images: Images) -> TrainState:
        """A fresh state of all restarts."""
        count = self.config.restarts
        state = initial(self._population(member, 0, count), fold_name(self.key, name), (1, *images.shape[1:]))
        return population.widened(state, count)

    def _population(self, member: Method, first: int, count: int) -> Method:
        return population.population(
            member, count, self.size, first=first, convolutional=self.convolutional, own_images=self.own_images
        )


def given(config: Config, n: int) -> int:
    """The number of clusters to train with."""
    if config.n_clusters == "auto":
        return min(config.max_clusters, n)
    return int(config.n_clusters)


def epochs_of(epochs: float, batch_size: int, n: int) -> Length:
    """The steps of a training of that many epochs and the averaging epoch."""
    per_epoch = -(-n // min(batch_size, n))
    return Length(loop.total_steps(epochs + 1, per_epoch), per_epoch)


def centroids(config: Config, codes: list[np.ndarray], n_clusters: int, key: Key) -> dict[str, np.ndarray]:
    """Of each restart's codes (n, d), or of one for all: 'centroids' (restarts, K, d) and 'variance' (restarts,)."""
    seeding_only = config.start == "k-means++"
    found = [
        kmeans.first_centroids(
            codes[r % len(codes)],
            n_clusters,
            seeds.seed(jax.random.fold_in(key, r), "centroids"),
            seeding_only=seeding_only,
        )
        for r in range(config.restarts)
    ]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def start_at(config: Config, state: TrainState, first: dict[str, np.ndarray]) -> TrainState:
    """The stacked state with the modules of `centroids`."""
    by_posterior = config.encoder_start == "posterior"
    arguments = (first["centroids"], first["variance"]) if by_posterior else (first["centroids"],)
    modules = jax.jit(jax.vmap(posterior_of if by_posterior else module_of))(*arguments)
    return state._replace(params={**state.params, "module": modules})


def chosen(
    config: Config, pair: Coders | None, view: Frame, n_clusters: int, stacked: PyTree, images: Images
) -> Result:
    """The restart with the least L_sp, and what is known of all."""
    convolutional = isinstance(config, AEConfig) and config.network == "conv"
    over = over_members(pair.size if pair else 0, convolutional)
    stacked = {**stacked, "module": stacked["module"]._asdict()}

    def each(arrays: PyTree, images: Array) -> dict[str, Array]:
        found = over(lambda arrays: answers(pair, view, arrays, images), arrays)
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), found)

    found = loop.in_batches(partial(jax.jit(each), jax.device_put(stacked)), images)
    l_sp = found["sparsity"].mean(0, dtype=np.float64)
    best = int(l_sp.argmin())
    g = found["responsibilities"][:, best]
    variance = found["spread"][:, best].sum(0) / np.maximum(g.sum(0), 1e-9)
    meta = {"config": asdict(config), "frame": view._asdict()}
    arrays = {**pick(stacked, best), "deviation": np.sqrt(variance).astype(np.float32)}
    can = functions(pair, view)
    assert can.second_opinion is not None
    labels = g.argmax(1).astype(np.int32)
    opinions = {"nearest_centroid": apply_in_batches(can.second_opinion, arrays, images)}
    if config.restarts > 1:
        opinions |= {f"restart_{r}": found["responsibilities"][:, r].argmax(1) for r in range(config.restarts)}
    summary = {
        "n_clusters": n_clusters,
        "latent_dim": config.latent_dim if isinstance(config, AEConfig) else None,
        "expert_latent_dims": None,
        "restart": best,
        "l_sp": [float(value) for value in l_sp],
    }
    embedding = apply_in_batches(can.embed, arrays, images)
    return Result(Model(meta, arrays, can), labels, g, np.zeros(len(images), bool), embedding, opinions, summary, {})


def restore_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted cm."""
    return functions(None, frame_of(meta))


def restore_ae_cm(meta: Mapping[str, Any]) -> Functions:
    """The functions of a fitted ae-cm."""
    return functions(coders(AEConfig(**meta["config"]), frame_of(meta)), frame_of(meta))


SOURCE = "Boubekki et al., Joint optimization of an autoencoder for clustering and embedding, Machine Learning 2021"
CM = System(
    name="cm",
    title="clustering module: a Gaussian mixture trained as an autoencoder with one hidden layer",
    source=SOURCE,
    Config=Config,
    presets={"quick": Config(), "paper": Config()},
    fit=fit_cm,
    restore=restore_cm,
)
AE_CM = System(
    name="ae-cm",
    title="autoencoder with a clustering module on its code, trained together",
    source=SOURCE,
    Config=AEConfig,
    presets={"quick": AEConfig(), "paper": AEConfig()},
    fit=fit_ae_cm,
    restore=restore_ae_cm,
)
