"""The trainings that methods share: autoencoders of every kind, classifiers, and the mixture of experts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxclust.methods.moe_vae import mixture
from jaxclust.methods.shared import autoencoder, classifier, experts
from jaxclust.nn.apply import train_mode
from jaxclust.nn.autoencoders import Decoder, Trunk, block_filters
from jaxclust.train import loop
from jaxclust.train.augment import NONE
from jaxclust.train.batches import grouped, shuffled
from jaxclust.train.phases import initial
from jaxclust.train.training import Batch, step_key
from tests.programs import quickly

rng = np.random.default_rng(0)
LABELS = np.arange(60) % 3
FEATURES = (np.eye(3)[LABELS] @ rng.normal(size=(3, 5)) * 2 + 0.1 * rng.normal(size=(60, 5))).astype(np.float32)
IMAGES = rng.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
KINDS = [
    {"kind": "ae"},
    {"kind": "vae"},
    {"kind": "beta-vae"},
    {"kind": "wae", "wae_penalty": "mmd", "wae_encoder": "deterministic"},
    {"kind": "wae", "wae_penalty": "gan", "wae_encoder": "random"},
]


def train(training, data, epochs, size=20, batches=None, state=None):
    batches = batches or shuffled(len(data), size, 0)
    if state is None:
        state = initial(training, jax.random.key(0), (batches.size, *data.shape[1:]))
    seen = []
    state = loop.run(
        training.step,
        state,
        data,
        batches,
        loop.total_steps(epochs, batches.per_epoch),
        on_chunk=lambda p: seen.append(p.terms),
    )
    return state, seen


def test_filters_follow_the_side():
    assert block_filters(32, 1.0) == (32, 64, 128, 256)
    assert block_filters(16, 1.0) == (16, 32, 64)
    assert block_filters(8, 0.5, min_filters=16) == (16, 32)


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "convolutions", "full"), [("pair", 6, True), ("single", 5, False)])
def test_with_a_single_stem_only_the_image_has_its_size(stem, convolutions, full):
    """Kernels of the four blocks, 2 2 1 1 or 1 2 1 1, and whether any map but the image has its side."""
    images, codes = jax.ShapeDtypeStruct((2, 32, 32, 1), jnp.float32), jax.ShapeDtypeStruct((2, 5), jnp.float32)
    for network, x in ((Trunk(stem=stem), images), (Decoder((32, 32, 1), stem=stem), codes)):
        variables = jax.eval_shape(lambda x, n=network: n.init(jax.random.key(0), x, train=True), x)
        kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4]
        assert len(kernels) == convolutions
        program = str(jax.make_jaxpr(lambda v, x, n=network: n.apply(v, x))(variables, x))
        assert ("[2,32,32,32]" in program) is full
        shape = (2, 2 * 2 * 256) if x is images else (2, 32, 32, 1)
        assert jax.eval_shape(network.apply, variables, x).shape == shape


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[] if k["kind"] == "vae" else [pytest.mark.slow]) for k in KINDS],
    ids=lambda k: "-".join(map(str, k.values())),
)
def test_every_kind_learns_features(kind):
    spec = autoencoder.AutoencoderSpec(
        latent_dim=2, likelihood="gaussian", width=0.1, learning_rate=1e-2, ramp_steps=1, wae_weight=1.0, **kind
    )
    training = autoencoder.autoencoder(spec, (5,))
    state, seen = train(training, FEATURES, 60)
    assert seen[-1]["reconstruction"] < 0.5 * seen[0]["reconstruction"]
    assert ("critic" in seen[-1]) == (kind.get("wae_penalty") == "gan")
    codes = np.asarray(training.embed(state, FEATURES))
    assert codes.shape == (60, 2)
    alone = np.asarray(training.embed(state, FEATURES[:1]))
    np.testing.assert_allclose(alone[0], codes[0], rtol=1e-4, atol=1e-5)


def test_beta_is_latent_over_input_size_unless_given():
    mean, log_var = jnp.ones((4, 2)), jnp.zeros((4, 2))

    def value(spec):
        key, weight = jax.random.key(0), jnp.ones(4)
        return float(autoencoder.penalty(spec, key, mean, mean, log_var, weight, {}, 10))

    spec = autoencoder.AutoencoderSpec(latent_dim=2)
    assert value(spec) == pytest.approx(1.0)  # two dimensions of 1/2
    assert value(spec._replace(kind="beta-vae")) == pytest.approx(0.2)
    assert value(spec._replace(kind="beta-vae", beta=4.0)) == pytest.approx(4.0)
    assert value(spec._replace(kl_weight=0.1)) == pytest.approx(0.1)
    assert value(spec._replace(kl_weight=0.1, kind="beta-vae", beta=4.0)) == pytest.approx(4.0), "W is a vae's alone"
    assert value(spec._replace(kind="ae")) == 0.0


@pytest.mark.slow
def test_a_critic_learns_to_make_codes_costly_that_the_prior_would_not_draw():
    far = 5.0 + jax.random.normal(jax.random.key(0), (64, 2))
    near = jax.random.normal(jax.random.key(1), (64, 2))
    ones, adam = jnp.ones(64), optax.adam(1e-2)
    critic = jax.jit(autoencoder.Critic().init)(jax.random.key(2), far)

    @jax.jit
    def learn(critic, state, key):
        grads = jax.grad(autoencoder.critic_loss)(critic, key, far, ones)
        change, state = adam.update(grads, state)
        return optax.apply_updates(critic, change), state

    state = adam.init(critic)
    for i in range(100):
        critic, state = learn(critic, state, jax.random.key(i))
    spec = autoencoder.AutoencoderSpec(kind="wae", wae_penalty="gan", latent_dim=2, wae_weight=1.0)
    cost = [float(autoencoder.penalty(spec, jax.random.key(3), z, z, z, ones, critic, 10)) for z in (far, near)]
    assert cost[0] > 3
    assert cost[1] < 0.3
    assert autoencoder.critic_loss(critic, jax.random.key(4), far, ones) < 0.1


@pytest.mark.slow
def test_padding_does_not_change_a_step():
    spec = autoencoder.AutoencoderSpec(kind="ae", latent_dim=3, width=0.5, min_filters=4, augmentation=NONE)
    training = autoencoder.autoencoder(spec, (8, 8, 1))
    state = initial(training, jax.random.key(0), (6, 8, 8, 1))
    image = jnp.asarray(IMAGES[:6])
    whole = Batch(image[:4], jnp.arange(4), jnp.ones(4))
    padded = Batch(image, jnp.arange(6), jnp.array([1.0] * 4 + [0.0] * 2))
    a, b = (jax.jit(training.step)(state, batch)[0] for batch in (whole, padded))
    for left, right in zip(jax.tree.leaves(a.extra), jax.tree.leaves(b.extra), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.slow
def test_classifier_learns_soft_labels_and_normalises():
    targets = np.full((60, 3), 0.1, np.float32)
    targets[np.arange(60), LABELS] = 0.8
    training = classifier.classifier(classifier.ClassifierSpec(3, width=0.1, learning_rate=1e-2), targets)
    state, _ = train(training, FEATURES, 60)
    p = np.exp(training.log_posterior(state, FEATURES))
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-5)
    assert (p.argmax(1) == LABELS).all()
    assert 0.7 < p.max(1).mean() < 0.9


def mixture_spec(top, dims=(2, 2, 2)):
    manager = classifier.ClassifierSpec(3, width=0.1, augmentation=NONE)
    of_experts = experts.ExpertsSpec(dims, "gaussian", width=0.05)
    return mixture.MixtureSpec(of_experts, manager, top_experts=top, learning_rate=1e-2, augmentation=NONE)


def test_routing_by_hand():
    pi = jnp.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1]])
    routes = mixture.route(pi, 1, jnp.array([1.0, 1.0, 1.0, 0.0]), jax.random.key(0))  # room for two images each
    took = np.asarray(routes.scatter(jnp.ones_like(routes.taken), 4))
    np.testing.assert_array_equal(took, [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    own = jnp.take_along_axis(pi.T, routes.index, 1)
    np.testing.assert_allclose(routes.scatter(own, 4), np.asarray(pi) * took)


def test_routing_ties_send_an_image_to_no_more_than_top_experts():
    routes = mixture.route(jnp.full((6, 3), 1 / 3), 2, jnp.ones(6), jax.random.key(0))  # room for five images each
    took = np.asarray(routes.scatter(jnp.ones_like(routes.taken), 6))
    assert sorted(took[:, 0]) == [0, 1, 1, 1, 1, 1]
    assert took.sum(1).max() == 2


@pytest.mark.slow
def test_an_image_whose_first_expert_is_full_is_nobody_s():
    """Nine of twelve images belong to expert 0, which has room for seven: each is left out now and then."""
    pi = jnp.where(jnp.arange(12)[:, None] < 9, jnp.array([0.99, 0.006, 0.003, 0.001]), jnp.array([0.0, 0.4, 0.3, 0.3]))
    left_out = np.zeros(12)
    for i in range(60):
        routes = mixture.route(pi, 2, jnp.ones(12), jax.random.key(i))
        took = np.asarray(routes.scatter(jnp.ones_like(routes.taken), 12))
        nobodys = took.sum(1) == 0
        assert nobodys.sum() == 2
        assert took[~nobodys, np.asarray(pi.argmax(1))[~nobodys]].all()
        left_out += nobodys
    assert left_out[:9].min() > 2
    assert not left_out[9:].any()


def test_mixture_loss_by_hand():
    pi = jnp.array([[0.75, 0.25], [1.0, 0.0]])
    costs = jnp.array([[1.0, 2.0], [3.0, 9.0]])
    spec = mixture_spec(2)._replace(alpha=10.0, beta=2.0)
    value, terms = mixture.mixture_loss(spec, pi, costs, jnp.ones((2, 2)), jnp.ones(2))
    rec = (0.75 * 1 + 0.25 * 2 + 3) / 2
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / 2
    batch = 0.875 * np.log(0.875) + 0.125 * np.log(0.125)
    assert float(terms["reconstruction_and_kl"]) == pytest.approx(rec)
    assert float(value) == pytest.approx(rec + 10 * entropy + 2 * batch)


@pytest.mark.slow
def test_a_dense_step_has_the_gradient_of_the_whole_loss():
    """The step pulls gradients back expert by expert; here they come from differentiating L itself."""
    spec = mixture_spec(3)._replace(kl_weight=0.0)
    training = mixture.stage_one(spec, (5,))
    state = initial(training, jax.random.key(1), (12, 5))
    image = jnp.asarray(FEATURES[:12])
    batch = Batch(image, jnp.arange(12), jnp.ones(12))
    mask = jnp.asarray(experts.experts(spec.experts, (5,)).mask)
    keys = jax.random.split(step_key(state, "posterior"), 3)

    def whole(params):
        logits, _ = train_mode(
            classifier.module(spec.manager), params["manager"], state.extra["manager"], image, batch.weight
        )
        rows = experts.ExpertBatch(image, image, jnp.ones(12))
        costs = [
            mixture.expert_costs(
                spec.experts,
                (5,),
                jax.tree.map(lambda a, k=k: a[k], params["experts"]),
                jax.tree.map(lambda a, k=k: a[k], state.extra["experts"]),
                mask[k],
                keys[k],
                rows,
                jnp.zeros(()),
            )[0]
            for k in range(3)
        ]
        pi, took = jax.nn.softmax(logits), jnp.ones((12, 3))
        return mixture.mixture_loss(spec, pi, jnp.stack(costs, 1), took, batch.weight)[0]

    value, grads = jax.jit(jax.value_and_grad(whole))(state.params)
    new, terms = jax.jit(training.step)(state, batch)
    assert float(terms["loss"]) == pytest.approx(float(value), rel=1e-5)
    first_moments = {"manager": new.opt_state[0][0].mu, "experts": new.opt_state[1][0].mu}  # 0.1 g after one step
    for ours, expected in zip(jax.tree.leaves(first_moments), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(np.asarray(ours) * 10, expected, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
def test_an_experts_cost_is_the_elbo_per_pixel():
    spec, shape, key = mixture_spec(3, dims=(1, 2, 4)), (5,), jax.random.key(3)
    networks, image = experts.experts(spec.experts, shape), jnp.asarray(FEATURES[:12])
    params, stats = (jax.tree.map(lambda a: a[1], tree) for tree in experts.init_experts(spec.experts, shape, key))
    mask, ones = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.ones(12)

    @quickly
    def costs(scale):
        rows = experts.ExpertBatch(image, image, ones)
        return mixture.expert_costs(spec.experts, shape, params, stats, mask, key, rows, scale)[0]

    encode = quickly(lambda *args: train_mode(networks.encoder, *args))
    (mean, log_var), _ = encode(params["encoder"], stats["encoder"], image, ones)
    mean, log_var = np.asarray(mean, np.float64)[:, :2], np.asarray(log_var, np.float64)[:, :2]
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    np.testing.assert_allclose(costs(2.0) - costs(0.0), 2 * kl / 5, rtol=1e-4)


@pytest.mark.slow
def test_unequal_experts_keep_to_their_dimensions():
    spec = mixture_spec(3, dims=(1, 2, 4))
    training = mixture.stage_one(spec, (5,))
    state, _ = train(training, FEATURES, 5)
    arrays = {"params": state.params["experts"], "stats": state.extra["experts"]}
    z = jnp.ones((1, 4))
    for k, d in enumerate(spec.experts.latent_dims):
        same = experts.decode(spec.experts, (5,), arrays, z.at[:, d:].set(7.0), jnp.asarray(k))
        np.testing.assert_allclose(same, experts.decode(spec.experts, (5,), arrays, z, jnp.asarray(k)))
        other = experts.decode(spec.experts, (5,), arrays, z.at[:, 0].set(7.0), jnp.asarray(k))
        assert not np.allclose(same, other)


@pytest.mark.slow
def test_stage_two_trains_each_expert_on_its_own_points():
    spec = mixture_spec(3)._replace(kl_weight=0.01)
    one, two = mixture.stage_one(spec, (5,)), mixture.stage_two(spec, (5,))
    start = initial(one, jax.random.key(0), (12, 5))
    arrays = {"params": start.params["experts"], "stats": start.extra["experts"]}
    state = mixture.stage_two_state(spec, arrays, jax.random.key(1))
    state, seen = train(two, FEATURES, 150, batches=grouped(LABELS, 3, 8, 0), state=state)
    assert seen[-1]["loss"] < 0.3 * seen[0]["loss"]
    trained = {"params": state.params, "stats": state.extra}
    _, errors = experts.reconstructions(spec.experts, (5,), trained, jnp.asarray(FEATURES))
    assert (np.asarray(errors).argmin(0) == LABELS).mean() > 0.9


@pytest.mark.slow
def test_an_expert_without_points_stays_as_it_was():
    spec = mixture_spec(3)
    two = mixture.stage_two(spec, (5,))
    params, stats = jax.jit(lambda key: experts.init_experts(spec.experts, (5,), key))(jax.random.key(0))
    before = jax.tree.map(lambda a: np.asarray(a[2]), params)
    state = mixture.stage_two_state(spec, {"params": params, "stats": stats}, jax.random.key(1))
    state, _ = train(two, FEATURES, 2, batches=grouped(LABELS % 2, 3, 8, 0), state=state)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(old, new[2], atol=1e-6)


@pytest.mark.slow
def test_bfloat16_loses_little_and_is_kept_out_of_parameters_and_statistics():
    losses = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        spec = autoencoder.AutoencoderSpec(
            latent_dim=3, width=0.25, min_filters=8, ramp_steps=4, augmentation=NONE, learning_rate=1e-3, dtype=dtype
        )
        state, seen = train(autoencoder.autoencoder(spec, IMAGES.shape[1:]), IMAGES, 16)
        losses[dtype] = seen[-1]["loss"]
        leaves = jax.tree.leaves((state.params, state.opt_state, state.extra))
        assert {leaf.dtype for leaf in leaves} <= {jnp.dtype("float32"), jnp.dtype("int32")}
    np.testing.assert_allclose(losses[jnp.bfloat16], losses[jnp.float32], rtol=0.01)
    assert losses[jnp.bfloat16] != losses[jnp.float32], "bfloat16 was not used"
