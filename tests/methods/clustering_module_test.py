"""The clustering module, alone and in an autoencoder: its algebra in float64, its steps by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.special import softmax
from sklearn.cluster import KMeans

from jaxclust.errors import InputError
from jaxclust.methods.clustering_module import fit as cm
from jaxclust.methods.clustering_module import training as cm_training
from jaxclust.methods.clustering_module.model import (
    Module,
    answers,
    centroids_of,
    functions,
    log_responsibilities,
    module_of,
    posterior_of,
    random_module,
)
from jaxclust.methods.shared.coders import CoderConfig, Coders, coders
from jaxclust.methods.shared.extent import Extent
from jaxclust.methods.shared.lengths import epochs_of
from jaxclust.train.training import Batch

K, DIM, ROWS = 4, 3, 6
ALPHA = (2.0, 1.5, 5.0, 3.0)


def module_case(seed=0, k=K, dim=DIM, b=ROWS):
    """A random module, examples (b, dim), weights (b,), the last 0, and alpha (k,)."""
    rng = np.random.default_rng(seed)
    shapes = ((dim, k), (k,), (k, dim), (dim,))
    module = Module(*(jnp.array(rng.normal(size=shape)) for shape in shapes))
    weight = jnp.ones(b).at[-1].set(0.0)
    return module, jnp.array(rng.normal(size=(b, dim))), weight, jnp.array(rng.uniform(1.1, 4.0, k))


def slow(module, x):
    """Responsibilities and centroids, by NumPy."""
    w_enc, b_enc, w_dec, b_dec = (np.asarray(leaf, np.float64) for leaf in module)
    return softmax(np.asarray(x, np.float64) @ w_enc + b_enc, -1), w_dec + b_dec


def terms_of(name):
    if name == "cm":
        return cm_training.cm_terms
    return lambda *args: cm_training.ae_cm_terms(*args, 0.7)


def total(name, module, x, weight, alpha):
    return sum(terms_of(name)(module, x, weight, alpha).values())


# the module


def test_centroids_are_the_decoders_images_of_unit_vectors():
    module, *_ = module_case()
    images = np.eye(K) @ np.asarray(module.decoder) + np.asarray(module.decoder_bias)
    np.testing.assert_allclose(centroids_of(module), images, rtol=1e-6)
    assert not np.allclose(centroids_of(module), module.decoder)


def test_the_posterior_of_centroids_is_that_of_a_gaussian_mixture(float64):
    """scikit-learn's spherical mixture with equal weights is the reference."""
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(0)
    centroids, x = rng.normal(size=(4, 3)), rng.normal(size=(20, 3))
    mixture = GaussianMixture(4, covariance_type="spherical")
    mixture.means_, mixture.weights_ = centroids, np.full(4, 0.25)
    mixture.precisions_cholesky_ = np.full(4, 1 / np.sqrt(0.7))
    module = posterior_of(jnp.array(centroids), jnp.array(0.7))
    ours = np.exp(log_responsibilities(module, jnp.array(x)))
    np.testing.assert_allclose(ours, mixture.predict_proba(x), rtol=1e-9)
    np.testing.assert_array_equal(centroids_of(module), centroids)


def test_guided_terms_by_hand():
    """Two examples of which one has no label: its terms are zero."""
    module = posterior_of(jnp.eye(2), jnp.array(1.0))
    z, labels = jnp.array([[1.0, 0.5], [3.0, 3.0]]), jnp.array([0, -1])
    terms = cm_training.guided_terms(module, z, labels, jnp.ones(2), 2.0)
    assert float(terms["module_reconstruction"]) == pytest.approx(0.25)
    assert float(terms["guidance"]) == pytest.approx(np.log1p(np.exp(-0.5)), rel=1e-6)
    assert float(terms["orthonormality"]) == 0


def test_batch_statistics_leave_the_module_alone_to_be_averaged():
    params = {"module": 1, "encoder": 2}
    assert cm_training.settled(params, {"encoder": {}}) == params
    assert cm_training.settled(params, {"encoder": {"mean": jnp.zeros(2)}}) == {"module": 1}


def test_small_data_are_visited_more_often():
    config = cm.AEConfig(n_clusters=3, epochs=10, pretrain_epochs=20, batch_size=10, min_steps=300)
    assert epochs_of(config, config.epochs, 100) == 30  # 10 batches an epoch
    assert epochs_of(config, config.pretrain_epochs, 100) == 60
    assert epochs_of(config, config.epochs, 1000) == 10


def test_a_module_of_centroids_gives_them_back_by_hard_assignment(float64):
    centroids = np.random.default_rng(1).normal(size=(3, 5))
    module = module_of(jnp.array(centroids))
    np.testing.assert_allclose(module.encoder, np.linalg.pinv(centroids), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(centroids_of(module), centroids)
    np.testing.assert_allclose(jnp.array(centroids) @ module.encoder + module.encoder_bias, np.eye(3), atol=1e-12)
    nearest = np.asarray(log_responsibilities(module, jnp.array(centroids))).argmax(1)
    np.testing.assert_allclose(np.eye(3)[nearest] @ np.asarray(centroids_of(module)), centroids)


def test_a_random_module_has_no_biases_and_follows_its_key():
    module = random_module(jax.random.key(0), 40, 60)
    assert [leaf.shape for leaf in module] == [(60, 40), (40,), (40, 60), (60,)]
    assert not module.encoder_bias.any()
    assert not module.decoder_bias.any()
    limit = np.sqrt(6 / 100)  # Glorot and Bengio
    for weights in (module.encoder, module.decoder):
        assert 0.98 * limit < np.abs(weights).max() <= limit
    assert not np.allclose(module.encoder, module.decoder.T)
    assert not np.allclose(module.encoder, random_module(jax.random.key(1), 40, 60).encoder)


def test_responsibilities_are_a_softmax(float64):
    module, x, _, _ = module_case()
    np.testing.assert_allclose(np.exp(log_responsibilities(module, x)), slow(module, x)[0], rtol=1e-12)


# losses


def test_the_terms_of_cm_against_loops(float64):
    module, x, weight, alpha = module_case(2)
    g, mu = slow(module, x)
    rows, e0, e1, e2 = np.asarray(x), 0.0, 0.0, 0.0
    for i in range(ROWS - 1):  # the last is padding
        e0 += ((rows[i] - g[i] @ mu) ** 2).sum()
        for k in range(K):
            e1 += g[i, k] * (1 - g[i, k]) * (mu[k] @ mu[k])
            e2 += sum(g[i, k] * g[i, other] * (mu[k] @ mu[other]) for other in range(K) if other != k)
    shares = np.sort(g[:-1].mean(0))
    e3 = ((1 - np.sort(alpha)) * np.log(shares)).sum()
    terms = cm_training.cm_terms(module, x, weight, alpha)
    expected = {"reconstruction": e0, "sparsity": e1, "overlap": -e2, "balance": e3}
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-8)


def test_without_the_prior_the_loss_is_the_mixtures_expected_squared_distance(float64):
    module, x, weight, _ = module_case(3)
    g, mu = slow(module, x)
    expected = (g * ((np.asarray(x)[:, None] - mu[None]) ** 2).sum(-1))[:-1].sum()
    assert float(total("cm", module, x, weight, jnp.ones(K))) == pytest.approx(expected, rel=1e-12)


def test_the_terms_of_ae_cm_by_numpy(float64):
    module, z, weight, alpha = module_case(4)
    g, mu = slow(module, z)
    terms = cm_training.ae_cm_terms(module, z, weight, alpha, 0.7)
    expected = {
        "module_reconstruction": ((np.asarray(z) - g @ mu) ** 2)[:-1].sum(),
        "sparsity": (g * (1 - g))[:-1].sum(),
        "balance": ((1 - np.sort(alpha)) * np.log(np.sort(g[:-1].mean(0)))).sum(),
        "orthonormality": 0.7 * np.abs(mu @ mu.T - np.eye(K)).sum(),
    }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected, rel=1e-8)


def differences(function, params, by=1e-6):
    """The gradient by central differences, as one vector."""
    flat, back = ravel_pytree(params)
    steps = by * jnp.eye(len(flat))
    value = jax.jit(jax.vmap(lambda step: function(back(flat + step))))
    return (value(steps) - value(-steps)) / (2 * by)


@pytest.mark.parametrize("name", ["cm", "ae-cm"])
def test_gradients_of_the_losses_against_differences(float64, name):
    module, x, weight, alpha = module_case(5)

    def loss(params):
        return total(name, params["module"], params["x"], weight, alpha)  # for ae-cm the code has a gradient too

    params = {"module": module, "x": x}
    ours = ravel_pytree(jax.jit(jax.grad(loss))(params))[0]
    np.testing.assert_allclose(ours, differences(loss, params), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["cm", "ae-cm"])
def test_permuted_clusters_have_permuted_responsibilities_and_the_same_loss(float64, name):
    module, x, weight, alpha = module_case(6)
    order = np.array([2, 0, 3, 1])
    other = Module(module.encoder[:, order], module.encoder_bias[order], module.decoder[order], module.decoder_bias)
    ours, theirs = log_responsibilities(other, x), log_responsibilities(module, x)
    np.testing.assert_allclose(ours, theirs[:, order], rtol=1e-12)
    values = [float(total(name, m, x, weight, a)) for m in (module, other) for a in (alpha, alpha[order])]
    assert values == pytest.approx([values[0]] * 4, rel=1e-12)


def test_with_hard_assignment_to_k_means_the_loss_is_its_inertia(float64):
    """On data without structure, so that E0 is large."""
    x = np.random.default_rng(0).normal(size=(80, 5))
    found = KMeans(6, n_init=3, random_state=0).fit(x)
    mu, sharp = found.cluster_centers_, 1e6  # the logits of the nearest centroid: 2 x.mu - |mu|^2
    bias = np.full(5, 0.3)
    module = Module(*map(jnp.array, (2 * sharp * mu.T, -sharp * (mu**2).sum(1), mu - bias, bias)))
    terms = cm_training.cm_terms(module, jnp.array(x), jnp.ones(80), jnp.ones(6))
    assert float(terms["sparsity"]) == pytest.approx(0, abs=1e-9)
    assert float(sum(terms.values())) == pytest.approx(found.inertia_, rel=1e-9)


# steps


def linear(dim, p):
    """A pair of coders that a test can follow, in the type of its input."""

    def start(key, size):
        first, second = jax.random.split(key)
        return {"encoder": jax.random.normal(first, (dim, p)), "decoder": jax.random.normal(second, (p, dim))}, {}

    return Coders(
        init=start,
        encode=lambda params, stats, x, weight: (x @ params["encoder"], stats),
        decode=lambda params, stats, code, weight: (code @ params["decoder"], stats),
        embed=lambda params, stats, images: images @ params["encoder"],
        picture=lambda params, stats, codes: codes @ params["decoder"],
        target=lambda images: images,
        random=lambda state, x: x,
        size=2 * dim * p,
    )


def method_of(name, length):
    if name == "cm":
        return cm_training.clustering_module(cm.Config(n_clusters=K, alpha=ALPHA), K, DIM, length, None)
    config = cm.AEConfig(n_clusters=K, alpha=ALPHA, latent_dim=2, beta=0.6, orthonormality=0.7)
    return cm_training.ae_clustering_module(config, K, length, linear(DIM, 2))


def begun(name, length=cm_training.Length(8, 2)):  # noqa: B008
    training = method_of(name, length)
    _, x, weight, _ = module_case(7)
    return training, training.init(jax.random.key(0), x.shape), Batch(x, jnp.arange(ROWS), weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cm", "ae-cm"])
def test_a_step_follows_the_gradient_of_the_summed_loss(float64, name):
    """Adam's first moment after one step is a tenth of the gradient."""
    training, state, batch = begun(name)

    def loss(params):
        return training.step(state._replace(params=params), batch)[1]["loss"] * batch.weight.sum()

    new, terms = jax.jit(training.step)(state, batch)
    gradient = 10 * ravel_pytree(new.opt_state[0].mu)[0]
    assert gradient.dtype == jnp.float64
    np.testing.assert_allclose(gradient, differences(loss, state.params), rtol=1e-6, atol=1e-6)
    assert float(terms["loss"]) == pytest.approx(sum(float(v) for k, v in terms.items() if k != "loss"), rel=1e-12)


def test_the_terms_of_a_joint_step_by_numpy(float64):
    training, state, batch = begun("ae-cm")
    _, terms = jax.jit(training.step)(state, batch)
    x, encoder, decoder = (np.asarray(a) for a in (batch.image, state.params["encoder"], state.params["decoder"]))
    error = ((x @ encoder @ decoder - x) ** 2)[:-1].sum() / (ROWS - 1)
    assert float(terms["reconstruction"]) == pytest.approx(0.6 * error, rel=1e-12)
    expected = cm_training.ae_cm_terms(
        state.params["module"], jnp.array(x @ encoder), batch.weight, jnp.array(ALPHA), 0.7
    )
    for term, value in expected.items():
        assert float(terms[term]) == pytest.approx(float(value) / (ROWS - 1), rel=1e-12)


@pytest.mark.parametrize("name", ["cm", "ae-cm"])
def test_padding_does_not_change_a_step(float64, name):
    training, state, batch = begun(name)
    whole = Batch(batch.image[:-1], batch.index[:-1], batch.weight[:-1])
    (a, seen), (b, seen_padded) = (jax.jit(training.step)(state, one) for one in (whole, batch))
    np.testing.assert_allclose(ravel_pytree(a.params)[0], ravel_pytree(b.params)[0], rtol=1e-12)
    assert float(seen["loss"]) == pytest.approx(float(seen_padded["loss"]), rel=1e-12)


@pytest.mark.parametrize("name", ["cm", "ae-cm"])
def test_the_averaging_epoch(float64, name):
    """Before it the mean stays zero; in it, it is the plain mean of the parameters after its steps so far."""
    training, state, batch = begun(name, cm_training.Length(steps=7, averaged=3))
    assert not ravel_pytree(state.extra["mean"])[0].any()
    step, visited = jax.jit(training.step), []
    for i in range(7):
        state, _ = step(state, batch._replace(image=batch.image + 0.1 * i))
        mean = ravel_pytree(state.extra["mean"])[0]
        visited.append(np.asarray(ravel_pytree(state.params)[0]))
        expected = np.mean(visited[4:], axis=0) if i >= 4 else np.zeros_like(visited[0])
        np.testing.assert_allclose(mean, expected, rtol=1e-9, atol=1e-14)
    assert jax.tree.structure(state.extra["mean"]) == jax.tree.structure(state.params)
    assert np.abs(visited[4] - visited[6]).max() > 1e-4


def test_concentrations():
    weight = jnp.array([1.0] * 8 + [0.0] * 4)
    for alpha, expected in ((5.0, [5, 5, 5]), ((2.0, 7.0, 3.0), [2, 7, 3]), ("auto", [3, 3, 3])):
        found = cm_training.concentrations(cm.Config(n_clusters=3, alpha=alpha), 3, weight)
        np.testing.assert_array_equal(found, expected)


# config


@pytest.mark.parametrize("config", [cm.Config, cm.AEConfig])
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("alpha", {"alpha": 0.0}),
        ("alpha", {"alpha": -1.0}),
        ("alpha", {"alpha": (2.0, 0.0, 3.0), "n_clusters": 3}),
        ("alpha", {"alpha": (2.0, 3.0), "n_clusters": 3}),
        ("alpha", {"alpha": (2.0, 3.0), "n_clusters": "auto"}),
        ("epochs", {"epochs": 0}),
        ("restarts", {"restarts": 0}),
        ("batch_size", {"batch_size": 0}),
        ("learning_rate", {"learning_rate": 0.0}),
    ],
    ids=str,
)
def test_what_a_config_refuses_it_names_in_one_line(config, field, values):
    with pytest.raises(InputError, match=f"^{field} ") as caught:
        config(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [{"hidden": (16, 0)}, {"latent_dim": 0}, {"width": 0.0}], ids=str)
def test_what_an_autoencoders_config_refuses(values):
    (field,) = values
    with pytest.raises(InputError, match=f"^{field} is ") as caught:
        cm.AEConfig(**values)
    assert "\n" not in str(caught.value)


# what a fitted module can do


def arrays_of(module, deviation):
    return {"module": module._asdict(), "deviation": jnp.array(deviation)}


def test_answers_against_numpy(float64):
    module, x, _, _ = module_case(8)
    g, mu = slow(module, x)
    found = answers(None, Extent((DIM,), 0, 0), arrays_of(module, np.ones(K)), x)
    np.testing.assert_allclose(found["responsibilities"], g, rtol=1e-12)
    distances = ((np.asarray(x)[:, None] - mu[None]) ** 2).sum(-1)
    np.testing.assert_allclose(found["spread"], g * distances / DIM, rtol=1e-9)
    variance = (g * (mu**2).sum(-1)).sum(-1) - ((g @ mu) ** 2).sum(-1)  # of the centroids, drawn by g
    np.testing.assert_allclose(found["ambiguity"], variance, rtol=1e-9)


def test_functions_of_the_module_alone():
    extent, (module, x, _, _) = Extent((DIM,), 0, 0), module_case(9)
    arrays, can = arrays_of(module, [0.0, 0.5, 1.0, 2.0]), functions(None, extent)
    g, mu = slow(module, x)
    np.testing.assert_allclose(can.embed(arrays, x), x @ module.encoder + module.encoder_bias, rtol=1e-5)
    np.testing.assert_allclose(np.exp(can.log_posterior(arrays, x)), g, rtol=1e-5)
    np.testing.assert_allclose(can.reconstruct(arrays, x), g @ mu, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(can.centroids(arrays), mu, rtol=1e-6)
    np.testing.assert_array_equal(can.decode(arrays, can.centroids(arrays)), can.centroids(arrays))
    nearest = ((np.asarray(x)[:, None] - mu[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(can.second_opinion(arrays, x), nearest)
    assert not np.array_equal(nearest, g.argmax(1)), "the two criteria differ here"
    drawn = [np.asarray(can.sample(arrays, jax.random.key(0), 4000, jnp.int32(k))) for k in range(K)]
    np.testing.assert_allclose(drawn[0], np.tile(mu[0], (4000, 1)), rtol=1e-5)  # without deviation
    for k, deviation in ((1, 0.5), (3, 2.0)):
        np.testing.assert_allclose(drawn[k].mean(0), mu[k], atol=5 * deviation / np.sqrt(4000))
        np.testing.assert_allclose(drawn[k].std(0), deviation, rtol=0.06)


@pytest.mark.slow
def test_functions_with_an_autoencoder_are_those_of_its_codes():
    extent = Extent((DIM,), 0, 0)
    pair = coders(CoderConfig(hidden=(5,), latent_dim=2), extent)
    params, stats = pair.init(jax.random.key(0), ROWS)
    module, _, _, _ = module_case(10, dim=2)
    x = module_case(10)[1]
    arrays = {**arrays_of(module, np.zeros(K)), "params": params, "stats": stats}
    can, z = functions(pair, extent), pair.embed(params, stats, x)
    np.testing.assert_allclose(can.embed(arrays, x), z)
    np.testing.assert_allclose(np.exp(can.log_posterior(arrays, x)), slow(module, z)[0], rtol=1e-5)
    np.testing.assert_allclose(can.reconstruct(arrays, x), pair.picture(params, stats, z))
    decoded = can.decode(arrays, can.centroids(arrays))
    assert decoded.shape == (K, DIM)
    drawn = can.sample(arrays, jax.random.key(0), 2, jnp.int32(3))
    np.testing.assert_allclose(drawn, np.tile(decoded[3], (2, 1)), rtol=1e-5, atol=1e-6)
