"""A classifier trained on soft labels: the manager of a mixture, or a head distilled from host-side clusters.

L = 1/b sum_i KL(t_i || p(x_i)),  t_i the soft label of x_i  (Santos 2020, sections 3.3.4 and 4.4.4)
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxclust import losses
from jaxclust.nn.apply import eval_mode, init, train_mode
from jaxclust.nn.autoencoders import Classifier
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import Augmentation, augment_step
from jaxclust.train.optimisers import adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, to_unit
from jaxclust.typing import Array, Key, PyTree


class ClassifierSpec(NamedTuple):
    """Everything that defines a classifier's training."""

    n_classes: int
    width: float = 1.0
    min_filters: int = 1
    learning_rate: float = 1e-3
    schedule: str = "constant"
    n_steps: int = 1000
    augmentation: Augmentation = Augmentation()
    form: str = "auto"
    dtype: jnp.dtype = jnp.float32
    stem: str = "pair"


def module(spec: ClassifierSpec) -> Classifier:
    """The network, from examples to logits over the classes."""
    return Classifier(spec.n_classes, spec.width, spec.min_filters, spec.form, spec.dtype, spec.stem)


def log_posterior_of(network: Classifier, arrays: Mapping[str, PyTree], images: Array) -> Array:
    """log p(k|x) (n, K) of prepared examples (n, ...), by a network's 'params' and 'stats'."""
    return jax.nn.log_softmax(eval_mode(network, arrays["params"], arrays["stats"], to_unit(images)))


def arrays_of(state: TrainState) -> dict[str, PyTree]:
    """The trained network: its 'params' and 'stats'."""
    return {"params": state.params, "stats": state.extra["stats"]}


def classifier(spec: ClassifierSpec, targets: np.ndarray) -> Training:
    """The training of a classifier on `targets` (n, n_classes), rows that sum to one, found by `Batch.index`."""
    network = module(spec)
    optimiser = adam(spec.learning_rate, spec.n_steps, spec.schedule)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = init(network, fold_name(key, "init"), jnp.zeros(batch_shape))
        extra = {"stats": stats, "targets": jnp.asarray(targets, jnp.float32)}
        return new_state(params, optimiser, extra, key)

    def loss(params: PyTree, state: TrainState, image: Array, batch: Batch) -> tuple[Array, PyTree]:
        logits, stats = train_mode(network, params, state.extra["stats"], image, batch.weight)
        target = state.extra["targets"][batch.index]
        value = weighted_mean(losses.soft_label_kl(jax.nn.log_softmax(logits), target), batch.weight)
        right = (logits.argmax(-1) == target.argmax(-1)).astype(jnp.float32)
        return value, (stats, {"loss": value, "agreement": weighted_mean(right, batch.weight)})

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        image = augment_step(state, to_unit(batch.image), spec.augmentation, spec.form)
        grads, (stats, terms) = jax.grad(loss, has_aux=True)(state.params, state, image, batch)
        return advance(state, grads, optimiser, {**state.extra, "stats": stats}), terms

    def log_posterior(state: TrainState, images: Array) -> Array:
        return log_posterior_of(network, arrays_of(state), images)

    return Training(start, step, log_posterior, log_posterior)


def with_trunk(state: TrainState, encoder: Mapping[str, PyTree]) -> TrainState:
    """The state that begins with the convolutions, or hidden layers, of a trained encoder (autoencoder.encoder_of)."""
    params, stats = (jax.device_get(encoder[name]["Trunk_0"]) for name in ("params", "stats"))
    return state._replace(
        params={**state.params, "Trunk_0": params}, extra={**state.extra, "stats": {"Trunk_0": stats}}
    )
