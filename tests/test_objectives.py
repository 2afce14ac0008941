import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import elbo, iwae, make_log_weight
from tests.helpers import X, exact_log_p, linear_gaussian


def mean_and_error(bound, num_samples, repeats=4000):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    keys = jax.random.split(jax.random.key(5), repeats)
    values = jax.vmap(lambda key: bound(log_weight_fn, key, num_samples))(keys)
    return float(jnp.mean(values)), float(jnp.std(values) / jnp.sqrt(repeats))


def test_bounds_rise_from_the_elbo_through_iwae_to_the_exact_log_p():
    bounds = [mean_and_error(elbo, 1), *(mean_and_error(iwae, k) for k in (2, 8, 64))]
    for (low, low_error), (high, high_error) in zip(bounds[:-1], bounds[1:], strict=True):
        assert high - low > 3 * (low_error + high_error)
    value, error = bounds[-1]
    assert value < exact_log_p(X) + 5 * error
    assert exact_log_p(X) - value < 0.05


def test_elbo_of_more_samples_has_the_same_mean():
    one, many = mean_and_error(elbo, 1), mean_and_error(elbo, 16)
    assert abs(one[0] - many[0]) < 5 * (one[1] + many[1])
    assert many[1] < one[1] / 3


def test_elbo_falls_short_of_log_p_by_the_exact_divergence():
    # KL(q || p(z | x)) with q = N(m + shift, diag(stretch^2 d)), against the exact posterior N(m, S).
    from tests.helpers import LATENT_DIM, NOISE, WEIGHT

    precision = np.eye(LATENT_DIM) + np.asarray(WEIGHT.T @ WEIGHT) / NOISE**2
    variance = 1.3**2 * np.diag(np.linalg.inv(precision))
    shift = np.full(LATENT_DIM, 0.3)
    kl = 0.5 * (
        np.sum(np.diag(precision) * variance)
        + shift @ precision @ shift
        - LATENT_DIM
        - np.linalg.slogdet(precision)[1]
        - np.sum(np.log(variance))
    )
    value, error = mean_and_error(elbo, 16)
    assert abs(value - (exact_log_p(X) - kl)) < 5 * error


@pytest.mark.parametrize("bound", [elbo, iwae])
def test_one_sample_gives_that_log_weight(bound, key):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    np.testing.assert_allclose(
        bound(log_weight_fn, key, 1), log_weight_fn(jax.random.split(key, 1)[0]), rtol=1e-6
    )


@pytest.mark.parametrize("bound", [elbo, iwae])
def test_no_samples_are_refused(bound, key):
    with pytest.raises(ValueError, match=r"Expected num_samples to be positive; got 0\."):
        bound(lambda key: 0.0, key, 0)
