import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.likelihoods import Gaussian

SHAPE = (2, 3, 4)


@pytest.fixture
def arrays(key):
    return [np.asarray(jax.random.normal(k, SHAPE)) for k in jax.random.split(key, 3)]


def test_log_prob_is_the_normal_density(arrays):
    x, loc, log_scale = arrays
    wanted = stats.norm.logpdf(x.astype(np.float64), loc, np.exp(log_scale)).sum()
    np.testing.assert_allclose(Gaussian(jnp.asarray(loc), jnp.exp(log_scale)).log_prob(x), wanted, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_a_fixed_scale_is_the_squared_error_and_a_constant(arrays, scale):
    x, loc, _ = arrays
    constant = x.size * (np.log(scale) + 0.5 * np.log(2 * np.pi))
    wanted = -np.sum((x - loc) ** 2) / (2 * scale**2) - constant
    np.testing.assert_allclose(Gaussian(jnp.asarray(loc), scale).log_prob(x), wanted, rtol=1e-5)
    gradient = jax.grad(lambda loc: Gaussian(loc, scale).log_prob(x))(jnp.asarray(loc))
    np.testing.assert_allclose(gradient, (x - loc) / scale**2, rtol=1e-4, atol=1e-6)
