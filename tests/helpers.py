"""A model whose log p(x) is known exactly, and assertions with an error bar."""

import dataclasses

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import VAE


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I), of images `(1, H, W)`."""

    weight: np.ndarray
    bias: np.ndarray
    noise: float
    image_shape: tuple[int, int, int]

    @property
    def latent_dim(self) -> int:
        return self.weight.shape[1]

    def exact_posterior(self, x) -> distrax.Distribution:
        loc, covariance = self.posterior_moments(x)
        return distrax.MultivariateNormalFullCovariance(loc, covariance)

    def posterior_moments(self, x):
        precision = np.eye(self.latent_dim) + self.weight.T @ self.weight / self.noise**2
        covariance = np.linalg.inv(precision)
        loc = jnp.asarray(covariance @ self.weight.T / self.noise**2) @ (x.ravel() - self.bias)
        return loc, jnp.asarray(covariance)

    def vae(self, *, shift: float = 0.0, stretch: float = 1.0, relative: bool = True) -> VAE:
        """With a mean-field posterior moved off the exact one, by its standard deviations or by numbers."""

        def posterior(x, y=None):
            loc, covariance = self.posterior_moments(x)
            scale = jnp.sqrt(jnp.diag(covariance))
            moved = loc + shift * (scale if relative else 1.0)
            return distrax.Independent(distrax.Normal(moved, stretch * scale), 1)

        def prior(y=None):
            zeros = jnp.zeros(self.latent_dim)
            return distrax.Independent(distrax.Normal(zeros, jnp.ones_like(zeros)), 1)

        def likelihood(z, y=None):
            mean = (self.weight @ z + self.bias).reshape(self.image_shape)
            return distrax.Independent(distrax.Normal(mean, self.noise * jnp.ones_like(mean)), 3)

        return VAE(posterior, prior, likelihood)

    def exact_log_p(self, x) -> float:
        covariance = self.weight @ self.weight.T + self.noise**2 * np.eye(len(self.bias))
        residual = np.asarray(x, np.float64).ravel() - self.bias
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        return float(-0.5 * (log_det + residual @ np.linalg.solve(covariance, residual)))


# Asymmetric on purpose: a symmetric target cannot show a sign error.
LATENT_DIM, NUM_PIXELS, NOISE = 2, 4, 0.7
WEIGHT = jnp.array([[1.0, -0.4], [0.3, 0.8], [-1.2, 0.5], [0.1, 0.6]])
BIAS = jnp.array([0.5, -1.0, 0.2, 2.0])
SMALL = LinearGaussian(np.asarray(WEIGHT), np.asarray(BIAS), NOISE, (1, 2, 2))
X = jnp.array([1.3, -0.2, -0.9, 2.8]).reshape(1, 2, 2)


def _wide() -> LinearGaussian:
    random = np.random.RandomState(5)
    weight = random.normal(size=(64, 8)) * np.linspace(0.05, 0.5, 8) + np.linspace(-0.2, 0.1, 8)
    return LinearGaussian(
        weight.astype(np.float32), random.normal(size=64).astype(np.float32), 0.7, (1, 8, 8)
    )


WIDE = _wide()  # D = 8, 64 pixels


def linear_gaussian(*, shift: float = 0.3, stretch: float = 1.3) -> VAE:
    """The small one; its posterior is off by numbers."""
    return SMALL.vae(shift=shift, stretch=stretch, relative=False)


def exact_log_p(x) -> float:
    return SMALL.exact_log_p(x)


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
