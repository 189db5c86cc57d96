"""The mixture of VAE experts and its two stages (Santos 2020, sections 3.2, 4.5.2); the experts: shared/experts.py.

Cost: dense, every expert sees every image, K times a VAE. Routed, an image goes to its `top_experts` by pi, each
expert has room for `capacity` images, and pi is normalised over the experts that took the image. Images that find no
room at their first expert are left out of R in this step: the largest cluster has more of them than others,
different images each time. With top_experts = K this is the dense loss itself.
"""

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxclust import losses
from jaxclust.methods.shared import classifier
from jaxclust.methods.shared.experts import ExpertBatch, ExpertsSpec, experts, flagged, init_experts, pass_rows
from jaxclust.nn.apply import init, train_mode
from jaxclust.nn.conv import over_networks
from jaxclust.numerics import fold_name, weighted_mean
from jaxclust.train.augment import Augmentation, augment_step
from jaxclust.train.mesh import over_all, over_data
from jaxclust.train.optimisers import adam
from jaxclust.train.training import Batch, Training, TrainState, advance, new_state, ramp, step_key, to_unit
from jaxclust.typing import Array, Key, PyTree

CAPACITY = 1.1  # room of a routed expert, as a multiple of its share when all are equally wanted


class MixtureSpec(NamedTuple):
    """Everything that defines a mixture's training."""

    experts: ExpertsSpec
    manager: classifier.ClassifierSpec
    alpha: float = 100.0
    beta: float = 1.0
    kl_weight: float = 1.0
    ramp_steps: int = 0
    top_experts: int = 2
    manager_learning_rate: float = 1e-4
    learning_rate: float = 1e-4
    schedule: str = "constant"
    n_steps: int = 1000
    augmentation: Augmentation = Augmentation()
    clean_target: bool = False


def expert_costs(
    spec: ExpertsSpec,
    shape: tuple[int, ...],
    params: PyTree,
    stats: PyTree,
    mask: Array,
    key: Key,
    rows: ExpertBatch,
    kl_scale: Array,
) -> tuple[Array, PyTree]:
    """c_i = (rec + W kl) / pixels of one expert on its rows: (c,) and its new batch statistics.

    mask (d,): 1 for the expert's own latent dimensions.  kl_scale (): W.
    """
    passed, new_stats = pass_rows(spec, shape, params, stats, rows, mask, key)
    return passed.reconstruction / prod(shape) + kl_scale * (passed.kl / prod(shape)), new_stats


class Routes(NamedTuple):
    """Which images each expert takes: index (K, c) int32 into the batch, taken (K, c) in {0, 1}."""

    index: Array  # type: ignore[assignment]  # tuple.index is not missed
    taken: Array

    def scatter(self, values: Array, b: int) -> Array:
        """(K, c) -> (b, K), zero where an expert did not take the image."""
        k = len(self.index)
        return jnp.zeros((b, k)).at[self.index, jnp.arange(k)[:, None]].add(values * self.taken)


def route(pi: Array, top_experts: int, weight: Array, key: Key) -> Routes:
    """An image wants its `top_experts` largest pi; an expert takes at most c of those that want it.

    First come those of which it is the first expert, in random order, then the others by pi. An image that its first
    expert does not take is nobody's in this step: it says nothing about experts that it hardly wants.
    pi (b, K), weight (b,), 0 for padding. c = min(b, ceil(CAPACITY * b * top_experts / K)); b if all are wanted.
    """
    b, k = pi.shape
    if top_experts == k:
        return Routes(jnp.tile(jnp.arange(b), (k, 1)), jnp.tile(weight, (k, 1)))
    capacity = min(b, int(np.ceil(CAPACITY * b * top_experts / k)))
    order = lax.top_k(pi, top_experts)[1]
    first, chosen = jax.nn.one_hot(order[:, 0], k), jax.nn.one_hot(order, k).sum(1)
    by_lot = 2.0 + jax.random.uniform(key, (b, 1))
    wanted = jnp.where(first > 0, by_lot, chosen * (pi + 1e-9)) * (weight[:, None] > 0)
    strength, index = lax.top_k(wanted.T, capacity)
    routes = Routes(index, (strength > 0).astype(jnp.float32))
    found = (routes.scatter(jnp.ones_like(strength), b) * first).sum(-1)
    return routes._replace(taken=routes.taken * found[index])


def mixture_loss(
    spec: MixtureSpec, pi: Array, costs: Array, took: Array, weight: Array
) -> tuple[Array, dict[str, Array]]:
    """L = R + alpha S + beta B (Santos 2020, eq. 3.5).

    pi, costs and took (b, K), weight (b,) -> (), named terms. pi is normalised over the experts that took an image;
    one that nobody took counts in S and B alone.
    """
    found = weight * (took.sum(-1) > 0)
    share = pi * took / jnp.maximum((pi * took).sum(-1, keepdims=True), 1e-9)
    terms = {
        "reconstruction_and_kl": weighted_mean((share * costs).sum(-1), found),
        "sample_entropy": losses.sample_entropy(pi, weight),
        "negative_batch_entropy": losses.negative_batch_entropy(pi, weight),
    }
    total = terms["reconstruction_and_kl"] + spec.alpha * terms["sample_entropy"]
    return total + spec.beta * terms["negative_batch_entropy"], terms


@lru_cache(32)  # fits that differ in their seed share programs
def stage_one(spec: MixtureSpec, shape: tuple[int, ...]) -> Training:
    """Manager and experts together. `init` starts both at random; phase 8 puts the trained manager in."""
    network = classifier.module(spec.manager)
    mask = jnp.asarray(experts(spec.experts, shape).mask)
    manager_optimiser = adam(spec.manager_learning_rate, spec.n_steps, spec.schedule)
    expert_optimiser = adam(spec.learning_rate, spec.n_steps, spec.schedule)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        k_manager, k_experts = jax.random.split(fold_name(key, "init"))
        params, stats = {}, {}
        params["manager"], stats["manager"] = init(network, k_manager, jnp.zeros(batch_shape))
        params["experts"], stats["experts"] = init_experts(spec.experts, shape, k_experts)
        opt_state = (manager_optimiser.init(params["manager"]), expert_optimiser.init(params["experts"]))
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state, stats, key)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        image, target = augmented(spec, state, batch)
        params, stats, b = state.params, state.extra, len(image)

        def manage(manager: PyTree) -> tuple[Array, PyTree]:
            logits, new_stats = train_mode(network, manager, stats["manager"], over_all(image), batch.weight)
            return jax.nn.softmax(logits), new_stats

        pi, manager_pullback, manager_stats = jax.vjp(manage, params["manager"], has_aux=True)
        routes = route(pi, spec.top_experts, batch.weight, step_key(state, "route"))
        took = routes.scatter(jnp.ones_like(routes.taken), b)

        def loss_of(pi: Array, costs: Array) -> tuple[Array, dict[str, Array]]:
            return mixture_loss(spec, pi, routes.scatter(costs, b), took, batch.weight)

        weights = jax.grad(loss_of, 1, has_aux=True)(pi, jnp.zeros_like(routes.taken))[0]
        costs, expert_grads, expert_stats = _train_experts(spec, shape, mask, state, routes, image, target, weights)
        (loss, terms), pi_grad = jax.value_and_grad(loss_of, has_aux=True)(pi, costs)
        (manager_grads,) = manager_pullback(pi_grad)
        change, first = manager_optimiser.update(manager_grads, state.opt_state[0], params["manager"])
        expert_change, second = expert_optimiser.update(expert_grads, state.opt_state[1], params["experts"])
        new_params = {
            "manager": optax.apply_updates(params["manager"], change),
            "experts": optax.apply_updates(params["experts"], expert_change),
        }
        new_stats = {"manager": manager_stats, "experts": expert_stats}
        return TrainState(state.step + 1, new_params, (first, second), new_stats, state.key), {"loss": loss, **terms}

    def stacked_leaves(state: TrainState) -> TrainState:
        alone = jax.tree.map(lambda _: False, state)
        return alone._replace(
            params={**alone.params, "experts": flagged(state.params["experts"])},
            opt_state=(alone.opt_state[0], flagged(state.opt_state[1])),
            extra={**alone.extra, "experts": flagged(state.extra["experts"])},
        )

    return Training(start, step, stacked=stacked_leaves)


def with_manager(spec: MixtureSpec, state: TrainState, params: PyTree, stats: PyTree) -> TrainState:
    """`state` of stage 1 with a manager that was trained before, and a fresh optimiser for it.

    The arrays are those given; a training donates them. Under jit they may be copies.
    """
    optimiser = adam(spec.manager_learning_rate, spec.n_steps, spec.schedule)
    opt_state = (optimiser.init(params), state.opt_state[1])
    new_params, extra = {**state.params, "manager": params}, {**state.extra, "manager": stats}
    return state._replace(params=new_params, opt_state=opt_state, extra=extra)


def augmented(spec: MixtureSpec, state: TrainState, batch: Batch) -> tuple[Array, Array]:
    """The batch's images, augmented, and what the decoders are asked for."""
    clean = to_unit(batch.image)
    image = augment_step(state, clean, spec.augmentation, spec.experts.form)
    return image, clean if spec.clean_target else image


def _train_experts(
    spec: MixtureSpec,
    shape: tuple[int, ...],
    mask: Array,
    state: TrainState,
    routes: Routes,
    image: Array,
    target: Array,
    weights: Array,
) -> tuple[Array, PyTree, PyTree]:
    """Costs (K, c) of all experts on their own rows, the gradients of their parameters, and the new statistics.

    weights: dL/dcosts (K, c). The loss is linear in the costs (eq. 3.2), so the weights are known
    before the costs.
    """
    kl_scale = spec.kl_weight * ramp(state.step, spec.ramp_steps)
    keys = jax.random.split(step_key(state, "posterior"), len(mask))
    params, others = state.params["experts"], (state.extra["experts"], mask, keys, *routes)

    def costs_of(
        params: PyTree, stats: PyTree, mask: Array, key: Key, index: Array, taken: Array
    ) -> tuple[Array, PyTree]:
        rows = ExpertBatch(over_data(image[index]), over_data(target[index]), over_data(taken))
        return expert_costs(spec.experts, shape, params, stats, mask, key, rows, kl_scale)

    def weighted(params: PyTree, weight: Array, *others: Any) -> tuple[Array, tuple[Array, PyTree]]:
        costs, stats = costs_of(params, *others)
        return (weight * costs).sum(), (costs, stats)

    gradient = over_networks(jax.grad(weighted, has_aux=True), spec.experts.form)
    grads, (costs, stats) = gradient(params, weights, *others)
    return costs, grads, stats


@lru_cache(32)  # fits that differ in their seed share programs
def stage_two(spec: MixtureSpec, shape: tuple[int, ...]) -> Training:
    """Each expert alone on its own points: one step trains all K, each on its own rows of the batch.

    Batches come from train.batches.grouped: the experts take turns. The state holds params and statistics of the
    experts only.
    """
    mask = jnp.asarray(experts(spec.experts, shape).mask)
    optimiser = adam(spec.learning_rate, spec.n_steps, spec.schedule)

    def start(key: Key, batch_shape: tuple[int, ...]) -> TrainState:
        params, stats = init_experts(spec.experts, shape, fold_name(key, "init"))
        return new_state(params, optimiser, stats, key)

    def loss(
        params: PyTree, stats: PyTree, mask: Array, key: Key, rows: ExpertBatch, kl_scale: Array
    ) -> tuple[Array, PyTree]:
        costs, new_stats = expert_costs(spec.experts, shape, params, stats, mask, key, rows, kl_scale)
        return (costs * rows.taken).sum() / jnp.maximum(rows.taken.sum(), 1.0), new_stats

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        k = len(mask)
        image, target, weight = (
            a.reshape(-1, k, *a.shape[1:]).swapaxes(0, 1) for a in (*augmented(spec, state, batch), batch.weight)
        )
        rows, kl_scale = ExpertBatch(image, target, weight), jnp.full((k,), spec.kl_weight)
        keys = jax.random.split(step_key(state, "posterior"), k)
        function = over_networks(jax.value_and_grad(loss, has_aux=True), spec.experts.form)
        (values, stats), grads = function(state.params, state.extra, mask, keys, rows, kl_scale)
        present = (rows.taken.sum(-1) > 0).astype(jnp.float32)
        return advance(state, grads, optimiser, stats), {"loss": weighted_mean(values, present)}

    return Training(start, step, stacked=lambda state: flagged(state)._replace(key=False))


def stage_two_state(spec: MixtureSpec, arrays: PyTree, key: Key) -> TrainState:
    """Where stage 2 starts: the experts of stage 1, `arrays` with 'params' and 'stats', and a fresh optimiser.

    The arrays are those given; a training donates them.
    """
    return new_state(arrays["params"], adam(spec.learning_rate, spec.n_steps, spec.schedule), arrays["stats"], key)
