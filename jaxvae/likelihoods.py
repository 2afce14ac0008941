"""p(x | z, y): what a decoder's output says about the pixels."""

from collections.abc import Callable

import chex
import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Image, Label, Latent
from jaxvae.nn.activations import softplus


class Bernoulli(distrax.Distribution):
    """Independent binary pixels, as one event of shape `(C, H, W)`.

    log p(x) = sum_i x_i l_i - softplus(l_i), with the logits l. For pixels strictly between 0 and 1 the
    same formula is the negative cross-entropy, which is no density: see `grey-bernoulli` in the README.

    Args:
        logits: log odds of each pixel, of any shape; the whole array is the event.
    """

    def __init__(self, logits: Float[Array, "..."]):
        super().__init__()
        self._logits = logits

    @property
    def logits(self) -> Float[Array, "..."]:
        """Log odds of each pixel."""
        return self._logits

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self._logits.shape

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Log-probability of one image, or of each of several along leading axes, in nats."""
        chex.assert_equal_shape_suffix([value, self._logits], len(self.event_shape))
        pixels = tuple(range(-len(self.event_shape), 0))
        log_probs = value * self._logits - softplus(self._logits)
        return jnp.sum(log_probs, axis=pixels, dtype=jnp.float32)

    def _sample_n(self, key, n: int) -> Float[Array, "n ..."]:
        uniform = jax.random.uniform(key, (n, *self.event_shape))
        return (uniform < self.mean()).astype(self._logits.dtype)

    def mean(self) -> Float[Array, "..."]:
        """Probability that each pixel is 1."""
        return jax.nn.sigmoid(self._logits)

    def mode(self) -> Float[Array, "..."]:
        """The most probable image."""
        return (self._logits > 0).astype(self._logits.dtype)


class Likelihood(eqx.Module):
    """z, y -> p(x | z, y): a decoder and the distribution that its output parameterises.

    Args:
        decoder: maps a latent `(D,)` and a label `(Y,)` or None to parameters, such as logits `(C, H, W)`.
        distribution: makes the distribution from them, such as `Bernoulli`.
    """

    decoder: Callable[[Latent, Label | None], Image]
    distribution: Callable[[Image], distrax.Distribution] = eqx.field(static=True)

    def __call__(self, z: Latent, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one image given one latent."""
        return self.distribution(self.decoder(z, y))
