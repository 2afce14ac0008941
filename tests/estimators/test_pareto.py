"""k-hat against samples whose tail is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxvae import importance_log_likelihood
from jaxvae.estimators.estimate import is_reliable
from jaxvae.estimators.pareto import pareto_shape, tail_length


def largest(weights):
    return jnp.sort(jnp.asarray(weights, jnp.float32))[::-1][: tail_length(len(weights)) + 1]


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7, 1.5])
def test_the_shape_of_a_generalised_pareto_sample_is_found(shape):
    found = [
        pareto_shape(largest(scipy.stats.genpareto.rvs(shape, size=20_000, random_state=seed) + 1))
        for seed in range(10)
    ]
    # The prior draws towards one half, by ten excesses' worth.
    count = tail_length(20_000)
    expected = (count * shape + 5) / (count + 10)
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(10) + 0.02


def test_it_agrees_with_maximum_likelihood():
    tail = largest(np.random.RandomState(0).standard_cauchy(10_000) ** 2)
    excess = np.asarray(tail[:-1] - tail[-1], np.float64)
    likely, _, _ = scipy.stats.genpareto.fit(excess / excess.mean(), floc=0)
    count = len(excess)
    assert abs(float(pareto_shape(tail)) - (count * likely + 5) / (count + 10)) < 0.05


@pytest.mark.parametrize("shape", [0.2, 1.2])
def test_an_estimate_tells_whether_its_weights_have_a_mean(shape):
    # w = u^-k of a uniform u has the tail of shape k throughout.
    def log_weight_fn(key):
        return shape * jax.random.exponential(key)

    estimate = importance_log_likelihood(
        log_weight_fn, jax.random.key(0), num_samples=10_000, chunk_size=5000
    )
    assert abs(estimate.pareto_k - shape) < 4 * (1 + shape) / np.sqrt(tail_length(10_000))
    assert bool(estimate.reliable) is (shape == 0.2)


@pytest.mark.parametrize("chunk_size", [1000, 37])
def test_the_running_tail_is_that_of_all_weights(chunk_size):
    def log_weight_fn(key):
        return 1.5 * jax.random.normal(key)

    key = jax.random.key(4)
    estimate = importance_log_likelihood(log_weight_fn, key, num_samples=1000, chunk_size=chunk_size)
    log_w = jax.vmap(lambda i: log_weight_fn(jax.random.fold_in(key, i)))(jnp.arange(1000))
    np.testing.assert_allclose(estimate.pareto_k, pareto_shape(largest(np.exp(np.asarray(log_w)))), atol=1e-4)


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_scale_of_the_weights_does_not_matter(factor):
    weights = np.random.RandomState(2).pareto(1.2, 1000) + 1
    np.testing.assert_allclose(
        pareto_shape(largest(factor * weights)), pareto_shape(largest(weights)), atol=1e-3
    )


def test_weights_that_are_all_but_one_zero_are_as_heavy_as_can_be():
    tail = jnp.zeros(96).at[0].set(1.0)
    assert pareto_shape(tail) > 1.5


def test_few_weights_have_no_shape_and_equal_ones_no_tail():
    assert jnp.isnan(pareto_shape(jnp.arange(20.0)[::-1]))
    assert jnp.isneginf(pareto_shape(jnp.ones(30)))
    rounded = 1 + 6e-8 * np.sort(np.random.RandomState(0).randint(0, 9, 30))[::-1]
    assert jnp.isneginf(pareto_shape(jnp.asarray(rounded, jnp.float32)))
    assert jnp.isnan(pareto_shape(jnp.full(30, jnp.nan)))


def test_tail_lengths_are_those_of_the_paper():
    assert [tail_length(n) for n in (1, 24, 25, 100, 1000, 10_000)] == [1, 5, 5, 20, 95, 300]


def test_what_is_reliable():
    assert is_reliable(0.65, 1.0, 1000)
    assert not is_reliable(0.68, 0.0, 1000)  # above 1 - 1 / log10(1000)
    assert is_reliable(0.69, 0.0, 10**6)
    assert not is_reliable(0.71, 0.0, 10**6)
    assert is_reliable(jnp.nan, 0.2, 16)
    assert not is_reliable(jnp.nan, 0.3, 16)
    assert not is_reliable(jnp.nan, jnp.nan, 1)


@pytest.mark.parametrize(
    ("num_samples", "spread", "low", "high"),
    [(16, 0.3, 0.9, 1), (64, 0.3, 0.9, 1), (1000, 0.3, 0.9, 1), (16, 2.5, 0, 0.05), (1000, 4.0, 0, 0.05)],
)
def test_the_rule_tells_good_weights_from_bad_ones(num_samples, spread, low, high):
    @jax.jit
    @jax.vmap
    def reliable(key):
        return importance_log_likelihood(
            lambda k: spread * jax.random.normal(k), key, num_samples=num_samples, chunk_size=num_samples
        ).reliable

    share = jnp.mean(reliable(jax.random.split(jax.random.key(0), 300)))
    assert low <= share <= high


@pytest.mark.parametrize("num_samples", [2, 1000])
def test_weights_that_are_all_zero_are_not_reliable(num_samples):
    estimate = importance_log_likelihood(
        lambda k: jnp.full((), -jnp.inf), jax.random.key(0), num_samples=num_samples
    )
    assert jnp.isneginf(estimate.log_p)
    assert not estimate.reliable
