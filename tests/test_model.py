import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE, generate, log_joint, log_weight, make_log_weight, reconstruct
from jaxvae.decoders import DenseDecoder
from jaxvae.encoders import DenseEncoder
from jaxvae.likelihoods import Bernoulli, Likelihood
from jaxvae.posteriors import GaussianPosterior
from jaxvae.priors import StandardNormal
from tests import helpers

SHAPE = (2, 3, 5)


def make_model(key, *, label_dim=0, scale="softplus", widths=(6,)):
    encoder = DenseEncoder(SHAPE, 4, (8, 7), scale=scale, label_dim=label_dim, key=key)
    decoder = DenseDecoder(4, SHAPE, widths, label_dim=label_dim, key=key)
    return VAE(GaussianPosterior(encoder), StandardNormal(4), Likelihood(decoder, Bernoulli))


@pytest.fixture
def image():
    return jax.random.bernoulli(jax.random.key(7), shape=SHAPE).astype(jnp.float32)


@pytest.mark.parametrize("scale", ["softplus", "exp"])
def test_the_three_functions_have_the_events_of_the_contract(key, image, scale):
    model = make_model(key, scale=scale)
    assert model.posterior(image).event_shape == (4,)
    assert model.prior().event_shape == (4,)
    assert model.likelihood(jnp.zeros(4)).event_shape == SHAPE
    loc, raw = jnp.split(model.posterior.encoder.mlp(image.ravel()), 2)
    z, log_q = model.posterior(image).sample_and_log_prob(seed=key)
    deviation = {"softplus": jax.nn.softplus, "exp": jnp.exp}[scale](raw)
    exact = jnp.sum(jax.scipy.stats.norm.logpdf(z, loc, deviation))
    np.testing.assert_allclose(log_q, exact, rtol=1e-4)


def test_log_weight_is_the_log_joint_less_the_log_posterior(key):
    model = helpers.linear_gaussian()
    z, log_q = model.posterior(helpers.X).sample_and_log_prob(seed=key)
    expected = log_joint(model, z, helpers.X) - log_q
    np.testing.assert_allclose(log_weight(model, key, helpers.X), expected, rtol=1e-6)
    np.testing.assert_allclose(make_log_weight(model, helpers.X)(key), expected, rtol=1e-6)


def test_the_image_is_encoded_once_for_all_draws(key):
    model, calls = helpers.linear_gaussian(), []

    def counting(x, y=None):
        calls.append(1)
        return model.posterior(x, y)

    log_weight_fn = make_log_weight(VAE(counting, model.prior, model.likelihood), helpers.X)
    assert log_weight_fn(key) != log_weight_fn(jax.random.key(1))
    assert len(calls) == 1


def test_log_joint_is_the_sum_of_its_parts_in_closed_form():
    z = jnp.array([0.4, -1.1])
    residual = helpers.X.ravel() - helpers.WEIGHT @ z - helpers.BIAS
    log_p_x_given_z = -0.5 * np.sum(residual**2) / helpers.NOISE**2
    log_p_x_given_z -= helpers.NUM_PIXELS * np.log(helpers.NOISE * np.sqrt(2 * np.pi))
    log_p_z = -0.5 * np.sum(z**2) - np.log(2 * np.pi)
    value = log_joint(helpers.linear_gaussian(), z, helpers.X)
    np.testing.assert_allclose(value, log_p_x_given_z + log_p_z, rtol=1e-5)


def test_shapes_under_jit_and_vmap(key, image):
    model = make_model(key)
    keys, images = jax.random.split(key, 5), jnp.stack([image] * 5)
    chex.assert_shape(jax.jit(jax.vmap(lambda k, x: log_weight(model, k, x)))(keys, images), (5,))
    chex.assert_shape(jax.jit(jax.vmap(lambda k, x: reconstruct(model, k, x)))(keys, images), (5, *SHAPE))
    generated = jax.jit(jax.vmap(lambda k: generate(model, k)))(keys)
    chex.assert_shape(generated, (5, *SHAPE))
    assert jnp.all((generated > 0) & (generated < 1))


def test_generated_and_reconstructed_images_are_means_where_there_is_one(key):
    model = helpers.linear_gaussian()
    for z, image in (
        (model.prior().sample(seed=key), generate(model, key)),
        (model.posterior(helpers.X).sample(seed=key), reconstruct(model, key, helpers.X)),
    ):
        np.testing.assert_array_equal(image, model.likelihood(z).mean())


def test_a_label_changes_the_posterior_and_the_likelihood(key, image):
    model = make_model(key, label_dim=3)
    one, two = jnp.eye(3)[0], jnp.eye(3)[1]
    assert log_weight(model, key, image, one) != log_weight(model, key, image, two)
    assert jnp.any(model.posterior(image, one).mean() != model.posterior(image, two).mean())
    assert jnp.any(generate(model, key, one) != generate(model, key, two))


def test_trainable_leaves_are_the_weights_and_biases_alone(key):
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(make_model(key), eqx.is_inexact_array))
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    encoder, decoder = ".posterior.encoder.mlp.layers", ".likelihood.decoder.mlp.layers"
    assert names == [
        *(f"{encoder}[{i}].{leaf}" for i in range(3) for leaf in ("weight", "bias")),
        *(f"{decoder}[{i}].{leaf}" for i in range(2) for leaf in ("weight", "bias")),
    ]


def test_every_parameter_has_a_finite_gradient_that_is_not_zero(key, image):
    gradient = eqx.filter_grad(lambda m: log_weight(m, key, image))(make_model(key))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


def test_an_unknown_scale_is_refused_with_the_near_names(key):
    with pytest.raises(
        ValueError, match=r"Expected scale to be one of exp, softplus; got 'softplu' \(near: soft"
    ):
        DenseEncoder(SHAPE, 4, scale="softplu", key=key)


def test_an_image_of_another_shape_is_refused(key):
    with pytest.raises(AssertionError):
        make_model(key).posterior(jnp.zeros((1, 3, 5)))


@pytest.mark.parametrize("size", [-80.0, 80.0])
def test_a_wild_encoder_s_exponential_scale_stays_finite_and_positive(key, image, size):
    encoder = DenseEncoder(SHAPE, 4, (8, 7), scale="exp", scale_bias=size, key=key)
    assert jnp.isfinite(jnp.log(encoder(image).scale)).all()
