"""Pixels on the real line."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.likelihoods.base import PixelDistribution


class Gaussian(PixelDistribution):
    """Independent normal pixels, as one event of shape `(C, H, W)`.

    log p(x) = -sum_i ((x_i - loc_i)^2 / (2 scale_i^2) + log scale_i + log(2 pi) / 2). With one fixed scale
    it is the squared error over 2 scale^2 and a constant.

    Args:
        loc: mean of each pixel, of any shape; the whole array is the event.
        scale: standard deviation, above 0: of each pixel, or one for all.
    """

    def __init__(self, loc: Float[Array, "..."], scale: Float[Array, "..."] | float):
        super().__init__(loc.shape)
        self._loc = loc
        self._scale = jnp.broadcast_to(jnp.asarray(scale, loc.dtype), loc.shape)

    def log_prob_of_pixels(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """The log-density of each pixel, of the shape of `value`, in nats."""
        standard = (value - self._loc) / self._scale
        return -0.5 * standard**2 - jnp.log(self._scale) - 0.5 * math.log(2 * math.pi)

    def _sample_n(self, key, n: int) -> Float[Array, "n ..."]:
        return self._loc + self._scale * jax.random.normal(key, (n, *self.event_shape))

    def mean(self) -> Float[Array, "..."]:
        """Mean of each pixel."""
        return self._loc

    def mode(self) -> Float[Array, "..."]:
        """The most probable image, which is the mean."""
        return self._loc
