"""Several runs as one program: each member is the run that it would be alone, however the program does it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.methods.shared.coders import CoderConfig, coders, pretraining
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.population import (
    SMALL,
    groups,
    is_stacked,
    narrowed,
    over_members,
    part,
    pick,
    population,
    together,
    widened,
)
from jaxclust.numerics import fold_range
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, Training, advance, new_state, step_key
from tests.programs import quickly

rng = np.random.default_rng(0)
KEY, COUNT, STEPS = jax.random.key(5), 3, 4
DATA = rng.normal(size=(STEPS, 6, 4)).astype(np.float32)
OWN = rng.normal(size=(STEPS, 6, COUNT, 4)).astype(np.float32)
PICTURES = rng.uniform(size=(STEPS, 6, 8, 8, 1)).astype(np.float32)
SIZES = {"side by side": SMALL, "in turn": SMALL + 1}


def noisy():
    """A linear autoencoder whose inputs are disturbed by noise of its own in each step; extra counts the examples."""
    optimiser = optax.adam(1e-2)

    def init(key, batch_shape):
        params = {"there": jax.random.normal(key, (batch_shape[-1], 2)), "back": jnp.zeros((2, batch_shape[-1]))}
        return new_state(params, optimiser, {"seen": jnp.zeros(())}, key)

    def step(state, batch):
        def loss(params):
            seen = batch.image + 0.1 * jax.random.normal(step_key(state, "noise"), batch.image.shape)
            errors = ((seen @ params["there"] @ params["back"] - batch.image) ** 2).sum(-1)
            return (batch.weight * errors).sum() / batch.weight.sum()

        value, grads = jax.value_and_grad(loss)(state.params)
        extra = {"seen": state.extra["seen"] + batch.weight.sum()}
        return advance(state, grads, optimiser, extra), {"loss": value, "step": state.step.astype(jnp.float32)}

    return Training(init, step)


class Run(NamedTuple):
    start: object
    end: object
    terms: list


def run(training, key, data):
    start = state = initial(training, key, data.shape[1:])
    step, terms = quickly(training.step), []
    for image in data:
        weight = jnp.array([1.0] * (len(image) - 1) + [0.0])
        state, found = step(state, Batch(jnp.asarray(image), jnp.arange(len(image)), weight))
        terms.append(found)
    return Run(start, state, terms)


def equal(ours, theirs, **tolerance):
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(np.asarray(left), np.asarray(right), **tolerance)


def own(state):
    """What belongs to a member alone."""
    return state.params, state.opt_state, state.extra


def check_members(together, alone):
    """Each member begins exactly as it would alone and comes to the same end; terms are their means."""
    assert int(together.end.step) == STEPS
    assert np.ptp([np.asarray(jax.tree.leaves(one.start.params)[-1]) for one in alone], axis=0).max() > 0
    for r, one in enumerate(alone):
        equal(pick(own(together.start), r), own(one.start), rtol=0)
        equal(pick(own(together.end), r), own(one.end), rtol=1e-4, atol=1e-5)
    for i, found in enumerate(together.terms):
        for name, value in found.items():
            assert value.shape == ()
            assert float(value) == pytest.approx(np.mean([float(one.terms[i][name]) for one in alone]), rel=1e-5)


@pytest.fixture(scope="module")
def alone():
    return [run(noisy(), jax.random.fold_in(KEY, r), DATA) for r in range(COUNT)]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_members_are_the_runs_that_they_would_be_alone(alone, size):
    together = run(population(noisy(), COUNT, size), KEY, DATA)
    check_members(together, alone)
    np.testing.assert_array_equal(jax.random.key_data(together.end.key), jax.random.key_data(KEY))


def test_a_member_is_the_same_in_a_larger_population(alone):
    fewer = run(population(noisy(), 2, 10), KEY, DATA)
    check_members(fewer, alone[:2])


def test_a_population_of_one_is_its_first_member_without_an_axis(alone):
    training = population(noisy(), 1, 10)
    assert training.stacked is None
    one = run(training, KEY, DATA)
    equal(own(one.start), own(alone[0].start), rtol=0)
    equal(own(one.end), own(alone[0].end), rtol=1e-6)
    assert one.end.params["there"].shape == (4, 2)
    wide = widened(one.end, 1)
    assert wide.params["there"].shape == (1, 4, 2)
    assert wide.step.shape == wide.key.shape == ()
    equal(own(narrowed(wide, 1)), own(one.end), rtol=0)


def test_several_members_have_their_axis_already():
    state = initial(population(noisy(), COUNT, 10), KEY, DATA.shape[1:])
    assert widened(state, COUNT) is state
    assert narrowed(state, COUNT) is state


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_members_see_their_own_images(size):
    together = run(population(noisy(), COUNT, size, own_images=True), KEY, OWN)
    check_members(together, [run(noisy(), jax.random.fold_in(KEY, r), OWN[:, :, r]) for r in range(COUNT)])


def test_one_member_sees_its_own_images(alone):
    one = run(population(noisy(), 1, 10, own_images=True), KEY, DATA[:, :, None])
    equal(own(one.start), own(alone[0].start), rtol=0)
    equal(own(one.end), own(alone[0].end), rtol=1e-6)


@pytest.mark.slow
def test_members_with_convolutions_are_the_runs_that_they_would_be_alone():
    """Augmentation draws from the members' keys, batch norm keeps their statistics."""
    config = CoderConfig(network="conv", width=0.1, min_filters=2, latent_dim=2, shift=0.1)
    pair = coders(config, Extent((8, 8, 1), 8, 8))
    training = pretraining(pair, optax.adam(1e-2))
    together = run(population(training, 2, pair.size, convolutional=True), KEY, PICTURES)
    for r in range(2):
        one = run(training, jax.random.fold_in(KEY, r), PICTURES)
        equal(pick(own(together.start), r), own(one.start), rtol=0)
        equal(pick(together.end.params, r), one.end.params, rtol=1e-2, atol=1e-3)


def test_the_flags_of_stacked_leaves():
    """A mesh spreads what is flagged: all that has the members' axis, and neither the step nor the key."""
    training = population(noisy(), COUNT, 10)
    assert training.stacked is is_stacked
    state = initial(training, KEY, DATA.shape[1:])
    flags = training.stacked(state)
    assert jax.tree.structure(flags) == jax.tree.structure(state)
    assert (flags.step, flags.key) == (False, False)
    for flag, leaf in zip(jax.tree.leaves(own(flags)), jax.tree.leaves(own(state)), strict=True):
        assert flag is True
        assert leaf.shape[0] == COUNT


def test_members_keys():
    expected = [jax.random.key_data(jax.random.fold_in(KEY, r)) for r in range(2, 2 + COUNT)]
    np.testing.assert_array_equal(jax.random.key_data(fold_range(KEY, 2, COUNT)), expected)


def test_members_in_groups_are_those_of_all_at_once():
    """Numbers 1 and 2 by themselves, put together, and taken apart again."""
    states = [widened(initial(population(noisy(), 1, 10, first=r), KEY, DATA.shape[1:]), 1) for r in range(COUNT)]
    whole = initial(population(noisy(), COUNT, 10), KEY, DATA.shape[1:])
    equal(own(together(states)), own(whole), rtol=0)
    equal(own(part(whole, 1, 2)), own(initial(population(noisy(), 2, 10, first=1), KEY, DATA.shape[1:])), rtol=0)


def test_one_member_s_step_is_its_own_so_that_all_share_a_compilation():
    member = noisy()
    assert {population(member, 1, 10, first=r).step for r in range(COUNT)} == {member.step}


def test_only_large_members_go_in_turn_and_only_where_stacking_is_slow():
    all_at_once, in_turn = [(0, 3)], [(0, 1), (1, 1), (2, 1)]
    assert groups(3, SMALL, platform="cpu") == groups(3, SMALL + 1, platform="gpu") == all_at_once
    assert groups(3, SMALL + 1, platform="cpu") == groups(3, SMALL + 1, True, platform="gpu") == in_turn
    assert groups(3, SMALL + 1, True, platform="tpu") == all_at_once


# over_members


def products(tree, factor):
    """For one member: its matrix squared by `factor`; fails if it sees the members' axis."""
    assert tree["matrix"].shape == (2, 2)
    return {"out": factor * tree["matrix"] @ tree["matrix"]}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("count", [1, COUNT])
def test_over_members_maps_and_stacks_again(size, count):
    matrices, factors = rng.normal(size=(count, 2, 2)), rng.normal(size=count)
    trees = {"matrix": jnp.array(matrices)}, jnp.array(factors)
    out = jax.jit(lambda *trees: over_members(size)(products, *trees))(*trees)
    expected = [f * m @ m for f, m in zip(factors, matrices, strict=True)]
    np.testing.assert_allclose(out["out"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a rule for CPUs")
def test_a_cpu_takes_large_members_in_turn_and_small_ones_together():
    def loops(size, count):
        trees = {"matrix": jnp.ones((count, 2, 2))}, jnp.ones(count)
        return "while" in jax.jit(lambda *trees: over_members(size)(products, *trees)).lower(*trees).as_text()

    assert [loops(SMALL, COUNT), loops(SMALL + 1, COUNT), loops(SMALL + 1, 1)] == [False, True, False]


def test_pick_takes_one_member_of_every_leaf():
    tree = {"a": jnp.arange(6).reshape(3, 2), "b": (jnp.arange(3),)}
    picked = pick(tree, 2)
    np.testing.assert_array_equal(picked["a"], [4, 5])
    assert int(picked["b"][0]) == 2
