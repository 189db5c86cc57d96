"""hc-mgan's splits: the mass they move, what they may fail of, their memberships, and cuts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust import trees as tree
from jaxclust.methods.hc_mgan import slots, split
from jaxclust.methods.hc_mgan.model import log_odds
from tests import toy
from tests.methods.hc_mgan_test import KEY, NETS, SHAPE, TINY, blind, equal, raw_params


def divided(share, ncut=0.05):
    """A node after a normalised cut."""
    return split.raw_split(split.End("", {}, np.asarray(share)[:, None]))._replace(ncut=ncut)


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
    np.testing.assert_array_equal(after.unrefined, before.unrefined)
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


@pytest.mark.slow
def test_a_nearly_empty_child_is_a_fault():
    images = np.zeros((4, *SHAPE), np.float32)
    params = blind(raw_params(), "classifier")
    work = split.Work(KEY, np.ones((1, 4)), 1)
    assert split.ended(TINY, images, params, 0, work).fault == ""
    params["classifier"]["params"]["bias"] = jnp.array([9.0, 0.0])
    for fault, why in ((slots.SOUND, split.EMPTY), (slots.COLLAPSED, split.EMPTY), (slots.NOT_FINITE, slots.FAULTS[2])):
        assert split.ended(TINY, images, params, fault, work).fault == why
    assert split.ended(TINY, images, jax.tree.map(lambda leaf: leaf * jnp.nan, params), 0, work).fault


def test_memberships_are_conserved_at_every_node_and_sum_to_one():
    splits, shares = [0, 2, 1], np.random.default_rng(0).random((3, 50))
    member = tree.memberships(splits, shares)
    np.testing.assert_allclose(member[tree.leaves(splits)].sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(member[tree.leaves_of(splits, 1)].sum(0), shares[0], atol=1e-12)
    for node, (left, right) in tree.children(splits).items():
        np.testing.assert_allclose(member[left] + member[right], member[node], atol=1e-12)


def test_splits_are_kept_as_arrays_and_read_again():
    one = split.raw_split(split.End("", {"features": {"params": {"w": np.ones((1, 2))}}}, np.full((3, 1), 0.4)))
    two = one._replace(moved=np.array([0.1]), doubt=0.2, open=False)
    found = split.unpacked(split.packed({(): one, (1, 0): two}), [(), (1, 0)])
    assert found[1, 0].doubt == 0.2
    assert found[()].open
    assert not found[1, 0].open
    for a, b in zip((one, two), found.values(), strict=True):
        equal(jax.tree.map(np.asarray, a), jax.tree.map(np.asarray, b))


@pytest.mark.slow
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


@pytest.mark.slow
def test_by_its_mass_the_larger_group_keeps_what_is_in_between():
    """Classifiers that say nothing leave the prior: 3 to 1. What is kept says the same."""
    images = np.zeros((4, *SHAPE), np.float32)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), blind(raw_params(), "classifier"))
    params["generator"] = raw_params()["generator"]
    work = split.Work(KEY, np.array([[1, 1, 1, 0.0], [0, 0, 0, 1.0]]), 1)
    assert (split.ended(TINY, images, params, 0, work).says == 0.5).all()
    config = dataclasses.replace(TINY, prior="mass")
    ended = split.ended(config, images, params, 0, work)
    np.testing.assert_allclose(ended.says, 0.75)
    one = split.refined(config, divided(np.full(4, 0.5)), ended, np.ones(4))
    kept = jax.tree.map(lambda leaf: leaf[0], split.together([one]))
    judges = {name: kept[name] for name in ("features", "classifier")}
    np.testing.assert_allclose(jax.nn.sigmoid(log_odds(NETS, judges, images)), 0.75, rtol=1e-6)
    np.testing.assert_array_equal(one.params["classifier"]["params"]["bias"], 0, "what goes on has no prior in it")


@pytest.mark.parametrize(
    ("fault", "sound"), [("", True), (slots.FAULTS[1], True), (slots.FAULTS[2], False), (split.EMPTY, False)]
)
def test_a_cut_alone_is_no_split(fault, sound):
    """Where no refinement of it is usable there is no network, so nothing to predict with. As after a raw split, that D
    won is no obstacle."""
    before = divided([1.0, 0.0])
    said = split.End(fault, {"features": {"params": {"w": np.ones(2)}}}, np.full((2, 2), 0.7 if sound else np.nan))
    after = split.refined(TINY, before, said, np.ones(2))
    assert after.sound == sound
    assert after.open == sound
    kept = split.unpacked(split.packed({(): after}), [()])[()]
    assert bool(kept.params) == sound == kept.sound
    won_later = split.refined(TINY, after, said._replace(fault=slots.FAULTS[1]), np.ones(2))
    assert won_later.sound == sound
    assert not won_later.open


def two_groups():
    rng = np.random.default_rng(0)
    return np.repeat([[0.0], [9.0]], 40, 0).astype(np.float32) + rng.normal(size=(80, 3)).astype(np.float32)


def test_cuts_are_of_a_sample_that_the_others_follow():
    one = split.by_cuts(toy.job(dataclasses.replace(TINY, max_samples=60), two_groups()))(np.ones(80), KEY)
    assert len(set(one.share[:40])) == len(set(one.share[40:])) == 1
    assert set(one.share) == {0, 1}
    assert one.ncut == pytest.approx(0, abs=1e-6)
    assert one.open
    assert one.params == {}


def test_blocks_may_lie_wholly_in_the_sample(monkeypatch):
    images = two_groups()
    config = dataclasses.replace(TINY, max_samples=76)
    one = split.by_cuts(toy.job(config, images))(np.ones(80), KEY)
    monkeypatch.setattr(split, "blocks", lambda images: ((i, images[i : i + 2]) for i in range(0, 80, 2)))
    np.testing.assert_array_equal(split.by_cuts(toy.job(config, images))(np.ones(80), KEY).share, one.share)
