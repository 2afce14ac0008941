"""The distribution of an autoregressive decoder, and a VAE with it."""

import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE, generate, log_weight, reconstruct
from jaxvae.decoders import DenseDecoder
from jaxvae.encoders import DenseEncoder
from jaxvae.likelihoods import Bernoulli
from jaxvae.nn import PixelCNN, initialize_from_data
from jaxvae.pixelcnn import AutoregressiveBernoulli, PixelCNNLikelihood
from jaxvae.posteriors import GaussianPosterior
from jaxvae.priors import StandardNormal
from tests.flows.table import perturb

pytestmark = pytest.mark.usefixtures("compile_fast")

OPTIONS = {"num_layers": 1, "maps": 4, "first_kernel_size": 3, "kernel_size": 3}


def make_distribution(key, shape):
    network = perturb(PixelCNN(shape, 2, key=key, **OPTIONS), key, 0.3)
    return AutoregressiveBernoulli(network, jax.random.normal(key, (2, *shape[1:]))), network


def make_model(key, shape=(1, 4, 3), *, label_dim=0):
    decoder = DenseDecoder(2, (5, *shape[1:]), (6,), label_dim=label_dim, key=key)
    likelihood = PixelCNNLikelihood(decoder, PixelCNN(shape, 5, key=key, **OPTIONS))
    encoder = DenseEncoder(shape, 2, (6,), label_dim=label_dim, key=key)
    return VAE(GaussianPosterior(encoder), StandardNormal(2), likelihood)


def test_log_prob_is_the_sum_over_pixels_given_those_before_with_any_leading_axes(key):
    distribution, network = make_distribution(key, (2, 2, 3))
    assert distribution.event_shape == (2, 2, 3)
    images = jax.random.bernoulli(key, shape=(2, 3, 2, 2, 3)).astype(jnp.float32)
    together = jax.jit(distribution.log_prob)(images)
    chex.assert_shape(together, (2, 3))
    context = jax.random.normal(key, (2, 2, 3))
    exact = Bernoulli(eqx.filter_jit(network)(images[1, 2], context)).log_prob(images[1, 2])
    np.testing.assert_allclose(together[1, 2], exact, rtol=1e-5)
    with pytest.raises(AssertionError):
        distribution.log_prob(images[..., :2])


def test_images_are_drawn_as_often_as_their_probabilities_say(key):
    distribution, _ = make_distribution(key, (1, 2, 2))
    images = jnp.array(list(itertools.product([0.0, 1.0], repeat=4))).reshape(-1, 1, 2, 2)
    probabilities = np.exp(jax.jit(distribution.log_prob)(images))
    assert probabilities.max() > 3 * probabilities.min()
    count = 20_000
    draws = jax.jit(lambda k: distribution.sample(seed=k, sample_shape=(count,)))(key)
    numbers = np.asarray(draws.reshape(count, 4) @ jnp.array([8, 4, 2, 1]), int)
    frequencies = np.bincount(numbers, minlength=16) / count
    errors = np.sqrt(probabilities * (1 - probabilities) / count)
    assert np.all(np.abs(frequencies - probabilities) < 5 * errors)


def test_sample_and_log_prob_agree_and_there_is_no_mean(key):
    distribution, _ = make_distribution(key, (1, 3, 2))
    x, log_prob = jax.jit(lambda k: distribution.sample_and_log_prob(seed=k))(key)
    assert set(np.unique(x)) <= {0.0, 1.0}
    np.testing.assert_allclose(log_prob, jax.jit(distribution.log_prob)(x), rtol=1e-5)
    with pytest.raises(NotImplementedError):
        distribution.mean()


def test_a_model_shows_draws_that_differ_at_the_same_latent(key):
    model = make_model(key, (1, 8, 8))
    keys = jax.random.split(key, 6)
    x = jax.random.bernoulli(key, shape=(1, 8, 8)).astype(jnp.float32)
    generated = eqx.filter_jit(eqx.filter_vmap(generate, in_axes=(None, 0)))(model, keys)
    again = eqx.filter_jit(eqx.filter_vmap(reconstruct, in_axes=(None, 0, None)))(model, keys, x)
    for images in (generated, again):
        chex.assert_shape(images, (6, 1, 8, 8))
        assert set(np.unique(images)) == {0.0, 1.0}
        assert len(np.unique(images.reshape(6, -1), axis=0)) == 6


def test_the_label_reaches_the_decoder(key):
    model, z, x = make_model(key, label_dim=3), jnp.ones(2), jnp.ones((1, 4, 3))
    score = eqx.filter_jit(lambda label: model.likelihood(z, label).log_prob(x))
    one, two = (score(label) for label in jnp.eye(3)[:2])
    assert one != two


def test_a_vae_with_it_is_initialised_and_trained_in_every_leaf(key):
    images = jax.random.bernoulli(key, shape=(8, 1, 4, 3)).astype(jnp.float32)
    keys = jax.random.split(key, 8)
    model = initialize_from_data(make_model(key), eqx.filter_jit(log_weight), keys, images)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient_of(model):
        return jnp.mean(eqx.filter_vmap(log_weight, in_axes=(None, 0, 0))(model, keys, images))

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient_of(model)):
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path
