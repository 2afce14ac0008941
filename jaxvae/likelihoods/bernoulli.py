"""Binary pixels, and pixels between 0 and 1, from one logit each."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.likelihoods.base import PixelDistribution
from jaxvae.nn.activations import softplus

# Coefficients of log(sinh(h) / h) = h^2 / 6 - h^4 / 180 + ..., from the Bernoulli numbers.
_SERIES = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775)
# Up to this |logit| the series is exact to float32, and from it on the closed form.
_SEAM = 1.0


class Bernoulli(PixelDistribution):
    """Independent binary pixels, as one event of shape `(C, H, W)`.

    log p(x) = sum_i x_i l_i - softplus(l_i), with the logits l. For pixels strictly between 0 and 1 the
    same formula is the negative cross-entropy, which is no density: see `grey-bernoulli` in the README.

    Args:
        logits: log odds of each pixel, of any shape; the whole array is the event.
    """

    def __init__(self, logits: Float[Array, "..."]):
        super().__init__(logits.shape)
        self._logits = logits

    @property
    def logits(self) -> Float[Array, "..."]:
        """Log odds of each pixel."""
        return self._logits

    def log_prob_of_pixels(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """The term of each pixel, of the shape of `value`, in nats."""
        return value * self._logits - softplus(self._logits)

    def _sample_n(self, key, n: int) -> Float[Array, "n ..."]:
        uniform = jax.random.uniform(key, (n, *self.event_shape))
        return (uniform < self.mean()).astype(self._logits.dtype)

    def mean(self) -> Float[Array, "..."]:
        """Probability that each pixel is 1."""
        return jax.nn.sigmoid(self._logits)

    def mode(self) -> Float[Array, "..."]:
        """The most probable image."""
        return (self._logits > 0).astype(self._logits.dtype)


class ContinuousBernoulli(PixelDistribution):
    """Independent pixels in [0, 1] with the density of a normalised Bernoulli, as one event `(C, H, W)`.

    log p(x) = sum_i x_i l_i - log((e^l_i - 1) / l_i), with the logits l; at l = 0 it is uniform.
    Loaiza-Ganem & Cunningham 2019, eq. 7-8, arXiv:1907.06845, whose lambda is sigmoid(l).

    Args:
        logits: l, of any shape; the whole array is the event.
    """

    def __init__(self, logits: Float[Array, "..."]):
        super().__init__(logits.shape)
        self._logits = logits

    def log_prob_of_pixels(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """The log-density of each pixel, of the shape of `value`, in nats."""
        return _log_density(value, self._logits)

    def _sample_n(self, key, n: int) -> Float[Array, "n ..."]:
        # The inverse of the cdf for the logit -|l|, mirrored where l > 0. Nobody can tell 1e-6 from 0.
        steepness = jnp.maximum(jnp.abs(self._logits), 1e-6)
        uniform = jax.random.uniform(key, (n, *self.event_shape))
        distance = -jnp.log1p(uniform * jnp.expm1(-steepness)) / steepness
        return jnp.where(self._logits > 0, 1 - distance, distance)

    def mean(self) -> Float[Array, "..."]:
        """Mean of each pixel, 1 / (1 - e^-l) - 1 / l: the slope of the normaliser, -log p(0), in l."""
        at_zero = partial(_log_density, jnp.zeros_like(self._logits))
        _, slope = jax.jvp(at_zero, (self._logits,), (jnp.ones_like(self._logits),))
        return -slope


def _log_density(x: Float[Array, "..."], logits: Float[Array, "..."]) -> Float[Array, "..."]:
    """Continuous Bernoulli, accurate for every logit, and so are its derivatives.

    Near 0 it is (x - 1/2) l - log(sinh(h) / h) with h = l/2, by a series; beyond, log |l| - log(1 - e^-|l|)
    - |l| d, with d the distance of x from the end where the density is highest: nothing large cancels.
    """
    is_near = jnp.abs(logits) < _SEAM
    # Each branch sees harmless logits where the other is chosen: its derivatives are then finite.
    near = jnp.where(is_near, logits, 0.0)
    squared, log_ratio = (near / 2) ** 2, jnp.zeros_like(near)
    for coefficient in reversed(_SERIES):
        log_ratio = squared * (coefficient + log_ratio)
    steepness = jnp.where(is_near, _SEAM, jnp.abs(logits))
    distance = jnp.where(logits > 0, 1 - x, x)
    far = jnp.log(steepness) - jnp.log1p(-jnp.exp(-steepness)) - steepness * distance
    return jnp.where(is_near, (x - 0.5) * near - log_ratio, far)
