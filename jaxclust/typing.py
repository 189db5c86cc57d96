"""The few type names that the whole library shares."""

from typing import Any, NamedTuple, TypeAlias

import jax

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a typed PRNG key, as jax.random.key makes it
PyTree: TypeAlias = Any  # a tree of arrays: parameters, statistics, optimiser states


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
