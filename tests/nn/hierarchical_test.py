"""The hierarchy of latent groups: its sizes, what depends on what, and whose statistics the critics take."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxclust.nn.hierarchical import Critic, Hierarchy, Instead

rng = np.random.default_rng(0)


def network(side=16, groups=2, channels=3, **options):
    """A hierarchy and six examples for it."""
    shape = (side, side, channels) if channels else (side,)
    net = Hierarchy(shape, groups, 5, width=0.1, min_filters=3, **{"form": "native", **options})
    return net, jnp.asarray(rng.random((6, *shape)), jnp.float32)


@partial(jax.jit, static_argnums=0)
def started(net, x):
    return net.init(jax.random.key(0), x, None, None, True)


@partial(jax.jit, static_argnums=0)
def walked(net, variables, x, noise=None, instead=None):
    return net.apply(variables, x, noise, None, False, instead)


@partial(jax.jit, static_argnums=0)
def trained(net, variables, x, weight):
    return net.apply(variables, x, None, weight, True, mutable=["batch_stats"])


@partial(jax.jit, static_argnums=0)
def decoded(net, variables, z, noise=None):
    return net.apply(variables, z, noise, method=net.decode)


def built(side=16, groups=2, channels=3, **options):
    net, x = network(side, groups, channels, **options)
    return net, started(net, x), x


def shapes(side, groups, channels=3, **options):
    """The hierarchy's parameters, its walk and the encoder's maps, as shapes alone, and the examples."""
    net, x = network(side, groups, channels, **options)
    variables = jax.eval_shape(partial(started, net), x)
    return variables, *jax.eval_shape(partial(walked, net), variables, x), x


def noise_for(groups=3, seed=0):
    """Standard normal noise for each group of a hierarchy of images of 16 x 16."""
    _, walk, _, _ = shapes(16, groups)
    return tuple(jax.random.normal(jax.random.key(seed + i), code.shape) for i, code in enumerate(walk.codes))


@pytest.mark.slow
@pytest.mark.parametrize(("side", "groups"), [(4, 1), (8, 1), (8, 2), (16, 3), (32, 4)])
def test_maps_of_encoder_and_decoder_have_one_size(side, groups):
    _, walk, seen, x = shapes(side, groups)
    assert [maps.shape[1] for maps in seen] == [2 ** (level + 1) for level in range(len(seen))]
    assert seen[-1].shape[1] == side // 2
    assert [maps.shape for maps in walk.maps] == [maps.shape for maps in seen[:groups]]
    assert walk.output.shape == x.shape
    assert [code.shape for code in walk.codes] == [(6, 5), *((6, 2 * 4 ** (level + 1)) for level in range(1, groups))]
    assert len(walk.posteriors) == len(walk.priors) == groups


def test_features_go_through_two_dense_cells():
    _, walk, seen, _ = shapes(7, 2, channels=0)
    assert [maps.shape for maps in seen] == [(6, 26), (6, 51)]
    assert [code.shape for code in walk.codes] == [(6, 5), (6, 5)]
    assert walk.output.shape == (6, 7)


def test_one_group_has_no_combiners_and_no_priors():
    variables, *_ = shapes(16, 1)
    assert not [name for name in variables["params"] if "combiner" in name or "prior" in name]
    variables, *_ = shapes(16, 3)
    assert len([name for name in variables["params"] if name.startswith("priors")]) == 2


@pytest.mark.slow
def test_codes_are_draws_of_the_posterior_and_without_noise_its_means():
    net, variables, x = built(groups=3)
    noise = noise_for()
    drawn, _ = walked(net, variables, x, noise)
    means, _ = walked(net, variables, x)
    for level in range(3):
        q = drawn.posteriors[level]
        np.testing.assert_allclose(drawn.codes[level], q.mean + np.exp(q.log_var / 2) * noise[level], atol=1e-6)
        np.testing.assert_array_equal(means.codes[level], means.posteriors[level].mean)
        assert (q.log_var <= 0).all(), "variances are at most one"
    np.testing.assert_array_equal(drawn.priors[0].mean, 0)
    np.testing.assert_array_equal(drawn.priors[0].log_var, 0)


@pytest.mark.slow
def test_a_group_depends_on_those_above_it_alone():
    net, variables, x = built(groups=3)
    noise = noise_for()
    one, _ = walked(net, variables, x, noise)
    other, _ = walked(net, variables, x, (noise[0], noise[1] + 1, noise[2]))
    np.testing.assert_array_equal(one.codes[0], other.codes[0])
    np.testing.assert_array_equal(one.posteriors[1].mean, other.posteriors[1].mean)
    np.testing.assert_array_equal(one.priors[1].mean, other.priors[1].mean)
    for kind in ("posteriors", "priors"):
        change = getattr(one, kind)[2].mean - getattr(other, kind)[2].mean
        assert np.abs(change).max() > 1e-4
    assert np.abs(one.output - other.output).max() > 1e-4


@pytest.mark.slow
def test_without_an_example_lower_groups_come_from_their_priors():
    net, variables, _ = built(groups=3)
    noise = noise_for()
    walk = decoded(net, variables, noise[0], noise)
    assert walk.posteriors == ()
    np.testing.assert_array_equal(walk.codes[0], noise[0])
    for level in (1, 2):
        prior = walk.priors[level]
        np.testing.assert_allclose(walk.codes[level], prior.mean + np.exp(prior.log_var / 2) * noise[level], atol=1e-6)
    plain = decoded(net, variables, noise[0])
    np.testing.assert_array_equal(plain.codes[2], plain.priors[2].mean)


@pytest.mark.slow
def test_an_example_may_get_its_lower_groups_from_their_priors():
    net, variables, x = built(groups=3)
    noise, others = noise_for(), noise_for(seed=9)
    plain, _ = walked(net, variables, x, noise)
    which = jnp.arange(6) < 2
    mixed, _ = walked(net, variables, x, noise, Instead(which, others))
    generated = decoded(net, variables, plain.codes[0], others)
    np.testing.assert_allclose(mixed.output[:2], generated.output[:2], atol=1e-5)
    np.testing.assert_array_equal(mixed.output[2:], plain.output[2:])
    np.testing.assert_array_equal(mixed.codes[1], plain.codes[1], err_msg="what the critic sees is the encoder's")
    assert np.abs(mixed.output[:2] - plain.output[:2]).max() > 1e-4


@pytest.mark.slow
def test_an_example_s_output_is_its_own_and_padding_changes_nothing():
    net, variables, x = built(8, groups=2)
    together, _ = walked(net, variables, x)
    alone, _ = walked(net, variables, x[2:3])
    np.testing.assert_allclose(together.output[2:3], alone.output, atol=1e-5)
    padded, weight = jnp.concatenate([x, 9 * x[:2]]), jnp.array([1.0] * 6 + [0.0] * 2)
    (whole, _), stats = trained(net, variables, x, jnp.ones(6))
    (part, _), others = trained(net, variables, padded, weight)
    np.testing.assert_allclose(part.output[:6], whole.output, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), stats, others)


@pytest.mark.slow
def test_both_forms_of_convolutions_agree():
    net, variables, x = built(groups=2, form="patches")
    native, _ = network(groups=2, form="native")
    one, other = walked(net, variables, x)[0], walked(native, variables, x)[0]
    np.testing.assert_allclose(one.output, other.output, atol=1e-4)


def test_extra_layers_keep_the_sizes():
    variables, walk, _, x = shapes(16, 2, encoder_extra=1, decoder_extra=2)
    assert walk.output.shape == x.shape
    assert {"Conv_0", "Conv_1"} <= set(variables["params"]["down_0"])
    assert {"ConvTranspose_0", "Conv_0", "Conv_1"} <= set(variables["params"]["up_0"])


def test_critic_gives_one_number_a_code():
    critic = Critic((8,))
    z = jax.random.normal(jax.random.key(0), (10, 4))
    variables = jax.eval_shape(lambda z: critic.init(jax.random.key(1), z, None, True), z)
    judge = partial(critic.apply, train=True, mutable=["batch_stats"])
    out, stats = jax.eval_shape(judge, variables, z, jnp.ones(10))
    assert out.shape == (10,)
    assert jax.tree.leaves(stats)
