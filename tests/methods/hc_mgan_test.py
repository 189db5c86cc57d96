"""hc-mgan: who updates what, by hand and against passes of their own; memberships, restarts, leaves at a time.

The updates are tested on feature vectors, whose networks compile in a moment; blobs and contract_test.py on images.
"""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust import methods, models
from jaxclust.data.augment import Augmentation, augment
from jaxclust.errors import InputError
from jaxclust.methods import hc_mgan as hc
from jaxclust.methods.parts import hc_mgan_split as split
from jaxclust.methods.parts import slots, tree
from jaxclust.methods.parts.hc_mgan_config import QUICK, Config
from jaxclust.methods.parts.hc_mgan_model import log_odds, networks
from jaxclust.nn.gan import NOISE
from jaxclust.numerics import fold_name
from jaxclust.train.phases import Phases
from jaxclust.train.progress import Silent
from tests import toy

B, SHAPE = 6, (5,)
TINY = dataclasses.replace(
    QUICK, n_clusters=3, width=0.05, batch_size=B, min_steps=32, max_steps=32, refinements=1, refinement_steps=1.0
)
NETS = networks(TINY, SHAPE)
REAL = jax.random.normal(jax.random.key(5), (B, *SHAPE))
ONES, STD, KEY = jnp.ones(B), jnp.float32(0.3), jax.random.key(7)


def quickly(function):
    """Compiled without optimisation, which takes a fraction of the time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


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
    states = hc.optimiser_states(config, params)
    return compiled(hc.raw_update, config)(params, states, REAL, weight, STD, KEY)


def group(own, other, which=0, config=TINY):
    state = hc.optimiser_states(config, own)
    return compiled(hc.group_update, config)(own, state, other, which, REAL, ONES, STD, KEY)


def equal(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def close(a, b, rtol=2e-3):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max() + 1e-6))


def moved(a, b):
    return any(bool((x != y).any()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


# losses


def test_judges_that_see_nothing_are_as_unsure_as_can_be():
    params = blind(raw_params(), "discriminator", "classifier")
    features = NETS.features.apply(params["features"], REAL)
    assert hc.discriminator_loss(NETS, params, REAL, [REAL, REAL], ONES) == pytest.approx(2 * np.log(2), rel=1e-6)
    assert hc.deceived(NETS, params["discriminator"], features, ONES) == pytest.approx(np.log(2), rel=1e-6)
    assert hc.told_apart(NETS, params["classifier"], features, 1, ONES) == pytest.approx(np.log(2), rel=1e-6)


def test_losses_by_hand():
    params = blind(raw_params(), "discriminator", "classifier")
    params["discriminator"]["params"]["bias"] = jnp.array([1.5])
    params["classifier"]["params"]["bias"] = jnp.array([0.7, -0.2])
    features = NETS.features.apply(params["features"], REAL)
    sigmoid = 1 / (1 + np.exp(-1.5))
    d = hc.discriminator_loss(NETS, params, REAL, [REAL], ONES)
    assert d == pytest.approx(-np.log(sigmoid) - np.log(1 - sigmoid), rel=1e-5)
    assert hc.deceived(NETS, params["discriminator"], features, ONES) == pytest.approx(-np.log(sigmoid), rel=1e-5)
    for maker, sign in ((0, 1), (1, -1)):
        c = hc.told_apart(NETS, params["classifier"], features, maker, ONES)
        assert c == pytest.approx(np.log(1 + np.exp(-sign * 0.9)), rel=1e-5)


def test_padding_has_no_part_in_an_update():
    params, weight = raw_params(), jnp.array([1.0] * (B - 2) + [0.0] * 2)
    one, _, terms = raw(params, weight=weight)
    state = hc.optimiser_states(TINY, params)
    other, _, others = compiled(hc.raw_update, TINY)(params, state, REAL.at[-2:].set(0.5), weight, STD, KEY)
    close(one, other, 1e-5)
    close(terms, others, 1e-5)


@pytest.mark.parametrize("update", [hc.raw_update, hc.group_update])
def test_rows_that_a_batch_is_padded_with_leave_its_random_numbers(update):
    """Where devices do not divide a batch, it has more rows than on one device."""
    params = raw_params() if update is hc.raw_update else one_group(0)
    beside = () if update is hc.raw_update else (one_group(1), 0)
    state = hc.optimiser_states(TINY, params)
    more, weight = jnp.concatenate([REAL, jnp.full_like(REAL, 0.5)]), jnp.array([1.0] * B + [0.0] * B)
    (one, _, terms), (other, _, others) = (
        compiled(update, TINY)(params, state, *beside, x, w, STD, KEY) for x, w in ((REAL, ONES), (more, weight))
    )
    close(one, other)
    close(terms, others, 1e-5)


# who updates what


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
    monkeypatch.setattr(hc, "adam", optax.sgd)
    return dataclasses.replace(
        TINY, discriminator_learning_rate=0.1, classifier_learning_rate=0.2, generator_learning_rate=0.3
    )


def noisy(name, x):
    return x + STD * jax.random.normal(fold_name(KEY, name), x.shape)


def descend(loss, params, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))


def log_c(params, classifier, x, maker):
    logits = NETS.classifier.apply(classifier, NETS.features.apply(params["features"], x))
    return -jax.nn.log_softmax(logits)[:, maker].mean()


def log_d(params, x, sign):
    logits = NETS.discriminator.apply(params["discriminator"], NETS.features.apply(params["features"], x))
    return -jax.nn.log_sigmoid(sign * logits).mean()


def test_a_raw_split_is_algorithm_3_2_with_a_pass_for_each_network(plain_steps):
    params = raw_params()
    z = jax.random.uniform(fold_name(KEY, "z"), (B, 2, NOISE)).swapaxes(0, 1)

    def fakes(generators):
        made = [NETS.generator.apply(jax.tree.map(lambda leaf, g=g: leaf[g], generators), z[g]) for g in (0, 1)]
        return noisy("a", made[0]), noisy("b", made[1])

    a, b = fakes(params["generator"])
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


@pytest.mark.parametrize("which", [0, 1])
def test_a_group_is_algorithm_3_4_with_a_pass_for_each_network(plain_steps, which):
    own, other = one_group(0), one_group(1)
    z = jax.random.uniform(fold_name(KEY, "z"), (B, 2, NOISE)).swapaxes(0, 1)
    make = lambda generator: noisy("a", NETS.generator.apply(generator, z[0]))  # noqa: E731
    fake, theirs = make(own["generator"]), noisy("b", NETS.generator.apply(other["generator"], z[1]))
    judges = {name: own[name] for name in ("features", "discriminator")}
    judges = descend(lambda p: log_d(p, noisy("r", REAL), 1) + log_d(p, fake, -1), judges, 0.1)

    def of_classifier(c):
        return (log_c(judges, c, fake, which) + log_c(judges, c, theirs, 1 - which)) / 2

    classifier = descend(of_classifier, own["classifier"], 0.2)

    def of_generator(generator):
        x = make(generator)
        apart = (log_c(judges, classifier, x, which) + log_c(other, other["classifier"], x, which)) / 2
        return log_d(judges, x, 1) + plain_steps.classifier_weight * apart

    generator = descend(of_generator, own["generator"], 0.3)
    close(group(own, other, which, plain_steps)[0], {**judges, "classifier": classifier, "generator": generator})


@pytest.mark.parametrize("order", ["turn", "together"])
def test_the_second_group_sees_what_the_first_has_become_unless_both_move_together(order):
    config = dataclasses.replace(TINY, order=order)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), one_group(0), one_group(1))
    states = jax.vmap(partial(hc.optimiser_states, config))(both)
    new, _, _ = compiled(hc.groups_update, config)(both, states, jnp.stack([REAL, REAL]), ONES, STD, KEY)
    keys = [jax.random.fold_in(KEY, g) for g in (0, 1)]

    def alone(g, other):
        own, state = (jax.tree.map(lambda leaf: leaf[g], part) for part in (both, states))
        return compiled(hc.group_update, config)(own, state, other, g, REAL, ONES, STD, keys[g])[0]

    first = alone(0, one_group(1))
    second = alone(1, first if order == "turn" else one_group(0))
    close(new, jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second), 1e-4)


def test_what_judges_see_is_transformed_and_noisy():
    nets, config = networks(TINY, (8, 8, 1)), dataclasses.replace(TINY, rotation=20.0, zoom=0.2, shift=0.2, flip=True)
    x = jax.random.uniform(KEY, (B, 8, 8, 1), minval=-1.0, maxval=1.0)
    still = dataclasses.replace(config, rotation=0.0, zoom=0.0, shift=0.0, flip=False)
    np.testing.assert_array_equal(hc.shown(still, nets, STD, KEY, "a", x), noisy("a", x))
    look = partial(hc.shown, config, nets, jnp.float32(0.0), KEY)
    ranges = Augmentation(rotation=20.0, zoom=0.2, shift=0.2, flip=True)
    pictures = augment(fold_name(fold_name(KEY, "a"), "augment"), (x + 1) / 2, ranges)
    np.testing.assert_allclose(look("a", x), 2 * pictures - 1, atol=1e-6)
    assert moved(look("a", x), look("b", x))
    seen, change = jax.jvp(partial(look, "a"), (0.5 * x,), (0.5 * x,))  # what generators learn from
    np.testing.assert_allclose(seen + change, look("a", x), atol=1e-5)
    assert moved(change, 0.5 * x)


def test_features_are_noisy_alone():
    np.testing.assert_array_equal(hc.shown(QUICK, NETS, STD, KEY, "a", REAL), noisy("a", REAL))


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
    return run_chunk(several.method.step, state, images, index, weight, rows=several.method.rows)


def test_examples_are_drawn_by_their_membership():
    member = np.array([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    several, state = started(1, n=6, n_steps=(64,), members=member[None, None])
    drawn = np.concatenate(quickly(jax.vmap(lambda i: several.method.rows(state, i, B)))(jnp.arange(600)))
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / len(drawn), member / 8, atol=0.025)
    assert not np.isin(drawn, [0, 3, 5]).any()
    np.testing.assert_array_equal(
        several.method.rows(state, jnp.int32(4), B), several.method.rows(state, jnp.int32(4), 2 * B)[:B]
    )


def test_cumulative_shares_end_with_one_and_pass_over_nothing():
    found = slots.cumulative(np.array([[0.0, 3.0, 1.0, 0.0], [1e-9, 0.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(found, np.float32([[0, 0.75, 1, 1], [1, 1, 1, 1]]))


def test_slots_and_groups_take_turns_in_a_batch():
    member = np.zeros((2, 2, 8))
    for place in range(4):
        member[place // 2, place % 2, place] = 1  # slot 0: examples 0 and 1, slot 1: 2 and 3
    several, state = started(2, True, n=8, members=member)
    np.testing.assert_array_equal(several.method.rows(state, jnp.int32(0), 4 * B), np.tile(np.arange(4), B))


@pytest.mark.parametrize("refine", [False, True])
def test_a_slot_is_the_same_whatever_the_others_do(refine):
    both, alone = (stepped(*started(2, refine, n_steps=steps), 3)[0] for steps in ((64, 64), (64, 0)))
    equal(*(jax.tree.map(lambda leaf: leaf[0], s.params) for s in (both, alone)))
    equal(
        jax.tree.map(lambda leaf: leaf[1], alone.params),
        jax.tree.map(lambda leaf: leaf[1], started(2, refine)[1].params),
    )
    assert moved(both.params, alone.params)


def test_a_slot_stops_when_its_steps_are_done():
    three, five = (stepped(*started(2, n_steps=(3, 64)), count)[0] for count in (3, 5))
    equal(*(jax.tree.map(lambda leaf: leaf[0], s.params) for s in (three, five)))
    assert moved(*(jax.tree.map(lambda leaf: leaf[1], s.params) for s in (three, five)))


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
    config = Config(batch_size=100, epochs=80, refinement_steps=0.5)
    assert split.steps(config, 950.0, 80, False) == slots.whole(9 * 80)
    assert split.steps(config, 950.0, 90, True) == slots.whole(9 * 45)
    assert split.steps(config, 20.0, 80, False) == slots.whole(80)
    bounded = dataclasses.replace(config, min_steps=320, max_steps=640)
    assert [split.steps(bounded, mass, 80, False) for mass in (20.0, 500.0, 9000.0)] == [320, 416, 640]


# what comes out


def end(says, fault="", v=2):
    return split.End(fault, {}, np.repeat(np.asarray(says, float)[:, None], v, 1))


def test_a_refinement_moves_mass_and_tells_how_much_and_how_sure():
    before = split.raw_split(end([0.2, 0.8, 0.5], v=1))
    member = np.array([1.0, 1.0, 2.0])
    says = np.array([[0.1, 0.3], [1.0, 1.0], [0.5, 0.5]])
    after = split.refined(TINY, before, split.End("", {}, says), member)
    np.testing.assert_allclose(after.share, [0.2, 1.0, 0.5])
    np.testing.assert_allclose(after.moved, [0.2 / 4])
    assert after.doubt == pytest.approx(0.2 / 4)
    np.testing.assert_array_equal(after.raw, before.raw)
    assert after.open
    assert not split.refined(dataclasses.replace(TINY, settled=0.06), before, split.End("", {}, says), member).open
    failed = split.refined(TINY, before, split.End("a loss is not finite", {}, says * np.nan), member)
    np.testing.assert_array_equal(failed.share, before.share)
    assert not failed.open
    assert failed.doubt == 1, "no refinement says how sure the split is"
    assert split.refined(TINY, after, split.End("a loss is not finite", {}, says), member).doubt == after.doubt


@pytest.mark.parametrize(
    ("fault", "sound"), [("", True), (slots.FAULTS[1], True), (slots.FAULTS[2], False), (split.EMPTY, False)]
)
def test_what_a_raw_split_may_fail_of(fault, sound):
    assert split.raw_split(end([0.2, 0.8], fault, 1)).sound == sound


def test_a_nearly_empty_child_is_a_fault():
    images = np.zeros((4, *SHAPE), np.float32)
    params = blind(raw_params(), "classifier")
    work = split.Work(KEY, np.ones((1, 4)), 1)
    assert split.ended(images, NETS, params, 0, work).fault == ""
    params["classifier"]["params"]["bias"] = jnp.array([9.0, 0.0])
    for fault, why in ((slots.SOUND, split.EMPTY), (slots.COLLAPSED, split.EMPTY), (slots.NOT_FINITE, slots.FAULTS[2])):
        assert split.ended(images, NETS, params, fault, work).fault == why
    assert split.ended(images, NETS, jax.tree.map(lambda leaf: leaf * jnp.nan, params), 0, work).fault


def test_memberships_are_conserved_at_every_node_and_sum_to_one():
    splits, shares = [0, 2, 1], np.random.default_rng(0).random((3, 50))
    member = hc.memberships(list(shares), splits)
    np.testing.assert_allclose(member.sum(1), 1, atol=1e-12)
    left = member[:, [tree.leaves(splits).index(leaf) for leaf in tree.leaves_of(splits, 1)]].sum(1)
    np.testing.assert_allclose(left, shares[0], atol=1e-12)


def test_splits_are_kept_as_arrays_and_read_again():
    one = split.raw_split(split.End("", {"features": {"params": {"w": np.ones((1, 2))}}}, np.full((3, 1), 0.4)))
    two = one._replace(moved=np.array([0.1]), doubt=0.2, open=False)
    found = split.unpacked(split.packed({(): one, (1, 0): two}), [(), (1, 0)])
    assert found[1, 0].doubt == 0.2
    assert found[()].open
    assert not found[1, 0].open
    for a, b in zip((one, two), found.values(), strict=True):
        equal(jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b))


def test_the_mean_of_two_classifiers_as_log_odds():
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), raw_params(0), raw_params(1))
    judges = {name: both[name] for name in ("features", "classifier")}
    images = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)
    each = []
    for g in (0, 1):
        params = jax.tree.map(lambda leaf, g=g: leaf[g], judges)
        logits = NETS.classifier.apply(params["classifier"], NETS.features.apply(params["features"], NETS.real(images)))
        each.append(jax.nn.softmax(logits)[:, 0])
    np.testing.assert_allclose(jax.nn.sigmoid(log_odds(NETS, judges, images)), (each[0] + each[1]) / 2, atol=1e-5)


# the tree


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def fit(config, images, phases=None, seed=0):
    system = methods.find("hc-mgan")
    preprocess, prepared = models.prepared(config, images)
    return models.fit(models.Request(system, config, seed), prepared, preprocess, phases or Phases())


BLOBS = {
    "min_steps": 1280,
    "max_steps": 1280,
    "batch_size": 30,
    "width": 0.1,
    "refinements": 6,
    "refinement_steps": 0.16,
}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_blobs_are_the_leaves(count):
    images, labels = toy.blobs(60 * count, kinds=count)
    result = fit(dataclasses.replace(TINY, n_clusters=count, **BLOBS), images)
    assert models.score(result.labels, labels)["acc"] > 0.95
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)
    masses = result.summary["tree"]["masses"]
    for node, (left, right) in tree.children(result.summary["tree"]["splits"]).items():
        assert masses[left] + masses[right] == pytest.approx(masses[node], abs=2e-3)  # rounded to three places


@pytest.mark.slow
def test_leaves_split_at_a_time_give_the_tree_of_leaves_split_one_by_one(monkeypatch):
    images, _ = toy.blobs(120)
    config = dataclasses.replace(TINY, n_clusters=5, concurrent=2, refinements=1)
    together = fit(config, images)
    monkeypatch.setattr(tree, "due", lambda masses, n, most: [max(masses, key=lambda leaf: (masses[leaf], leaf))])
    one_by_one = fit(config, images)
    assert together.summary["tree"] == one_by_one.summary["tree"]
    np.testing.assert_array_equal(together.probabilities, one_by_one.probabilities)
    equal(together.model.arrays, one_by_one.model.arrays)


@pytest.mark.slow
def test_what_fails_is_begun_anew_and_then_left(monkeypatch):
    """A split whose trainings never end well leaves its node a leaf; the others go on."""
    images, _ = toy.blobs(120)
    ended, seen = split.ended, []

    def ends(images, nets, params, fault, work):
        found = ended(images, nets, params, fault, work)
        seen.append(work.members.sum())
        return found._replace(fault=split.EMPTY) if work.members.sum() < 119 else found._replace(fault="")

    monkeypatch.setattr(split, "ended", ends)
    notes = Notes()
    result = fit(dataclasses.replace(TINY, n_clusters=4, restarts=1), images, Phases(report=notes))
    assert result.summary["tree"]["splits"] == [0], "no child could be split"
    assert len(seen) == 2 + 2 * 2, "the root's two trainings, and two for each child"
    assert sum(split.EMPTY in line for line in notes.said) == 4
    monkeypatch.setattr(split, "ended", lambda *a: ended(*a)._replace(fault=split.EMPTY))
    with pytest.raises(InputError, match="could not be split in 2 trainings"):
        fit(dataclasses.replace(TINY, restarts=1), images)


@pytest.mark.slow
def test_a_leaf_that_is_done_keeps_its_outcome_and_not_its_checkpoints(tmp_path):
    images, _ = toy.blobs(60)
    result = fit(dataclasses.replace(TINY, n_clusters=3), images, Phases(tmp_path))
    left = {path.name for path in (tmp_path / "phases").iterdir()}
    assert left == {"splits-1.npz", "splits-2.npz", "seconds.json"}
    notes = Notes()
    again = fit(dataclasses.replace(TINY, n_clusters=3), images, Phases(tmp_path, notes))
    np.testing.assert_array_equal(again.probabilities, result.probabilities)
    assert not any("first steps" in line for line in notes.said), "nothing was trained"


def halves(monkeypatch, doubts):
    """Splits without training: the first half of each leaf's rows from the others; doubts by leaf."""

    def split_leaves(config, images, leaves, wave, key, phases):
        found = {}
        for place, member in leaves.items():
            rows = np.flatnonzero(member)
            share = np.isin(np.arange(len(member)), rows[: len(rows) // 2]).astype(float)
            found[place] = split.raw_split(split.End("", {}, share[:, None]))._replace(doubt=doubts.get(place, 0.0))
        return found

    monkeypatch.setattr(hc, "split_leaves", split_leaves)


@pytest.mark.parametrize("concurrent", [1, 3])
def test_a_leaf_in_doubt_waits_for_all_others(monkeypatch, concurrent):
    images = np.zeros((16, 2), np.float32)
    config = dataclasses.replace(TINY, n_clusters=4, max_doubt=0.1, concurrent=concurrent)
    halves(monkeypatch, {(0,): 0.2})
    places = {0: (), 1: (0,), 2: (1,), 3: (1, 0)}

    def split_in_turn(**changes):
        splits, _, masses = hc.grow(dataclasses.replace(config, **changes), images, jax.random.key(0), Phases())
        assert masses[:3] == [16, 8, 8]
        return splits

    assert [places[node] for node in split_in_turn()] == [(), (0,), (1,)], "of two equals the first"
    assert [places[node] for node in split_in_turn(postpone=True)] == [(), (1,), (1, 0)]
    assert 1 not in split_in_turn(n_clusters="auto", min_share=0.05)
    late = split_in_turn(postpone=True, n_clusters=10)
    assert late.index(1) == 8, "after the root and the seven nodes of the other side"


@pytest.mark.parametrize(("largest", "splits"), [("mass", [0, 1, 2]), ("spread", [0, 2, 4])])
def test_the_largest_leaf_is_that_of_the_mass_or_of_the_spread(monkeypatch, largest, splits):
    images = np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [10.0], [20.0]], np.float32)
    halves(monkeypatch, {})
    config = dataclasses.replace(TINY, n_clusters=4, largest=largest)
    assert hc.grow(config, images, jax.random.key(0), Phases())[0] == splits


def test_a_tree_says_why_it_has_fewer_leaves_or_none(monkeypatch):
    images = np.arange(16, dtype=np.float32).reshape(8, 2)
    halves(monkeypatch, {(): 0.2})
    notes = Notes()
    config = dataclasses.replace(TINY, n_clusters=20)
    assert len(hc.grow(config, images, jax.random.key(0), Phases(report=notes))[0]) == 7
    assert notes.said[-1] == "8 leaves of 20: no other could be split"
    with pytest.raises(InputError, match=r"doubt is 0.200 \(max_doubt 0.1\).*give n_clusters"):
        fit(dataclasses.replace(TINY, n_clusters="auto"), images)


def test_what_is_usable_outlives_what_is_not(monkeypatch):
    """A raw split whose discriminator has won stands, where the trainings after it fail."""
    ends = iter([slots.FAULTS[slots.COLLAPSED], split.EMPTY])
    monkeypatch.setattr(split, "ended", lambda images, nets, params, fault, work: end([0.4] * 40, next(ends), 1))
    config = dataclasses.replace(TINY, restarts=1)
    images = np.zeros((40, *SHAPE), np.float32)
    several = hc.training(dataclasses.replace(config, concurrent=1), SHAPE, 1, False)
    work = {(): split.Work(KEY, np.ones((1, 40)), 1.0)}
    found = split.run(config, images, several, work, "raw-1", KEY, Phases(), [])
    assert found[()].fault == slots.FAULTS[slots.COLLAPSED]
    assert next(ends, None) is None, "both trainings were made"


def test_without_a_number_a_split_has_to_separate_something():
    config = dataclasses.replace(TINY, n_clusters="auto", min_share=0.1, max_doubt=0.1)
    good = split.raw_split(end([1.0, 1.0, 0.0, 0.0], v=1))
    member = np.ones(4)
    assert hc.stands(config, good, member)
    assert not hc.stands(config, good._replace(doubt=0.2), member)
    assert not hc.stands(config, good._replace(share=np.array([0.1, 0.1, 0.1, 0.0])), member)
    assert not hc.stands(config, good._replace(sound=False), member)
    assert hc.stands(TINY, good._replace(doubt=0.2), member), "where K is asked for, it is given"
    assert hc.splittable(config, 21, 100)
    assert not hc.splittable(config, 19, 100)
    assert hc.splittable(TINY, 2, 100)
    assert not hc.splittable(TINY, 1.9, 100)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_clusters", 1),
        ("epochs", 0),
        ("refinements", -1),
        ("min_share", 0.6),
        ("concurrent", 0),
        ("width", 0.0),
        ("generator_width", -1.0),
        ("refinement_steps", float("nan")),
        ("rotation", -1.0),
        ("shift", float("nan")),
        ("zoom", 1.0),
        ("last_noise_variance", -0.1),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(field, value):
    with pytest.raises(InputError, match=f"{field} is {value}"):
        Config(**{field: value})


def test_a_split_is_not_postponed_for_a_doubt_that_is_never_known():
    with pytest.raises(InputError, match="postpone is True with refinements 0"):
        Config(postpone=True, refinements=0)


def test_a_warm_start_gives_both_groups_the_judges_of_the_raw_split():
    _, fresh = started(2, refine=True)
    new = raw_params(4)
    judges = ("features", "discriminator", "classifier")
    split_ = {**new, **jax.tree.map(lambda leaf: leaf[None], {name: new[name] for name in judges})}
    found = split.put_in(fresh.params, {1: split_})
    equal(jax.tree.map(lambda leaf: leaf[0], found), jax.tree.map(lambda leaf: leaf[0], fresh.params))
    for g in (0, 1):
        equal(
            jax.tree.map(lambda leaf, g=g: leaf[1, g], {name: found[name] for name in judges}),
            {n: new[n] for n in judges},
        )
    equal(jax.tree.map(lambda leaf: leaf[1], found["generator"]), new["generator"])
    assert split.put_in(fresh.params, {}) is fresh.params


@pytest.mark.slow
def test_the_estimator_has_the_tree_at_every_number_of_leaves(tmp_path):
    from jaxclust import HCMGAN

    images, _ = toy.blobs(60)
    small = {"preset": "quick", "width": 0.03, "min_steps": 32, "max_steps": 32, "refinements": 0, "batch_size": 10}
    model = HCMGAN(n_clusters=4, **small).fit(images)
    assert len(model.tree_.splits) == 3
    assert len(model.tree_.masses) == 7
    assert model.tree_.masses[0] == 60
    for n_leaves in (1, 2, 3, 4):
        shares = model.predict_proba(images, n_leaves)
        assert shares.shape == (60, n_leaves)
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
        np.testing.assert_array_equal(model.predict(images, n_leaves), model.labels_at(n_leaves))
    two = model.predict_proba(images, 2).sum(0)
    np.testing.assert_allclose(sorted(two), sorted(model.tree_.masses[1:3]), atol=1e-2)
    with pytest.raises(InputError, match="n_leaves is 5: the tree has 1 to 4"):
        model.predict(images, n_leaves=5)
    model.save(tmp_path / "model")
    loaded = HCMGAN.load(tmp_path / "model")
    assert loaded.tree_ == model.tree_
    np.testing.assert_array_equal(loaded.predict(images, 3), model.predict(images, 3))
    assert loaded.tree_.linkage().shape == (3, 4)
    assert loaded.tree_.newick().endswith("s0;")
    assert loaded.sample(2, cluster=3).shape == (2, 8, 8, 1)


@pytest.mark.slow
def test_a_run_draws_the_tree(tmp_path):
    from jaxclust import runs
    from jaxclust.data import sources
    from jaxclust.report import figures

    images, _ = toy.blobs(60)
    config = dataclasses.replace(TINY, n_clusters=3, refinements=0)
    request = models.Request(methods.find("hc-mgan"), config, 0)
    key = jax.random.key(0)

    def draw(out, result, prepared, preprocess, dataset):
        figures.draw_run(out, result, prepared, preprocess, dataset.labels, key=key)

    metrics = runs.fit(request, sources.load(images), tmp_path / "run", draw=draw)
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert {"tree", "top", "dendrogram", "node_samples", "samples", "training"} <= drawn
    assert metrics["summary"]["newick"].endswith("s0;")
    assert len(metrics["summary"]["linkage"]) == 2
