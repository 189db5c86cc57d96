"""Several trainings of GANs at a time, in one program: each has its own examples, number of steps, key and health.

A slot's training draws real examples i with probability s_i / sum s, for each of its groups of networks. It ends by
itself: when its steps are done, when a discriminator has won (nobody learns from it then), or when a loss is not
finite. Slots do not see each other, so the result of one is the same whatever the others do.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust.methods.shared.population import is_stacked, over_members
from jaxclust.numerics import fold_name, fold_range
from jaxclust.train.batches import Batches, chosen_by_training
from jaxclust.train.loop import MAX_CHUNK
from jaxclust.train.programs import options
from jaxclust.train.training import Batch, Training, TrainState
from jaxclust.typing import Array, Key, PyTree

SOUND, COLLAPSED, NOT_FINITE = range(3)  # how a training ends
FAULTS = ("", "the discriminator has won", "a loss is not finite")
WON = 1e-3  # the mean loss of a discriminator that has won
WARM_UP, MEMORY = 0.1, 0.98  # the share of the steps after which that counts, and how slowly the mean moves
TERMS = ("discriminator", "classifier", "generator")


class Start(NamedTuple):
    """What the trainings begin with; a slot without steps is left alone.

    keys: (slots,).  cdf: (slots, groups, n) float32, cumulative shares of the memberships, see `cumulative`.
    n_steps: (slots,) int32, whole multiples of MAX_CHUNK.
    """

    keys: Key
    cdf: Array
    n_steps: Array


class Slots(NamedTuple):
    """A training of several slots: `training`, for `Phases.train` with `batches`; begin: (key, Start) -> its state.

    Leaves of the state's params, opt_state and extra are (slots, ...). extra: those of `Start`; 'low' (slots, groups),
    running means of the discriminators' losses, from 0; 'fault' (slots,), how the training ended. Terms are means over
    the slots at work.  number, groups: how many slots, and groups of each.
    """

    number: int
    groups: int
    training: Training
    begin: Callable[[Key, Start], TrainState]
    batches: Batches


def several(
    update: Callable[..., tuple[PyTree, PyTree, dict[str, Array]]],
    begin: Callable[[Key], tuple[PyTree, PyTree]],
    real: Callable[[Array], Array],
    slots: int,
    groups: int,
    batch_size: int,
    form: str | None,
) -> Slots:
    """The training of `slots` times what `update` does.

    update: (params, opt_state, real examples ([groups,] b, ...), weight (b,), left (), key) -> params, opt_state,
            TERMS; left is the share of the steps that are to come. Without groups where there is one.
    begin:  key -> params, opt_state of one slot.
    real:   images of the data set as `update` takes them.
    form:   of its convolutions (nn/conv.py), None where it has none.
    """
    shapes = jax.eval_shape(begin, jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes[0]))
    over = over_members(size, form is not None, form or "auto")

    def begin_all(key: Key, start: Start) -> TrainState:
        params, opt_state = jax.vmap(begin)(start.keys)
        health = {"low": jnp.zeros((slots, groups)), "fault": jnp.zeros(slots, jnp.int32)}
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state, {**start._asdict(), **health}, key)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        """All slots at work on the first examples, without end."""
        n = batch_shape[0] // (slots * groups)
        cdf = jnp.broadcast_to(jnp.arange(1, n + 1) / n, (slots, groups, n))
        return begin_all(key, Start(fold_range(key, 0, slots), cdf, jnp.full(slots, 1 << 30)))

    def choose_rows(state: TrainState, step: Array, size: int) -> Array:
        """Slots, and their groups, take turns."""

        def of_group(key: Key, cdf: Array) -> Array:
            u = jax.random.uniform(key, (size // (slots * groups),))
            return jnp.searchsorted(cdf, u, side="right")

        def of_slot(key: Key, cdf: Array) -> Array:
            return jax.vmap(of_group)(fold_range(fold_name(jax.random.fold_in(key, step), "rows"), 0, groups), cdf)

        found = jax.vmap(of_slot)(state.extra["keys"], state.extra["cdf"])
        return found.reshape(slots * groups, -1).T.reshape(-1).astype(jnp.int32)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        images = real(batch.image).reshape(-1, slots, groups, *batch.image.shape[1:])
        weight = batch.weight.reshape(-1, slots * groups)[:, 0]
        now = partial(advanced, update, state.step, weight)
        kept = {name: state.extra[name] for name in ("keys", "n_steps", "low", "fault")}
        by_slot = jnp.moveaxis(images, 0, 2) if groups > 1 else jnp.moveaxis(images[:, :, 0], 0, 1)
        params, opt_state, low, fault, terms = over(now, state.params, state.opt_state, kept, by_slot)
        count = jnp.maximum(terms.pop("at_work").sum(), 1)
        terms = {name: values.sum() / count for name, values in terms.items()}
        extra = {**state.extra, "low": low, "fault": fault}
        return TrainState(state.step + 1, params, opt_state, extra, state.key), terms

    batches = chosen_by_training(slots * groups * batch_size, MAX_CHUNK, slots * groups)
    training = Training(init, step, stacked=is_stacked, choose_rows=choose_rows)
    return Slots(slots, groups, training, begin_all, batches)


@cache
def compiled(begin: Callable[[Key, Start], TrainState]) -> Callable[[Key, Start], TrainState]:
    """`Slots.begin` as one program."""
    return jax.jit(begin, compiler_options=options(once=True))


def advanced(
    update: Callable[..., Any],
    step: Array,
    weight: Array,
    params: PyTree,
    opt_state: PyTree,
    extra: PyTree,
    real: Array,
) -> tuple[PyTree, PyTree, Array, Array, dict[str, Array]]:
    """One slot after a step, if it is at work: params, opt_state, 'low', 'fault', terms with 'at_work'."""

    def move(_: None) -> Any:
        left = jnp.maximum(0.0, 1.0 - step / extra["n_steps"])
        new, states, terms = update(params, opt_state, real, weight, left, jax.random.fold_in(extra["keys"], step))
        low = MEMORY * extra["low"] + (1 - MEMORY) * terms["discriminator"].reshape(-1)
        mean = low.min() / (1 - MEMORY ** (step + 1.0))  # as Adam corrects a running mean that began with 0
        won = (mean < WON) & (step >= WARM_UP * extra["n_steps"])
        finite = jnp.isfinite(jnp.stack([terms[name].sum() for name in TERMS])).all()
        fault = jnp.where(finite, jnp.where(won, COLLAPSED, SOUND), NOT_FINITE).astype(jnp.int32)
        means = {name: jnp.where(finite, terms[name].mean(), 0.0) for name in TERMS}
        return new, states, low, fault, {**means, "at_work": jnp.ones(())}

    def stay(_: None) -> Any:
        nothing = {name: jnp.zeros(()) for name in (*TERMS, "at_work")}
        return params, opt_state, extra["low"], extra["fault"], nothing

    return lax.cond((step < extra["n_steps"]) & (extra["fault"] == SOUND), move, stay, None)


def cumulative(memberships: np.ndarray) -> np.ndarray:
    """Cumulative shares of memberships (..., n), at least 0 and not all 0: float32, the last one exactly 1.

    Summed in float64. An example of membership 0 is never drawn.
    """
    sums = np.cumsum(np.asarray(memberships, np.float64), -1)
    return (sums / sums[..., -1:]).astype(np.float32)


def whole(steps: float) -> int:
    """Steps of a training, as many chunks as hold them and at least one."""
    return -(-max(1, round(steps)) // MAX_CHUNK) * MAX_CHUNK
