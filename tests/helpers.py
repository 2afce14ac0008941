"""A model whose log p(x) is known exactly, and assertions with an error bar."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import VAE

LATENT_DIM, NUM_PIXELS, NOISE = 2, 4, 0.7
# Asymmetric on purpose: a symmetric target cannot show a sign error.
WEIGHT = jnp.array([[1.0, -0.4], [0.3, 0.8], [-1.2, 0.5], [0.1, 0.6]])
BIAS = jnp.array([0.5, -1.0, 0.2, 2.0])
X = jnp.array([1.3, -0.2, -0.9, 2.8]).reshape(1, 2, 2)


def linear_gaussian(*, shift: float = 0.3, stretch: float = 1.3) -> VAE:
    """p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I); a posterior moved off the exact one."""

    def posterior(x, y=None):
        precision = jnp.eye(LATENT_DIM) + WEIGHT.T @ WEIGHT / NOISE**2
        loc = jnp.linalg.solve(precision, WEIGHT.T @ (x.ravel() - BIAS) / NOISE**2)
        scale = jnp.sqrt(jnp.diag(jnp.linalg.inv(precision)))
        return distrax.Independent(distrax.Normal(loc + shift, stretch * scale), 1)

    def prior(y=None):
        return distrax.Independent(distrax.Normal(jnp.zeros(LATENT_DIM), jnp.ones(LATENT_DIM)), 1)

    def likelihood(z, y=None):
        mean = (WEIGHT @ z + BIAS).reshape(1, 2, 2)
        return distrax.Independent(distrax.Normal(mean, NOISE * jnp.ones_like(mean)), 3)

    return VAE(posterior, prior, likelihood)


def exact_log_p(x) -> float:
    covariance = np.asarray(WEIGHT @ WEIGHT.T) + NOISE**2 * np.eye(NUM_PIXELS)
    residual = np.asarray(x).ravel() - np.asarray(BIAS)
    _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
    return float(-0.5 * (log_det + residual @ np.linalg.solve(covariance, residual)))


def assert_within_standard_errors(estimate, exact, standard_error, *, count: float = 5) -> None:
    """|estimate - exact| < count standard errors, with an error that is small enough to mean something."""
    assert 0 < standard_error < 0.2, f"standard error {standard_error} can show nothing"
    assert abs(estimate - exact) < count * standard_error, f"{estimate} +- {standard_error}, exactly {exact}"


def assert_trees_equal(left, right) -> None:
    """Bit for bit, with at least one array."""
    left, right = jax.tree.leaves(left), jax.tree.leaves(right)
    assert len(left) == len(right) > 0
    for a, b in zip(left, right, strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
