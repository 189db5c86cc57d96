"""Applying Flax modules with parameters and batch statistics kept apart, and the type that they compute in."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxclust.typing import Array, Key, PyTree

Module = nn.Module


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


def compute_type(precision: str, platform: str | None = None) -> jnp.dtype:
    """The type that networks compute in. platform: 'cpu', 'gpu', 'tpu'; by default JAX's default backend."""
    if precision == "auto":
        precision = "float32" if (platform or jax.default_backend()) == "cpu" else "bfloat16"
    return jnp.dtype(precision)


def by_path(params: PyTree) -> dict[str, Array]:
    """A tree of parameters as its leaves by path, 'a/b/c'."""
    return flatten_dict(params, sep="/")


def nested(leaves: Mapping[str, Any]) -> PyTree:
    """The inverse of `by_path`."""
    return unflatten_dict(leaves, sep="/")
