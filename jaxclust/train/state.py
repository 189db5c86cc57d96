"""Small pure helpers that every train step uses."""

import jax
import jax.numpy as jnp
import optax

from jaxclust.numerics import fold_name
from jaxclust.typing import Array, Key, PyTree, TrainState


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
    """W of the KL term, rising linearly from 0 to 1 over `length` steps (Santos 2020, eq. 4.1): ()."""
    return jnp.clip(step / max(length, 1), 0.0, 1.0)
