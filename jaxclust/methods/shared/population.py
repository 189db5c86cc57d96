"""Several runs of one training: the same batches, other initial parameters.

Runs with other seeds are independent and often small. Stacked in a single program, they share the batches' way to the
device and the overhead of a step; on a mesh they are spread over `expert`. On a CPU networks that keep the cores busy
by themselves are trained one after the other by one compiled program instead (`groups`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxclust.data.rows import Images
from jaxclust.methods.shared.job import Job
from jaxclust.nn import conv
from jaxclust.numerics import fold_name, fold_range
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, Training, TrainState
from jaxclust.typing import Array, Key, PyTree

SMALL = 100_000  # parameters of a member up to which a CPU is faster with batched products than in turn


def groups(count: int, size: int, convolutional: bool = False, platform: str | None = None) -> list[tuple[int, int]]:
    """How `count` members are trained: (first, number) of those that are trained together, in order.

    All at once; but on a CPU, and convolutions on a GPU, large ones in turn: stacked, they were slower than that (XLA's
    batched products; copies of each one's parameters). platform: 'cpu', 'gpu', 'tpu'; by default JAX's.
    """
    slow = ("cpu", "gpu") if convolutional else ("cpu",)
    in_turn = size > SMALL and (platform or jax.default_backend()) in slow
    return [(r, 1) for r in range(count)] if in_turn else [(0, count)]


@lru_cache(32)
def population(
    member: Training,
    count: int,
    size: int,
    *,
    first: int = 0,
    convolutional: bool = False,
    own_images: bool = False,
) -> Training:
    """`count` members trained side by side: leaves of params, opt_state and extra get a leading axis (count,).

    Member r begins with key fold_in(key, first + r) and draws from it, so it does not depend on the others. One
    member has no such axis, which would cost a copy of its parameters each step: `widened` adds it afterwards.
    Terms are means over the members.

    Args:
      size: parameters of one member, which decides how a CPU does it (see `over_members`).
      first: number of the first member.
      convolutional: members have convolutions, which few platforms batch well.
      own_images: images are (b, count, ...), and each member sees its own.
    """
    over = over_members(size, convolutional)

    def init(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        shape = (batch_shape[0], *batch_shape[2:]) if own_images else batch_shape
        if count == 1:
            return member.init(jax.random.fold_in(key, first), shape)
        state = jax.vmap(lambda k: member.init(k, shape))(fold_range(key, first, count))
        return state._replace(step=jnp.zeros((), jnp.int32), key=key)

    def step_one(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        return member.step(state, batch._replace(image=batch.image[:, 0]))

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        def one(params: PyTree, opt_state: PyTree, extra: PyTree, key: Key, image: Array | None) -> Any:
            seen = batch if image is None else batch._replace(image=image)
            new, terms = member.step(TrainState(state.step, params, opt_state, extra, key), seen)
            return (new.params, new.opt_state, new.extra), terms

        images = jnp.moveaxis(batch.image, 1, 0) if own_images else None
        (params, opt_state, extra), terms = over(
            one, state.params, state.opt_state, state.extra, fold_range(state.key, first, count), images
        )
        return TrainState(state.step + 1, params, opt_state, extra, state.key), jax.tree.map(jnp.mean, terms)

    if count == 1:  # the member's own step, so that all members share one compilation
        return Training(init, step_one if own_images else member.step)
    return Training(init, step, stacked=is_stacked)


def widened(state: TrainState, count: int) -> TrainState:
    """A population's state with the members' axis, (1,) for one member."""
    if count > 1:
        return state
    return _on_members(lambda leaf: np.asarray(leaf)[None], state)


def narrowed(state: TrainState, count: int) -> TrainState:
    """The inverse of `widened`."""
    if count > 1:
        return state
    return _on_members(lambda leaf: np.asarray(leaf)[0], state)


def _on_members(function: Callable[[Array], np.ndarray], state: TrainState) -> TrainState:
    """NumPy's views: nothing is compiled for each shape of a leaf."""
    params, opt_state, extra = jax.tree.map(function, (state.params, state.opt_state, state.extra))
    return TrainState(state.step, params, opt_state, extra, state.key)


def is_stacked(state: TrainState) -> PyTree:
    """Which leaves of a state have the axis of stacked networks: all but the step and the key."""
    return jax.tree.map(lambda _: True, state)._replace(step=False, key=False)


def over_members(size: int, convolutional: bool = False, form: str = "auto") -> Callable[..., Any]:
    """`over(function, *trees)`: the function of each member's part, stacked again.

    One member is not mapped. On a CPU networks of more than SMALL parameters go one after the other, since
    XLA's batched products are several times slower there than plain ones; elsewhere, and small ones, by vmap.
    form: of the convolutions (nn/conv.py).
    """

    def over(function: Callable[..., Any], *trees: PyTree) -> Any:
        if len(jax.tree.leaves(trees)[0]) == 1:
            out = function(*jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), trees))
            return jax.tree.map(lambda leaf: leaf[None], out)
        if convolutional:
            return conv.over_networks(function, form)(*trees)
        if size <= SMALL:
            return jax.vmap(function)(*trees)

        def in_turn(*trees: PyTree) -> Any:
            return lax.map(lambda one: function(*one), trees)

        return lax.platform_dependent(*trees, cpu=in_turn, default=jax.vmap(function))

    return over


def together(states: list[TrainState]) -> TrainState:
    """States with the members' axis, one after the other."""
    if len(states) == 1:
        return states[0]
    return states[-1]._replace(
        **{
            name: jax.tree.map(lambda *leaves: np.concatenate(leaves), *(getattr(state, name) for state in states))
            for name in ("params", "opt_state", "extra")
        }
    )


def part(state: TrainState, first: int, count: int) -> TrainState:
    """Members `first`, ... of a state with the members' axis."""
    return _on_members(lambda leaf: np.asarray(leaf)[first : first + count], state)


def pick(tree: PyTree, member: int) -> PyTree:
    """One member's part of a stacked tree, as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[member], tree)


class Restarts(NamedTuple):
    """The trainings of a job's `restarts`; their states have a leading axis. size, convolutional, own_images: as in
    `population`."""

    job: Job[Any]
    size: int
    convolutional: bool = False
    own_images: bool = False

    def train(
        self, name: str, member: Training, images: Images, epochs: float, state: TrainState | None = None
    ) -> TrainState:
        """A training of all restarts, at once or in turn."""
        states, parts = [], groups(self.job.config.restarts, self.size, self.convolutional)
        for first, count in parts:
            last = self.job.train(
                name if len(parts) == 1 else f"{name}-{first}",
                self._population(member, first, count),
                epochs,
                images=images,
                key=fold_name(self.job.key, name),
                state=None if state is None else narrowed(part(state, first, count), count),
            )
            states.append(widened(last, count))
        return together(states)

    def begun(self, name: str, member: Training, images: Images, *, warm: bool = False) -> TrainState:
        """A fresh state of all restarts. warm: with the networks that the fit is to begin with (`Phases.begun`)."""
        count = self.job.config.restarts
        training, shape = self._population(member, 0, count), (1, *images.shape[1:])
        key = fold_name(self.job.key, name)
        state = self.job.phases.begun(name, training, key, shape) if warm else initial(training, key, shape)
        return widened(state, count)

    def _population(self, member: Training, first: int, count: int) -> Training:
        return population(
            member, count, self.size, first=first, convolutional=self.convolutional, own_images=self.own_images
        )
