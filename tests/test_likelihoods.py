import itertools

import chex
import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.likelihoods import Bernoulli, Likelihood


def test_log_prob_is_the_sum_of_the_pixels_log_probabilities(key):
    logits = 3 * jax.random.normal(key, (1, 4, 3))
    x = jax.random.bernoulli(jax.random.key(1), shape=(1, 4, 3)).astype(jnp.float32)
    reference = distrax.Independent(distrax.Bernoulli(logits), 3)
    np.testing.assert_allclose(Bernoulli(logits).log_prob(x), reference.log_prob(x), rtol=1e-6)


def test_probabilities_of_all_images_sum_to_one():
    distribution = Bernoulli(jnp.array([0.3, -2.0, 5.0]).reshape(1, 1, 3))
    images = jnp.array(list(itertools.product([0.0, 1.0], repeat=3))).reshape(-1, 1, 1, 3)
    total = jnp.sum(jnp.exp(jax.vmap(distribution.log_prob)(images)))
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("pixel", [0.0, 0.5, 1.0])
def test_extreme_logits_give_finite_values_and_exact_gradients(logit, pixel):
    def log_prob(logit):
        return Bernoulli(logit.reshape(1, 1, 1)).log_prob(jnp.full((1, 1, 1), pixel))

    value, gradient = jax.value_and_grad(log_prob)(jnp.array(logit))
    assert jnp.isfinite(value)
    np.testing.assert_allclose(gradient, pixel - jax.nn.sigmoid(logit), atol=1e-6)


def test_samples_are_binary_and_have_the_mean(key):
    distribution = Bernoulli(jnp.array([-1.0, 0.0, 2.0]).reshape(1, 1, 3))
    samples = distribution.sample(seed=key, sample_shape=(20_000,))
    chex.assert_shape(samples, (20_000, 1, 1, 3))
    assert set(np.unique(samples)) == {0.0, 1.0}
    error = np.sqrt(distribution.mean() * (1 - distribution.mean()) / 20_000)
    assert np.all(np.abs(np.mean(samples, axis=0) - distribution.mean()) < 5 * error)


def test_sample_and_log_prob_agree(key):
    distribution = Bernoulli(jnp.linspace(-2, 2, 6).reshape(1, 2, 3))
    x, log_prob = distribution.sample_and_log_prob(seed=key)
    np.testing.assert_allclose(log_prob, distribution.log_prob(x), rtol=1e-6)
    np.testing.assert_array_equal(distribution.mode(), (distribution.mean() > 0.5).astype(jnp.float32))


def test_an_image_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        Bernoulli(jnp.zeros((1, 2, 2))).log_prob(jnp.zeros((4,)))


def test_likelihood_hands_latent_and_label_to_the_decoder():
    likelihood = Likelihood(lambda z, y: (z + (0 if y is None else y)).reshape(1, 1, 2), Bernoulli)
    np.testing.assert_array_equal(likelihood(jnp.ones(2)).logits, jnp.ones((1, 1, 2)))
    np.testing.assert_array_equal(likelihood(jnp.ones(2), jnp.ones(2)).logits, 2 * jnp.ones((1, 1, 2)))
