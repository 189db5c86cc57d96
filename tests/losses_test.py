"""Loss terms against hand-worked values, SciPy and float64 formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy as scipy_entropy
from scipy.stats import multivariate_normal

from jaxclust import losses


@pytest.fixture(autouse=True)
def _strict_types():
    """JAX promotes none."""
    with jax.numpy_dtype_promotion("strict"):
        yield


def test_bernoulli_reconstruction_by_hand():
    logits = jnp.log(jnp.array([[0.25 / 0.75, 0.9 / 0.1]]))  # probabilities 0.25 and 0.9
    value = losses.bernoulli_reconstruction(logits, jnp.array([[1.0, 0.0]]))
    np.testing.assert_allclose(value, [-np.log(0.25) - np.log(0.1)], rtol=1e-6)


def test_bernoulli_reconstruction_is_finite_at_extreme_logits():
    logits = jnp.array([[1e4, -1e4]])
    images = jnp.array([[0.0, 1.0]])
    value, grad = jax.value_and_grad(lambda x: losses.bernoulli_reconstruction(x, images).sum())(logits)
    assert value == pytest.approx(2e4)
    assert np.isfinite(grad).all()


def test_gaussian_reconstruction_sums_over_pixels():
    images = jnp.zeros((2, 2, 2, 1))
    output = images.at[1].set(0.5)
    np.testing.assert_allclose(losses.gaussian_reconstruction(output, images), [0.0, 1.0])


def test_kl_against_monte_carlo():
    mean, log_var = np.array([0.7, -1.0]), np.log(np.array([0.5, 2.0]))
    rng = np.random.default_rng(0)
    z = mean + np.exp(log_var / 2) * rng.normal(size=(200_000, 2))
    q = multivariate_normal(mean, np.diag(np.exp(log_var))).logpdf(z)
    ratio = q - multivariate_normal(np.zeros(2), np.eye(2)).logpdf(z)
    exact = float(losses.kl_standard_normal(jnp.array([mean]), jnp.array([log_var])).sum())
    assert abs(exact - ratio.mean()) < 4 * ratio.std() / np.sqrt(len(z))


def test_soft_label_kl_matches_scipy_and_is_zero_at_the_target():
    target = np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]])
    p = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    value = losses.soft_label_kl(jnp.log(jnp.array(p)), jnp.array(target))
    np.testing.assert_allclose(value, [scipy_entropy(target[0], p[0]), 0.0], atol=1e-6)


def test_entropies_of_one_hot_and_balanced_assignments():
    weight = jnp.ones(4)
    one_hot = jnp.eye(4)
    assert float(losses.sample_entropy(one_hot, weight)) == 0.0
    assert float(losses.negative_batch_entropy(one_hot, weight)) == pytest.approx(-np.log(4))
    collapsed = jnp.zeros((4, 4)).at[:, 0].set(1.0)
    assert float(losses.negative_batch_entropy(collapsed, weight)) == 0.0
    uniform = jnp.full((4, 4), 0.25)
    assert float(losses.sample_entropy(uniform, weight)) == pytest.approx(np.log(4))


def test_padding_leaves_the_entropies_alone():
    p = jnp.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    weight = jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(losses.sample_entropy(p, weight), losses.sample_entropy(p[:2], jnp.ones(2)), rtol=1e-6)
    np.testing.assert_allclose(
        losses.negative_batch_entropy(p, weight), losses.negative_batch_entropy(p[:2], jnp.ones(2)), rtol=1e-6
    )


def test_entropy_gradients_are_finite_at_one_hot_rows():
    grad = jax.grad(lambda p: losses.sample_entropy(p, jnp.ones(3)))(jnp.eye(3))
    assert np.isfinite(grad).all()


def slow_mmd(x, y):
    n, d = x.shape
    total = 0.0
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        c = 2 * d * scale

        def k(a, b, c=c):
            return c / (c + ((a - b) ** 2).sum())

        for i in range(n):
            for j in range(n):
                if i != j:
                    total += (k(x[i], x[j]) + k(y[i], y[j])) / (n * (n - 1))
                total -= 2 * k(x[i], y[j]) / n**2
    return total


@pytest.mark.slow
def test_mmd_against_loops_and_padding():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 3)) + 1
    value = losses.maximum_mean_discrepancy(jnp.array(x), jnp.array(y), jnp.ones(6))
    np.testing.assert_allclose(value, slow_mmd(x, y), rtol=1e-4)
    padded = [jnp.concatenate([jnp.array(a), jnp.full((2, 3), 9.0)]) for a in (x, y)]
    weight = jnp.array([1.0] * 6 + [0.0] * 2)
    np.testing.assert_allclose(losses.maximum_mean_discrepancy(*padded, weight), value, rtol=1e-4)


def test_mmd_tells_distributions_apart():
    rng = np.random.default_rng(1)
    a, b, far = (jnp.array(rng.normal(size=(300, 2)) + shift) for shift in (0, 0, 2))
    near = abs(float(losses.maximum_mean_discrepancy(a, b, jnp.ones(300))))
    assert near < 0.05 < float(losses.maximum_mean_discrepancy(a, far, jnp.ones(300)))


# The clustering module (Boubekki et al. 2021)


def module_case(seed, b=7, k=5, d=3):
    """Random responsibilities (b, k), centroids (k, d) and examples (b, d), float64."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(k, 0.5), b), 3 * rng.normal(size=(k, d)) + 1, 4 * rng.normal(size=(b, d))


@pytest.mark.parametrize("seed", range(3))
def test_the_mixtures_expected_squared_distance_is_reconstruction_and_sparsity_less_overlap(float64, seed):
    g, mu, x = module_case(seed)
    distances = ((x[:, None] - mu[None]) ** 2).sum(-1)
    e0 = losses.gaussian_reconstruction(jnp.array(g @ mu), jnp.array(x))
    e1 = losses.responsibility_sparsity(jnp.array(g), jnp.array((mu**2).sum(-1)))
    e2 = losses.responsibility_overlap(jnp.array(g), jnp.array(mu))
    assert e2.dtype == jnp.float64
    np.testing.assert_allclose(e0 + e1 - e2, (g * distances).sum(-1), rtol=1e-12)


def test_sparsity_less_overlap_of_two_clusters_by_hand(float64):
    g = jnp.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    mu = jnp.array([[1.0, 2.0], [4.0, -2.0]])  # 5 apart
    value = losses.responsibility_sparsity(g, (mu**2).sum(-1)) - losses.responsibility_overlap(g, mu)
    np.testing.assert_allclose(value, [25 * 3 / 16, 25 / 4, 0.0], rtol=1e-12, atol=1e-12)


def test_sparsity_by_hand_with_and_without_norms():
    g = jnp.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(losses.responsibility_sparsity(g), [0.25 + 2 * 3 / 16, 0.0])
    norms = jnp.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(losses.responsibility_sparsity(g, norms), [0.25 + 6 * 3 / 16, 0.0])


def test_overlap_against_loops(float64):
    g, mu, _ = module_case(3)
    expected = np.zeros(len(g))
    for i in range(len(g)):
        for k in range(len(mu)):
            for other in range(len(mu)):
                if k != other:
                    expected[i] += g[i, k] * g[i, other] * (mu[k] @ mu[other])
    np.testing.assert_allclose(losses.responsibility_overlap(jnp.array(g), jnp.array(mu)), expected, rtol=1e-12)


def test_balance_is_the_divergence_from_uniform_up_to_a_constant(float64):
    g, _, _ = module_case(4, b=9, k=4)
    value = losses.dirichlet_balance(jnp.array(g), jnp.ones(9), jnp.full(4, 1 + 1 / 4))
    assert float(value) == pytest.approx(scipy_entropy(np.full(4, 1 / 4), g.mean(0)) + np.log(4), rel=1e-8)


def test_balance_gives_the_largest_alpha_to_the_largest_share():
    g = jnp.array([[0.5, 0.125, 0.375], [0.5, 0.125, 0.375]])
    expected = (1 - 2) * np.log(0.125) + (1 - 3) * np.log(0.375) + (1 - 7) * np.log(0.5)
    for alpha in ([2.0, 3.0, 7.0], [7.0, 2.0, 3.0], [3.0, 7.0, 2.0], [7.0, 3.0, 2.0]):
        value = losses.dirichlet_balance(g, jnp.ones(2), jnp.array(alpha))
        assert float(value) == pytest.approx(expected, rel=1e-6)


def test_balance_is_finite_where_a_cluster_is_empty():
    g = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    value, grad = jax.value_and_grad(losses.dirichlet_balance)(g, jnp.ones(2), jnp.array([2.0, 2.0]))
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


def test_padding_leaves_the_balance_alone():
    g = jnp.array([[0.5, 0.25, 0.25], [0.125, 0.25, 0.625], [0.9, 0.1, 0.0]])
    alpha = jnp.array([2.0, 5.0, 3.0])
    value = losses.dirichlet_balance(g, jnp.array([1.0, 1.0, 0.0]), alpha)
    np.testing.assert_allclose(value, losses.dirichlet_balance(g[:2], jnp.ones(2), alpha), rtol=1e-6)


def test_orthonormality_by_hand():
    """Three centroids in two dimensions: mu mu^T is 3 x 3, and mu^T mu would be another sum."""
    mu = jnp.array([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])
    off_diagonal = 2 * (0 + 1 + 2)
    assert float(losses.orthonormality(mu)) == pytest.approx(0 + 3 + 1 + off_diagonal)
    assert float(losses.orthonormality(jnp.eye(3, 5))) == 0.0


def two_gaussians():
    """Means and variances (5,) of two Gaussians."""
    rng = np.random.default_rng(1)
    return rng.normal(size=5), rng.uniform(0.3, 2, 5), rng.normal(size=5), rng.uniform(0.3, 2, 5)


def test_gaussian_kl_and_density_against_scipy_and_monte_carlo(float64):
    mean, var, other, other_var = two_gaussians()
    p, q = multivariate_normal(mean, np.diag(var)), multivariate_normal(other, np.diag(other_var))
    x = p.rvs(200_000, random_state=0)
    np.testing.assert_allclose(losses.gaussian_log_density(jnp.array(x[:9]), mean, var), p.logpdf(x[:9]), rtol=1e-12)
    exact = float(losses.gaussian_kl(*map(jnp.array, (mean, var, other, other_var))))
    ratio = p.logpdf(x) - q.logpdf(x)
    assert abs(exact - ratio.mean()) < 4 * ratio.std() / np.sqrt(len(x))  # standard error 0.005 of 3.4
    assert float(losses.gaussian_kl(*map(jnp.array, (mean, var, mean, var)))) == pytest.approx(0, abs=1e-12)
    standard = losses.kl_standard_normal(jnp.array([mean]), jnp.log(jnp.array([var]))).sum()
    assert float(losses.gaussian_kl(jnp.array(mean), jnp.array(var), 0.0, 1.0)) == pytest.approx(float(standard))


def test_squared_wasserstein_against_the_matrix_formula_and_a_sorted_sample(float64):
    mean, var, other, other_var = two_gaussians()
    root = np.sqrt(other_var)
    middle = np.diag(np.sqrt(root * var * root))  # (C2^1/2 C1 C2^1/2)^1/2
    by_matrices = ((mean - other) ** 2).sum() + np.trace(np.diag(var) + np.diag(other_var) - 2 * middle)
    exact = losses.squared_wasserstein(*map(jnp.array, (mean, var, other, other_var)))
    np.testing.assert_allclose(exact, by_matrices, rtol=1e-12)
    rng = np.random.default_rng(0)  # in one dimension the best plan sorts
    pairs = [np.sort(rng.normal(m, np.sqrt(v), 400_000)) for m, v in ((mean[0], var[0]), (other[0], other_var[0]))]
    one = losses.squared_wasserstein(*(jnp.array([value[0]]) for value in (mean, var, other, other_var)))
    np.testing.assert_allclose(((pairs[0] - pairs[1]) ** 2).mean(), one, rtol=0.02)  # standard error 0.4 %


def test_pairs_by_hand():
    favoured, other = jnp.array([1.0, 0.0, -2.0]), jnp.array([0.0, 0.0, 1.0])
    expected = np.log1p(np.exp([-1.0, 0.0, 3.0]))
    np.testing.assert_allclose(losses.relativistic_pair(favoured, other), expected, rtol=1e-6)
    alone = np.log1p(np.exp(-np.array(favoured))) + np.log1p(np.exp(np.array(other)))
    np.testing.assert_allclose(losses.standard_pair(favoured, other), alone, rtol=1e-6)


def test_a_relativistic_pair_knows_differences_alone():
    a, b = jnp.array([0.3, -1.0, 4.0]), jnp.array([2.0, 0.5, -3.0])
    pair = losses.relativistic_pair
    np.testing.assert_allclose(pair(a, b) - pair(b, a), b - a, rtol=1e-5, err_msg="log f(x) - log f(-x) = x")
    np.testing.assert_allclose(pair(a + 7, b + 7), pair(a, b), rtol=1e-5)
    of_a, of_b = jax.grad(lambda a, b: pair(a, b).sum(), argnums=(0, 1))(a, b)
    np.testing.assert_allclose(of_a, -(1 - jax.nn.sigmoid(a - b)), rtol=1e-3)
    np.testing.assert_allclose(of_a, -of_b, rtol=1e-6)


@pytest.mark.parametrize("pair", [losses.relativistic_pair, losses.standard_pair])
def test_pairs_are_finite_at_extreme_values(pair):
    value, grads = jax.value_and_grad(lambda x: pair(x, -x).sum())(jnp.array([1e4, -1e4]))
    assert np.isfinite(value)
    assert np.isfinite(grads).all()


def test_cosine_dissimilarity_by_hand():
    x = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [3.0, 4.0]]).reshape(4, 1, 2, 1)
    y = jnp.array([[5.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [4.0, 3.0]]).reshape(4, 1, 2, 1)
    np.testing.assert_allclose(losses.cosine_dissimilarity(x, y), [0.0, 1.0, 2.0, 1 - 24 / 25], atol=1e-6)
    zero = jnp.zeros((1, 4))
    value, grad = jax.value_and_grad(lambda x: losses.cosine_dissimilarity(x, zero).sum())(zero)
    assert value == 1
    assert np.isfinite(grad).all()
