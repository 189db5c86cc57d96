"""hc-mgan: who updates what, by hand and against passes of their own; several trainings at a time.

What comes of them is tested in hc_mgan_splits_test.py, the tree in hc_mgan_tree_test.py.

The updates are tested on feature vectors, whose networks compile in a moment; blobs and contract_test.py on images.
"""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.methods.hc_mgan import fit as hc
from jaxclust.methods.hc_mgan import slots, split
from jaxclust.methods.hc_mgan import training as hc_training
from jaxclust.methods.hc_mgan.config import QUICK, Config
from jaxclust.methods.hc_mgan.model import networks
from jaxclust.nn.gan import NOISE
from jaxclust.numerics import fold_name
from jaxclust.train.augment import Augmentation, augment
from tests.programs import quickly

B, SHAPE = 6, (5,)
TINY = dataclasses.replace(
    QUICK, n_clusters=3, start="raw", prior="equal", real_weight=0.0, last_noise_variance=0.3, width=0.05, batch_size=B,
    min_steps=32, max_steps=32, refinements=1, refinement_steps=1.0,
)  # fmt: skip
NETS = networks(TINY, SHAPE)
REAL = jax.random.normal(jax.random.key(5), (B, *SHAPE))
THERE = jax.random.normal(jax.random.key(6), (B, *SHAPE))  # real examples of the other group
REALS = jnp.stack([REAL, THERE])
ONES, STD, KEY = jnp.ones(B), jnp.float32(0.3), jax.random.key(7)


@cache
def raw_params(seed=0):
    both = quickly(jax.vmap(NETS.init))(jax.random.split(jax.random.key(seed), 2))
    return {**jax.tree.map(lambda leaf: leaf[0], both), "generator": both["generator"]}


def blind(params, *names):
    return {**params, **{name: jax.tree.map(jnp.zeros_like, params[name]) for name in names}}


@cache
def compiled(update, config):
    return quickly(partial(update, config, NETS))


def raw(params, config=TINY, weight=ONES):
    states = hc_training.optimiser_states(config, params)
    return compiled(hc_training.raw_update, config)(params, states, REAL, weight, STD, KEY)


def group(own, other, which=0, config=TINY):
    state = hc_training.optimiser_states(config, own)
    return compiled(hc_training.group_update, config)(own, state, other, which, REALS, ONES, STD, KEY)


def equal(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def close(a, b, rtol=2e-3):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max() + 1e-6))


def moved(a, b):
    return any(bool((x != y).any()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


# losses


@pytest.mark.slow
def test_judges_that_see_nothing_are_as_unsure_as_can_be():
    params = blind(raw_params(), "discriminator", "classifier")
    features = NETS.features.apply(params["features"], REAL)
    assert hc_training.discriminator_loss(NETS, params, REAL, [REAL, REAL], ONES) == pytest.approx(
        2 * np.log(2), rel=1e-6
    )
    assert hc_training.deceived(NETS, params["discriminator"], features, ONES) == pytest.approx(np.log(2), rel=1e-6)
    assert hc_training.told_apart(NETS, params["classifier"], features, 1, ONES) == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.slow
def test_losses_by_hand():
    params = blind(raw_params(), "discriminator", "classifier")
    params["discriminator"]["params"]["bias"] = jnp.array([1.5])
    params["classifier"]["params"]["bias"] = jnp.array([0.7, -0.2])
    features = NETS.features.apply(params["features"], REAL)
    sigmoid = 1 / (1 + np.exp(-1.5))
    d = hc_training.discriminator_loss(NETS, params, REAL, [REAL], ONES)
    assert d == pytest.approx(-np.log(sigmoid) - np.log(1 - sigmoid), rel=1e-5)
    assert hc_training.deceived(NETS, params["discriminator"], features, ONES) == pytest.approx(
        -np.log(sigmoid), rel=1e-5
    )
    for maker, sign in ((0, 1), (1, -1)):
        c = hc_training.told_apart(NETS, params["classifier"], features, maker, ONES)
        assert c == pytest.approx(np.log(1 + np.exp(-sign * 0.9)), rel=1e-5)


@pytest.mark.slow
def test_padding_has_no_part_in_an_update():
    params, weight = raw_params(), jnp.array([1.0] * (B - 2) + [0.0] * 2)
    one, _, terms = raw(params, weight=weight)
    state = hc_training.optimiser_states(TINY, params)
    other, _, others = compiled(hc_training.raw_update, TINY)(params, state, REAL.at[-2:].set(0.5), weight, STD, KEY)
    close(one, other, 1e-5)
    close(terms, others, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "update", [hc_training.raw_update, pytest.param(hc_training.group_update, marks=pytest.mark.slow)]
)
def test_rows_that_a_batch_is_padded_with_leave_its_random_numbers(update):
    """Where devices do not divide a batch, it has more rows than on one device."""
    params = raw_params() if update is hc_training.raw_update else one_group(0)
    beside = () if update is hc_training.raw_update else (one_group(1), 0)
    state = hc_training.optimiser_states(TINY, params)
    more, weight = jnp.concatenate([REAL, jnp.full_like(REAL, 0.5)]), jnp.array([1.0] * B + [0.0] * B)
    shown = [
        (x if update is hc_training.raw_update else jnp.stack([x, x]), w) for x, w in ((REAL, ONES), (more, weight))
    ]
    (one, _, terms), (other, _, others) = (
        compiled(update, TINY)(params, state, *beside, x, w, STD, KEY) for x, w in shown
    )
    close(one, other)
    close(terms, others, 1e-5)


# who updates what


@pytest.mark.slow
def test_only_the_discriminators_loss_moves_the_features():
    params = raw_params()
    still = dataclasses.replace(TINY, discriminator_learning_rate=1e-30)
    new, _, _ = raw(params, still)
    close(new["features"], params["features"], 1e-12)
    assert moved(new["classifier"], params["classifier"])
    assert moved(new["generator"], params["generator"])
    with_c, without_c = (raw(params, dataclasses.replace(TINY, classifier_weight=w))[0] for w in (5.0, 0.0))
    equal(with_c["features"], without_c["features"])
    equal(with_c["discriminator"], without_c["discriminator"])
    equal(with_c["classifier"], without_c["classifier"])
    assert moved(with_c["generator"], without_c["generator"])


@pytest.mark.slow
def test_the_gradient_of_the_classifiers_loss_does_not_reach_the_features():
    """Were the features moved by C too, a blind D would not leave them where they are."""
    params = blind(raw_params(), "discriminator")
    new, _, _ = raw(params)
    equal(new["features"], params["features"])
    new, _, _ = group(params | {"generator": jax.tree.map(lambda leaf: leaf[0], params["generator"])}, one_group(1))
    equal(new["features"], params["features"])


def one_group(seed):
    params = raw_params(seed)
    return {**params, "generator": jax.tree.map(lambda leaf: leaf[0], params["generator"])}


@pytest.fixture
def plain_steps(monkeypatch):
    """Gradient descent, which shows gradients; Adam's first step is but their sign."""
    monkeypatch.setattr(hc_training, "adam", optax.sgd)
    return dataclasses.replace(
        TINY, discriminator_learning_rate=0.1, classifier_learning_rate=0.2, generator_learning_rate=0.3
    )


def noisy(name, x):
    return x + STD * jax.random.normal(fold_name(KEY, name), x.shape)


def descend(loss, params, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, quickly(jax.grad(loss))(params))


def log_c(params, classifier, x, maker):
    logits = NETS.classifier.apply(classifier, NETS.features.apply(params["features"], x))
    return -jax.nn.log_softmax(logits)[:, maker].mean()


def log_d(params, x, sign):
    logits = NETS.discriminator.apply(params["discriminator"], NETS.features.apply(params["features"], x))
    return -jax.nn.log_sigmoid(sign * logits).mean()


@pytest.mark.slow
def test_a_raw_split_is_algorithm_3_2_with_a_pass_for_each_network(plain_steps):
    params = raw_params()
    z = jax.random.uniform(fold_name(KEY, "z"), (B, 2, NOISE)).swapaxes(0, 1)

    def fakes(generators):
        made = [NETS.generator.apply(jax.tree.map(lambda leaf, g=g: leaf[g], generators), z[g]) for g in (0, 1)]
        return noisy("a", made[0]), noisy("b", made[1])

    a, b = quickly(fakes)(params["generator"])
    judges = {name: params[name] for name in ("features", "discriminator")}
    judges = descend(lambda p: log_d(p, noisy("r", REAL), 1) + (log_d(p, a, -1) + log_d(p, b, -1)) / 2, judges, 0.1)
    classifier = descend(lambda c: (log_c(judges, c, a, 0) + log_c(judges, c, b, 1)) / 2, params["classifier"], 0.2)

    def of_generators(generators):
        a, b = fakes(generators)
        fooled = (log_d(judges, a, 1) + log_d(judges, b, 1)) / 2
        return (
            fooled
            + plain_steps.classifier_weight * (log_c(judges, classifier, a, 0) + log_c(judges, classifier, b, 1)) / 2
        )

    generator = descend(of_generators, params["generator"], 0.3)
    close(raw(params, plain_steps)[0], {**judges, "classifier": classifier, "generator": generator})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "real_weight"), [*(pytest.param(w, 0.0, marks=pytest.mark.slow) for w in (0, 1)), (1, 0.7)]
)
def test_a_group_is_algorithm_3_4_with_a_pass_for_each_network(plain_steps, which, real_weight):
    plain_steps = dataclasses.replace(plain_steps, real_weight=real_weight)
    own, other = one_group(0), one_group(1)
    z = jax.random.uniform(fold_name(KEY, "z"), (B, 2, NOISE)).swapaxes(0, 1)
    make = lambda generator: noisy("a", NETS.generator.apply(generator, z[0]))  # noqa: E731
    fake, theirs = make(own["generator"]), noisy("b", NETS.generator.apply(other["generator"], z[1]))
    judges = {name: own[name] for name in ("features", "discriminator")}
    judges = descend(lambda p: log_d(p, noisy("r", REAL), 1) + log_d(p, fake, -1), judges, 0.1)

    def of_classifier(c):
        made = (log_c(judges, c, fake, which) + log_c(judges, c, theirs, 1 - which)) / 2
        real = (log_c(judges, c, noisy("r", REAL), which) + log_c(judges, c, noisy("s", THERE), 1 - which)) / 2
        return made + real_weight * real

    classifier = descend(of_classifier, own["classifier"], 0.2)

    def of_generator(generator):
        x = make(generator)
        apart = (log_c(judges, classifier, x, which) + log_c(other, other["classifier"], x, which)) / 2
        return log_d(judges, x, 1) + plain_steps.classifier_weight * apart

    generator = descend(of_generator, own["generator"], 0.3)
    close(group(own, other, which, plain_steps)[0], {**judges, "classifier": classifier, "generator": generator})


@pytest.mark.slow
@pytest.mark.parametrize("order", ["turn", pytest.param("together", marks=pytest.mark.slow)])
def test_the_second_group_sees_what_the_first_has_become_unless_both_move_together(order):
    config = dataclasses.replace(TINY, order=order)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), one_group(0), one_group(1))
    states = jax.vmap(partial(hc_training.optimiser_states, config))(both)
    new, _, _ = compiled(hc_training.groups_update, config)(both, states, REALS, ONES, STD, KEY)
    keys = [jax.random.fold_in(KEY, g) for g in (0, 1)]

    def alone(g, other):
        own, state = (jax.tree.map(lambda leaf: leaf[g], part) for part in (both, states))
        return compiled(hc_training.group_update, config)(
            own, state, other, g, REALS[:: 1 - 2 * g], ONES, STD, keys[g]
        )[0]

    first = alone(0, one_group(1))
    second = alone(1, first if order == "turn" else one_group(0))
    close(new, jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second), 1e-4)


@pytest.mark.slow
def test_what_judges_see_is_transformed_and_noisy():
    nets, config = networks(TINY, (8, 8, 1)), dataclasses.replace(TINY, rotation=20.0, zoom=0.2, shift=0.2, flip=True)
    x = jax.random.uniform(KEY, (B, 8, 8, 1), minval=-1.0, maxval=1.0)
    still = dataclasses.replace(config, rotation=0.0, zoom=0.0, shift=0.0, flip=False)
    np.testing.assert_array_equal(hc_training.shown(still, nets, STD, KEY, "a", x), noisy("a", x))
    look = partial(hc_training.shown, config, nets, jnp.float32(0.0), KEY)
    ranges = Augmentation(rotation=20.0, zoom=0.2, shift=0.2, flip=True)
    pictures = augment(fold_name(fold_name(KEY, "a"), "augment"), (x + 1) / 2, ranges)
    np.testing.assert_allclose(look("a", x), 2 * pictures - 1, atol=1e-6)
    assert moved(look("a", x), look("b", x))
    seen, change = jax.jvp(partial(look, "a"), (0.5 * x,), (0.5 * x,))  # what generators learn from
    np.testing.assert_allclose(seen + change, look("a", x), atol=1e-5)
    assert moved(change, 0.5 * x)


def test_features_are_noisy_alone():
    np.testing.assert_array_equal(hc_training.shown(QUICK, NETS, STD, KEY, "a", REAL), noisy("a", REAL))


# slots


def started(count=2, refine=False, n=40, n_steps=(64, 64), members=None, config=TINY):
    several = hc.training(dataclasses.replace(config, concurrent=count), SHAPE, count, refine)
    members = np.ones((count, 2 if refine else 1, n)) if members is None else members
    keys = jax.random.split(jax.random.key(3), count)
    start = slots.Start(keys, jnp.asarray(slots.cumulative(members)), jnp.asarray(n_steps, jnp.int32))
    return several, slots.compiled(several.begin)(jax.random.key(0), start)


def stepped(several, state, count, images=None):
    from jaxclust.train.loop import run_chunk

    images = np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32) if images is None else images
    index, weight = several.batches.indices(0, count)
    return run_chunk(several.training.step, state, images, index, weight, choose_rows=several.training.choose_rows)


@pytest.mark.slow
def test_examples_are_drawn_by_their_membership():
    member = np.array([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    several, state = started(1, n=6, n_steps=(64,), members=member[None, None])
    drawn = np.concatenate(quickly(jax.vmap(lambda i: several.training.choose_rows(state, i, B)))(jnp.arange(600)))
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / len(drawn), member / 8, atol=0.025)
    assert not np.isin(drawn, [0, 3, 5]).any()
    np.testing.assert_array_equal(
        several.training.choose_rows(state, jnp.int32(4), B),
        several.training.choose_rows(state, jnp.int32(4), 2 * B)[:B],
    )


def test_cumulative_shares_end_with_one_and_pass_over_nothing():
    found = slots.cumulative(np.array([[0.0, 3.0, 1.0, 0.0], [1e-9, 0.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(found, np.float32([[0, 0.75, 1, 1], [1, 1, 1, 1]]))


@pytest.mark.slow
def test_slots_and_groups_take_turns_in_a_batch():
    member = np.zeros((2, 2, 8))
    for place in range(4):
        member[place // 2, place % 2, place] = 1  # slot 0: examples 0 and 1, slot 1: 2 and 3
    several, state = started(2, True, n=8, members=member)
    np.testing.assert_array_equal(several.training.choose_rows(state, jnp.int32(0), 4 * B), np.tile(np.arange(4), B))


@pytest.mark.slow
@pytest.mark.parametrize("refine", [False, True])
def test_a_slot_is_the_same_whatever_the_others_do(refine):
    both, alone = (stepped(*started(2, refine, n_steps=steps), 3)[0] for steps in ((64, 64), (64, 0)))
    equal(*(jax.tree.map(lambda leaf: leaf[0], s.params) for s in (both, alone)))
    equal(
        jax.tree.map(lambda leaf: leaf[1], alone.params),
        jax.tree.map(lambda leaf: leaf[1], started(2, refine)[1].params),
    )
    assert moved(both.params, alone.params)


@pytest.mark.slow
def test_a_slot_stops_when_its_steps_are_done():
    three, five = (stepped(*started(2, n_steps=(3, 64)), count)[0] for count in (3, 5))
    close(*(jax.tree.map(lambda leaf: leaf[0], s.params) for s in (three, five)), 1e-5)  # programs of two lengths
    assert moved(*(jax.tree.map(lambda leaf: leaf[1], s.params) for s in (three, five)))


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_its_slot_alone():
    several, state = started(2)
    params = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), state.params)
    state, terms = stepped(several, state._replace(params=params), 4)
    np.testing.assert_array_equal(state.extra["fault"], [slots.NOT_FINITE, slots.SOUND])
    assert np.isfinite(jax.tree.leaves(terms)).all()
    assert np.isfinite(np.asarray(jax.tree.leaves(jax.tree.map(lambda leaf: leaf[1].sum(), state.params)))).all()


@pytest.mark.parametrize(
    ("n_steps", "losses", "ends"),
    [
        (128, [0.0] * 128, 13),  # from the first step on: when the warm-up of 12.8 steps is over
        (128, [0.7] * 128, None),
        (128, [0.7] * 4 + [0.0] * 124, None),  # its mean is still above the bound
        (640, [0.7] * 10 + [0.0] * 630, 250),  # .7 (1 - .98^10) .98^(t - 10) < .001 (1 - .98^t), first for t = 251
        (64, [0.7, np.nan] + [0.7] * 62, 1),
    ],
)
def test_a_training_ends_when_a_discriminator_has_won(n_steps, losses, ends):
    """Of 128 steps, as a refinement of 'quick' has, or more; the losses of a discriminator, step by step."""

    def update(params, opt_state, real, weight, left, key):
        return params, opt_state, {"discriminator": real, "classifier": jnp.float32(1), "generator": jnp.float32(1)}

    @jax.jit
    def after(carry, now):
        step, loss = now
        extra = {"keys": KEY, "n_steps": jnp.int32(n_steps), "low": carry[0], "fault": carry[1]}
        _, _, low, fault, _ = slots.advanced(update, step, ONES, {}, {}, extra, loss)
        return (low, fault), fault

    steps = jnp.arange(n_steps), jnp.asarray(losses, jnp.float32)
    _, faults = jax.lax.scan(after, (jnp.zeros(1), jnp.int32(0)), steps)
    ill = np.flatnonzero(faults)
    assert (ill[0] if len(ill) else None) == ends
    if len(ill):
        assert faults[ends] == (slots.NOT_FINITE if np.isnan(losses).any() else slots.COLLAPSED)


def test_whole_chunks():
    assert [slots.whole(steps) for steps in (0.2, 1, 32, 33, 100)] == [32, 32, 32, 64, 128]


def test_steps_follow_from_the_mass_and_keep_to_their_bounds():
    def work(mass, epochs=80, short=False):
        return split.Work(KEY, np.full((2, 10), mass / 20), epochs, short)

    config = Config(batch_size=100, epochs=80, refinement_steps=0.5)
    assert split.steps(config, work(950.0)) == slots.whole(9 * 80)
    assert split.steps(config, work(950.0, 90, short=True)) == slots.whole(9 * 45)
    assert split.steps(config, work(20.0)) == slots.whole(80)
    bounded = dataclasses.replace(config, min_steps=320, max_steps=640)
    assert [split.steps(bounded, work(mass)) for mass in (20.0, 500.0, 9000.0)] == [320, 416, 640]
