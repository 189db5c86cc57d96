"""One training as pure functions: its contract, its state, its batches, and small helpers that every step uses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxclust.numerics import fold_name
from jaxclust.typing import Array, Key, PyTree


class Batch(NamedTuple):
    """One minibatch of static shape. It has no field for labels: fitting cannot see them.

    image:  (b, h, w, c) or (b, d), uint8 or float32; images lie in [0, 1] once scaled.
    index:  (b,) int32, the row of each example in the data set.
    weight: (b,) float32, 1 for an example and 0 for padding of the last batch.
    """

    image: Array
    index: Array  # type: ignore[assignment]  # tuple.index is not missed
    weight: Array


class TrainState(NamedTuple):
    """All that a training carries from step to step: arrays only, so a checkpoint is a plain tree.

    step:      () int32, steps done.
    params:    tree of float32 parameters.
    opt_state: the optimiser's state (GANs nest several).
    extra:     batch statistics, centroids, memberships.
    key:       () base key; each step folds in its number, so a resumed run is bit-identical.
    """

    step: Array
    params: PyTree
    opt_state: PyTree
    extra: PyTree
    key: Key


def not_offered(state: TrainState, images: Array) -> Array:
    """Stands for a function that a training does not have."""
    raise NotImplementedError("this training offers no such function")


class Training(NamedTuple):
    """One training, as pure functions. A method is a host loop over one or several of these.

    init:          (key, batch_shape) -> TrainState. `batch_shape` is (b, h, w, c) or (b, d).
    step:          (state, batch) -> (state, terms): one update, and named scalars of the loss, () float32 each.
    embed:         (state, images (n, ...)) -> (n, d) float32, deterministic and independent of the batch.
    log_posterior: (state, images (n, ...)) -> (n, K) float32, log probabilities whose exp sums to one.

    stacked:       state -> a tree of bool like it, True where a leaf's leading axis is that of stacked networks, which
                   a mesh then spreads over `expert`. None where there are none.

    choose_rows:   (state, step (), b) -> (b,) int32, for a training that chooses the examples of each step; those
                   of its batches are then not looked at. A larger b only adds some. It may depend on those parts of
                   `extra` and on the key that no step changes.

    A training without codes, or without clusters, leaves `embed` or `log_posterior` out.
    """

    init: Callable[[Key, tuple[int, ...]], TrainState]
    step: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]
    embed: Callable[[TrainState, Array], Array] = not_offered
    log_posterior: Callable[[TrainState, Array], Array] = not_offered
    stacked: Callable[[TrainState], PyTree] | None = None
    choose_rows: Callable[[TrainState, Array, int], Array] | None = None


def to_unit(images: Array) -> Array:
    """uint8 images as float32 in [0, 1]; float32 images or features as they are."""
    return images.astype(jnp.float32) / 255.0 if images.dtype == jnp.uint8 else images


def step_key(state: TrainState, name: str) -> Key:
    """The key of this step's stream `name`: a function of the base key and the step alone."""
    return fold_name(jax.random.fold_in(state.key, state.step), name)


def new_state(params: PyTree, optimiser: optax.GradientTransformation, extra: PyTree, key: Key) -> TrainState:
    """The state before the first step."""
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser.init(params), extra, key)


def advance(state: TrainState, grads: PyTree, optimiser: optax.GradientTransformation, extra: PyTree) -> TrainState:
    """One update of the parameters by `optimiser`, with the new `extra`."""
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, extra, state.key)


def ramp(step: Array, length: int) -> Array:
    """The share of its last value that the KL's weight W has, rising linearly from 0 to 1 over `length` steps (Santos
    2020, eq. 4.1): ()."""
    return jnp.clip(step / max(length, 1), 0.0, 1.0)
