import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.likelihoods import Bernoulli, ContinuousBernoulli

# About 0, the seam between series and closed form, and far out.
LOGITS = np.concatenate(
    [
        np.linspace(-1.01, 1.01, 2021),
        *(
            sign * np.array([0, 1e-30, 1e-7, 1e-3, 1 - 1e-7, 1 + 1e-7, 3, 20, 100, 1e4, 1e6])
            for sign in (-1, 1)
        ),
    ]
).astype(np.float32)


def test_log_prob_is_the_sum_of_the_pixels_log_probabilities(key):
    logits = 3 * jax.random.normal(key, (1, 4, 3))
    x = jax.random.bernoulli(jax.random.key(1), shape=(1, 4, 3)).astype(jnp.float32)
    reference = distrax.Independent(distrax.Bernoulli(logits), 3)
    np.testing.assert_allclose(Bernoulli(logits).log_prob(x), reference.log_prob(x), rtol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("pixel", [0.0, 0.5, 1.0])
def test_extreme_logits_give_finite_values_and_exact_gradients(logit, pixel):
    def log_prob(logit):
        return Bernoulli(logit.reshape(1, 1, 1)).log_prob(jnp.full((1, 1, 1), pixel))

    value, gradient = jax.value_and_grad(log_prob)(jnp.array(logit))
    assert jnp.isfinite(value)
    np.testing.assert_allclose(gradient, pixel - jax.nn.sigmoid(logit), atol=1e-6)


def test_samples_and_mode_are_binary(key):
    distribution = Bernoulli(jnp.linspace(-2, 2, 6).reshape(1, 2, 3))
    assert set(np.unique(distribution.sample(seed=key, sample_shape=(50,)))) == {0.0, 1.0}
    np.testing.assert_array_equal(distribution.mode(), (distribution.mean() > 0.5).astype(jnp.float32))


def continuous_reference(x: float, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-density and mean in float64: as they are defined, or where that cancels, by Taylor's formula."""
    logits = logits.astype(np.float64)
    steepness = np.maximum(np.abs(logits), 1e-2)
    ratio = -np.expm1(-steepness) / steepness  # e^-l of the normaliser for a positive logit
    distance = np.where(logits > 0, 1 - x, x)
    log_density = -steepness * distance - np.log(ratio)
    mean_above = 1 / -np.expm1(-steepness) - 1 / steepness
    mean = np.where(logits > 0, mean_above, 1 - mean_above)
    is_near = np.abs(logits) < 1e-2
    near_density = (x - 0.5) * logits - logits**2 / 24 + logits**4 / 2880
    near_mean = 0.5 + logits / 12 - logits**3 / 720
    return np.where(is_near, near_density, log_density), np.where(is_near, near_mean, mean)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
def test_a_continuous_bernoulli_is_exact_at_every_logit(x):
    def log_prob(logit):
        return ContinuousBernoulli(logit.reshape(1)).log_prob(jnp.full((1,), x))

    value, slope = jax.jit(jax.vmap(jax.value_and_grad(log_prob)))(LOGITS)
    wanted, mean = continuous_reference(x, LOGITS)
    np.testing.assert_allclose(value, wanted, rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(slope, x - mean, rtol=1e-6)
    np.testing.assert_allclose(ContinuousBernoulli(jnp.asarray(LOGITS)).mean(), mean, rtol=1e-6)


def test_samples_of_a_continuous_bernoulli_are_exact_far_out(key):
    samples = ContinuousBernoulli(jnp.array([-1e4, -100.0, 100.0, 1e4])).sample(
        seed=key, sample_shape=(20_000,)
    )
    assert np.all((samples >= 0) & (samples <= 1))
    # Exponential there, of which mean and deviation are the same.
    from_end = np.abs(np.asarray(samples) - [0, 0, 1, 1]) * [1e4, 100, 100, 1e4]
    np.testing.assert_allclose(np.mean(from_end, axis=0), 1, atol=5 / np.sqrt(20_000))
