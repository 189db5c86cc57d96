"""The few type names that the whole library shares."""

from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed PRNG key, as jax.random.key makes it
PyTree: TypeAlias = Any  # a tree of arrays: parameters, statistics, optimiser states
