import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import importance_log_likelihood, make_log_weight
from tests.helpers import X, assert_within_standard_errors, exact_log_p, linear_gaussian


def estimate(key, num_samples=1000, chunk_size=10, shift=0.3):
    log_weight_fn = make_log_weight(linear_gaussian(shift=shift), X)
    return importance_log_likelihood(log_weight_fn, key, num_samples=num_samples, chunk_size=chunk_size)


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.3])
def test_the_exact_log_p_is_within_five_standard_errors(key, shift):
    result = estimate(key, 20_000, 500, shift)
    assert result.effective_sample_size > 1000
    assert_within_standard_errors(result.log_p, exact_log_p(X), result.standard_error)


def test_the_standard_error_is_the_spread_over_repeats(key):
    results = jax.vmap(lambda k: estimate(k, 200))(jax.random.split(key, 500))
    chex.assert_shape(results.log_p, (500,))
    np.testing.assert_allclose(jnp.mean(results.standard_error), jnp.std(results.log_p), rtol=0.15)


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 100, 1000])
def test_chunks_change_nothing_beyond_rounding(key, chunk_size):
    whole, chunked = estimate(key, 100, 100), estimate(key, 100, chunk_size)
    for name in ("log_p", "standard_error", "effective_sample_size", "elbo"):
        np.testing.assert_allclose(getattr(chunked, name), getattr(whole, name), rtol=2e-5, err_msg=name)


def test_the_result_is_the_formula_over_the_log_weights(key):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    log_w = np.array([log_weight_fn(jax.random.fold_in(key, k)) for k in range(30)], np.float64)
    weights = np.exp(log_w)
    result = estimate(key, 30, 7)
    np.testing.assert_allclose(result.log_p, np.log(np.mean(weights)), rtol=1e-5)
    np.testing.assert_allclose(result.elbo, np.mean(log_w), rtol=1e-5)
    np.testing.assert_allclose(
        result.standard_error, np.std(weights, ddof=1) / np.mean(weights) / np.sqrt(30), rtol=1e-4
    )
    np.testing.assert_allclose(
        result.effective_sample_size, np.sum(weights) ** 2 / np.sum(weights**2), rtol=1e-4
    )
    assert (result.estimator, result.num_samples) == ("importance", 30)


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_log_weights_far_from_zero_neither_overflow_nor_vanish(key, offset):
    base = estimate(key, 50, 7)
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    moved = importance_log_likelihood(lambda k: log_weight_fn(k) + offset, key, num_samples=50, chunk_size=7)
    np.testing.assert_allclose(moved.log_p - offset, base.log_p, atol=5e-3)
    np.testing.assert_allclose(moved.effective_sample_size, base.effective_sample_size, rtol=5e-3)


def test_draws_of_no_weight_count_as_draws(key):
    def log_weight_fn(key):
        return jnp.where(jax.random.bernoulli(key, 0.25), 0.0, -jnp.inf)

    result = importance_log_likelihood(log_weight_fn, key, num_samples=4000, chunk_size=1)
    np.testing.assert_allclose(jnp.exp(result.log_p), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 4000))


def test_the_error_of_one_draw_is_unknown(key):
    result = estimate(key, 1, 1)
    assert jnp.isnan(result.standard_error)
    np.testing.assert_allclose(result.log_p, result.elbo, rtol=1e-6)


def test_weights_are_summed_in_float32(key):
    result = importance_log_likelihood(
        lambda k: jnp.zeros((), jnp.bfloat16), key, num_samples=1000, chunk_size=10
    )
    assert result.log_p.dtype == jnp.float32
    np.testing.assert_allclose(result.log_p, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["num_samples", "chunk_size"])
def test_a_count_that_is_not_positive_is_refused(key, name):
    with pytest.raises(ValueError, match=rf"Expected {name} to be positive; got -1\."):
        importance_log_likelihood(lambda k: 0.0, key, **{name: -1})
