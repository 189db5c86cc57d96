"""Applying Flax modules with parameters and batch statistics kept apart, random images, the optimiser of a training."""

from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxclust.data.augment import Augmentation, augment
from jaxclust.nn.conv import resolve_form
from jaxclust.train.state import step_key
from jaxclust.typing import Array, Key, PyTree, TrainState


def init(module: nn.Module, key: Key, example: Array) -> tuple[PyTree, PyTree]:
    """Fresh parameters and running batch statistics of `module` for inputs of the shape of `example`."""
    variables = module.init(key, example, train=True)
    return variables["params"], variables.get("batch_stats", {})


def train_mode(module: nn.Module, params: PyTree, stats: PyTree, x: Array, weight: Array) -> tuple[Any, PyTree]:
    """Output with batch statistics over the examples of weight 1, and the updated running statistics."""
    variables = {"params": params, "batch_stats": stats}
    out, updated = module.apply(variables, x, weight, True, mutable=["batch_stats"])
    return out, updated["batch_stats"]


def eval_mode(module: nn.Module, params: PyTree, stats: PyTree, x: Array) -> Any:
    """Output with the running statistics: each example's is independent of the others."""
    return module.apply({"params": params, "batch_stats": stats}, x, None, False)


def transformed(state: TrainState, images: Array, ranges: Augmentation, form: str) -> Array:
    """Images of a step, each transformed at random."""
    return moved(step_key(state, "augment"), images, ranges, form)


def moved(key: Key, images: Array, ranges: Augmentation, form: str) -> Array:
    """data.augment in what suits the form of the convolutions: gathering pixels, or products."""
    return augment(key, images, ranges, "products" if resolve_form(form) == "native" else "gather")


def adam(learning_rate: float, n_steps: int, schedule: str = "constant") -> optax.GradientTransformation:
    """Adam at a constant rate (the texts'), or 'cosine': a short warm-up, then a cosine towards zero."""
    if schedule == "constant":
        return optax.adam(learning_rate)
    warm_up = max(1, n_steps // 20)
    rate = optax.warmup_cosine_decay_schedule(learning_rate / 10, learning_rate, warm_up, max(n_steps, warm_up + 1))
    return optax.adam(rate)


@cache
def damped_adam(learning_rate: float) -> optax.GradientTransformation:
    """Adam at a constant rate with the epsilon of Boubekki et al. 2021 (their code): small gradients stay small."""
    return optax.adam(learning_rate, eps=1e-3)


def compute_type(precision: str, platform: str | None = None) -> jnp.dtype:
    """The type that networks compute in. platform: 'cpu', 'gpu', 'tpu'; by default JAX's default backend."""
    if precision == "auto":
        precision = "float32" if (platform or jax.default_backend()) == "cpu" else "bfloat16"
    return jnp.dtype(precision)
