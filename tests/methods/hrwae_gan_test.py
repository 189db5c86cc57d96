"""hrwae-gan: its losses where they are known by hand, who updates what, its looks at the training's health."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust import losses, methods, models
from jaxclust.errors import InputError
from jaxclust.methods.hrwae_gan import fit as hr
from jaxclust.methods.hrwae_gan import training as hr_training
from jaxclust.methods.hrwae_gan.config import QUICK, Config
from jaxclust.methods.hrwae_gan.model import functions, gaussians, hierarchy, sizes, standard_normal
from jaxclust.train.phases import Phases, initial
from jaxclust.train.progress import Silent
from jaxclust.train.training import Batch
from tests import toy
from tests.programs import quickly

TINY = dataclasses.replace(
    QUICK, width=0.1, min_filters=3, latent_dim=4, critic_widths=(8,), rotation=0.0, zoom=0.0, shift=0.0, flip=False
)
B, SHAPE = 6, (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (B, *SHAPE)).astype(np.uint8)


def batch(weight=None):
    return Batch(jnp.asarray(IMAGES), jnp.arange(B), jnp.ones(B) if weight is None else jnp.array(weight))


def started(config=TINY):
    training = hr_training.hrwae_gan(config, SHAPE, "bernoulli", 100)
    return training, initial(training, jax.random.key(0), (B, *SHAPE))


def terms_of(config=TINY, state=None, **changes):
    """The terms of L for the batch, and the gradients of the autoencoder's parameters."""
    config = dataclasses.replace(config, **changes)
    state = started(config)[1] if state is None else state
    x = jnp.asarray(IMAGES, jnp.float32) / 255
    grads, (_, _, terms) = gradient(config)(state.params["autoencoder"], state, x, x, batch())
    return terms, grads


@cache
def gradient(config):
    loss = partial(hr_training.autoencoder_loss, config, "bernoulli")
    return quickly(jax.grad(loss, has_aux=True))


def with_blind_critics(state):
    critics = jax.tree.map(jnp.zeros_like, state.params["critics"])
    return state._replace(params={**state.params, "critics": critics})


class StopsIn(Silent):
    """Like Ctrl-C after the second chunk of a training; remembers the notes."""

    def __init__(self, name):
        self.name, self.now, self.chunks, self.said = name, "", 0, []

    def phase(self, name):
        self.now = name

    def note(self, text):
        self.said.append(text)

    def progress(self, done, total, examples_per_second, terms):
        self.chunks += self.now == self.name
        if self.chunks == 2:
            raise KeyboardInterrupt


# losses


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "value"), [("relativistic", np.log(2)), ("standard", 2 * np.log(2))])
def test_critics_that_see_nothing_give_log_2_for_each_group_with_its_weight(kind, value):
    config = dataclasses.replace(TINY, adversarial=kind, group_decay=0.5)
    state = with_blind_critics(started(config)[1])
    terms, _ = terms_of(config, state)
    assert terms["adversarial"] == pytest.approx(1.5 * value, rel=1e-5)
    codes = tuple(jnp.ones((B, d)) for d in sizes(config, SHAPE))
    total, (_, gaps) = hr_training.critic_loss(config, state.params["critics"], state, (codes, codes), jnp.ones(B))
    assert total == pytest.approx(1.5 * value, rel=1e-5)
    assert gaps == {"gap_0": 0, "gap_1": 0}


@pytest.mark.slow
def test_the_loss_is_the_weighted_sum_of_its_terms():
    terms, _ = terms_of(adversarial_weight=3.0, matching_weight=7.0)
    total = terms["reconstruction"] + 3 * terms["adversarial"] + 7 * terms["matching"]
    assert terms["loss"] == pytest.approx(float(total), rel=1e-6)
    assert 0 < terms["matching"] < 2


@pytest.mark.slow
def test_one_group_has_no_matching_and_one_critic():
    terms, _ = terms_of(groups=1)
    assert terms["matching"] == 0
    _, state = started(dataclasses.replace(TINY, groups=1))
    assert len(state.params["critics"]) == 1


@pytest.mark.slow
def test_attention_weighs_every_term_of_an_example():
    _, state = started()

    def with_attention(*weights):
        attention = jnp.array([*weights, *[0.0] * (B - 2)])
        return terms_of(state=state._replace(extra={**state.extra, "attention": attention}))[0]

    one, other, both = with_attention(1, 0), with_attention(0, 1), with_attention(3, 1)
    for name in ("reconstruction", "adversarial", "matching"):
        assert both[name] == pytest.approx(float((3 * one[name] + other[name]) / 4), rel=1e-4), name
        assert one[name] != pytest.approx(float(other[name]), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relativistic", "standard"])
def test_learned_priors_follow_the_adversarial_loss_and_what_is_decoded_from_them(kind):
    def largest(**changes):
        _, grads = terms_of(adversarial=kind, **changes)
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grads["priors_0"]))

    assert largest(prior_share=0.0) > 1e-6
    assert largest(adversarial_weight=0.0, prior_share=0.9) > 1e-6
    assert largest(adversarial_weight=0.0, prior_share=0.0) == 0


@pytest.mark.slow
def test_where_z_1_is_the_prior_s_the_groups_below_say_nothing():
    """Of three groups, as images of 16 x 16 can have: z_2 is then not that of q(z_2|z_<2, x)."""
    config, shape = dataclasses.replace(TINY, groups=3, matching_weight=0.0), (16, 16, 1)
    state = initial(hr_training.hrwae_gan(config, shape, "bernoulli", 100), jax.random.key(0), (B, *shape))
    x = jax.random.uniform(jax.random.key(1), (B, *shape))
    prior = tuple(jax.random.normal(jax.random.key(2), (B, d)) for d in sizes(config, shape))
    codes = (prior, tuple(2 * z + 1 for z in prior))

    def with_share(share):
        changed = dataclasses.replace(config, prior_share=share)
        loss = quickly(jax.grad(partial(hr_training.autoencoder_loss, changed, "bernoulli"), has_aux=True))
        grads, _ = loss(state.params["autoencoder"], state, x, x, batch())
        _, (_, gaps) = hr_training.critic_loss(changed, state.params["critics"], state, codes, jnp.ones(B))
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grads["encoder_combiners_1"])), gaps

    (slope, gaps), (none, others) = with_share(0.0), with_share(1.0)
    assert none == 0 < slope
    assert others["gap_2"] == 0 != gaps["gap_2"]
    assert others["gap_1"] == gaps["gap_1"] != 0
    weights = hr_training.by_group(dataclasses.replace(config, prior_share=0.5), state, jnp.ones(B))
    assert 0 < float(weights[2].sum()) < B == float(weights[1].sum())


@pytest.mark.slow
def test_a_critic_s_statistics_are_those_of_the_prior():
    _, state = started()
    prior, near = standard_normal(jax.random.key(1), 20, TINY, SHAPE)[0], jnp.ones((20, 4))
    judged = partial(hr_training.judged, TINY, state.params["critics"][0], state.extra["critics"][0], prior)
    judge = quickly(judged)
    real, _, stats = judge(near, jnp.ones(20))
    again, _, others = judge(100 * near, jnp.ones(20))
    np.testing.assert_allclose(real, again, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), stats, others)
    slope = quickly(jax.grad(lambda codes: judged(codes, jnp.ones(20))[1].sum()))
    slopes = [jnp.abs(slope(scale * near)).max() for scale in (1, 100)]
    assert slopes[1] > 0.1 * slopes[0], "codes far from the prior are still pulled"


# the step


@pytest.mark.slow
@pytest.mark.parametrize(("frozen", "moved"), [("autoencoder", "critics"), ("critics", "autoencoder")])
def test_each_loss_updates_its_own_networks(frozen, moved):
    rates = {"learning_rate": 1e-2, "critic_learning_rate": 1e-2}
    rates["learning_rate" if frozen == "autoencoder" else "critic_learning_rate"] = 1e-12
    training, state = started(dataclasses.replace(TINY, schedule="constant", **rates))
    after, terms = quickly(training.step)(state, batch())
    kept = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.params[frozen], state.params[frozen])
    assert max(jax.tree.leaves(kept)) < 1e-10
    changes = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.params[moved], state.params[moved])
    assert max(jax.tree.leaves(changes)) > 1e-3
    assert set(terms) == {"reconstruction", "adversarial", "matching", "loss", "critic", "gap_0", "gap_1"}
    assert after.step == 1


@pytest.mark.slow
def test_padding_changes_nothing():
    _, state = started()
    x = jnp.asarray(IMAGES, jnp.float32) / 255
    loss = quickly(partial(hr_training.autoencoder_loss, TINY, "bernoulli", state.params["autoencoder"], state))
    weight = [1.0] * 4 + [0.0] * 2
    noisy = x.at[4:].set(1 - x[4:])
    one, other = (loss(image, image, batch(weight))[1][2] for image in (x, noisy))
    for name, value in one.items():
        assert other[name] == pytest.approx(float(value), rel=1e-4), name


# what a fitted one can do


def test_cluster_gaussians_are_those_of_their_codes():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, 3)) @ np.diag([1.0, 2.0, 0.5]) + 1
    labels = np.r_[np.zeros(40, int), np.ones(19, int), 2]
    found = gaussians(codes, np.full((60, 3), 0.25), labels, 3)
    np.testing.assert_allclose(found["means"][1], codes[40:59].mean(0), rtol=1e-5)
    expected = np.cov(codes[:40], rowvar=False) + 0.25 * np.eye(3)
    np.testing.assert_allclose(found["roots"][0] @ found["roots"][0].T, expected, atol=1e-4)
    np.testing.assert_allclose(found["means"][2], codes.mean(0), rtol=1e-5, err_msg="one member: the Gaussian of all")


@pytest.mark.slow
def test_samples_of_a_cluster_are_decoded_from_its_gaussian():
    config = dataclasses.replace(TINY, groups=2)
    _, state = started(config)
    can = functions(config, SHAPE, "bernoulli", 2)
    autoencoder = {"params": state.params["autoencoder"], "stats": state.extra["stats"]}
    arrays = {"autoencoder": autoencoder, "means": jnp.array([[0.0] * 4, [2.0] * 4]), "roots": jnp.zeros((2, 4, 4))}
    drawn = quickly(can.sample, static_argnums=2)(arrays, jax.random.key(0), 5, jnp.int32(1))
    lower = standard_normal(jax.random.key(0), 5, config, SHAPE)
    variables = {"params": autoencoder["params"], "batch_stats": autoencoder["stats"]}
    net = hierarchy(config, SHAPE)
    walk = quickly(partial(net.apply, method=net.decode))(variables, jnp.full((5, 4), 2.0), lower)
    np.testing.assert_allclose(drawn, losses.mean_image("bernoulli", walk.output), atol=1e-6)
    np.testing.assert_allclose(can.centroids(arrays)[1], 2.0)
    assert jax.eval_shape(partial(can.generate, n=3), arrays, jax.random.key(0)).shape == (3, *SHAPE)


@pytest.mark.slow
def test_groups_and_samples_through_the_estimator():
    from jaxclust import HRWAEGAN, KMeans
    from tests.contract_test import IMAGES as BLOBS
    from tests.contract_test import TINY as SETTINGS

    model = HRWAEGAN(preset="quick", **SETTINGS["hrwae-gan"]).fit(BLOBS)
    np.testing.assert_allclose(model.transform(BLOBS, group=0), model.transform(BLOBS), atol=1e-6)
    assert model.transform(BLOBS[:5], group=1).shape == (5, 16)
    assert model.sample(4).shape == model.sample(4, cluster=2).shape == (4, 8, 8, 1)
    assert model.summary_["head_agreement"] > 0.9
    assert set(model.opinions_) == {"group_0", "group_1"}
    assert model.summary_["clusters_by_group"] == [3, 3]
    assert model.summary_["clusters"]["n_clusters"] == 3
    with pytest.raises(InputError, match="group 2 does not exist: choose one of 0 to 1"):
        model.transform(BLOBS, group=2)
    with pytest.raises(InputError, match=r"cannot sample from all clusters at once \(give --cluster\)"):
        models.sample(KMeans(n_clusters=3).fit(BLOBS).fitted_, 2, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": 0}, "groups is 0"),
        ({"cluster_group": 2}, "cluster_group is 2: with 2 groups"),
        ({"noise_weight": 0.5}, "noise_weight is 0.5"),
        ({"held_out": 1.2}, "held_out is 1.2"),
        ({"prior_share": 2.0}, "prior_share is 2.0"),
        ({"group_decay": 1.5}, "group_decay is 1.5"),
        ({"min_cluster_share": 0.0}, "min_cluster_share is 0.0"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"n_clusters": 1}, "n_clusters is 1"),
        ({"umap_neighbors": 1}, "umap_neighbors is 1"),
        ({"umap_components": 0}, "umap_components is 0"),
        ({"min_filters": 0}, "min_filters is 0"),
        ({"matching_weight": -1.0}, "matching_weight is -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Config(**changes)


@pytest.mark.parametrize(("shape", "levels"), [((16, 16, 1), 3), ((5,), 2)])
def test_more_groups_than_levels_are_refused(shape, levels):
    with pytest.raises(InputError, match=f"groups is 5: networks of .* have {levels} levels: choose 1 to {levels}"):
        hierarchy(dataclasses.replace(TINY, groups=5), shape)


@pytest.mark.slow
def test_a_head_that_disagrees_is_trained_again():
    images, _ = toy.blobs(90)
    config = dataclasses.replace(TINY, head_epochs=1, epochs=1, min_steps=0, head_learning_rate=3e-3)
    first = np.random.default_rng(0).integers(-1, 3, 90).astype(np.int32)  # nothing that an image tells
    notes = StopsIn("none")
    _, agreement = hr.distilled(toy.job(config, images[..., None], Phases(report=notes)), first, 3)
    said = [float(note.split()[4].rstrip("%")) / 100 for note in notes.said if "agrees" in note]
    assert len(said) == hr.ROUNDS
    assert said[-1] == pytest.approx(agreement, abs=1e-3)
    assert 0.3 < said[0] < said[-1] < hr.AGREED


@pytest.mark.slow
def test_a_fit_that_is_killed_between_two_looks_goes_on_to_the_same_end(tmp_path):
    from tests.contract_test import run

    method = methods.find("hrwae-gan")
    with pytest.raises(KeyboardInterrupt):
        run(method, Phases(tmp_path, StopsIn("training-2"), save_every=0.0))
    notes = StopsIn("none")
    resumed, _ = run(method, Phases(tmp_path, notes))
    assert "training-1: kept from before" in notes.said
    assert any(note.startswith("training-2: goes on from step") for note in notes.said), notes.said
    straight, _ = run(method, Phases())
    np.testing.assert_array_equal(resumed.probabilities, straight.probabilities)
    assert resumed.summary == straight.summary
