"""Independent pixels as one event, and a decoder with what its output means."""

import abc
from collections.abc import Callable
from typing import Any

import chex
import distrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Image, Label, Latent


class PixelDistribution(distrax.Distribution):
    """Pixels that are independent of one another, as one event.

    log p(x) = sum_i log p_i(x_i), summed in float32. A subclass says what each pixel's term is, how to draw
    n images, and what their mean is.

    Args:
        event_shape: of one image, such as `(C, H, W)`.
    """

    def __init__(self, event_shape: tuple[int, ...]):
        super().__init__()
        self._shape = tuple(event_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self._shape

    def log_prob(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """Log-probability or log-density of one image, or of each of several along leading axes, in nats."""
        chex.assert_shape(value, (..., *self.event_shape))
        pixels = tuple(range(-len(self.event_shape), 0))
        return jnp.sum(self.log_prob_of_pixels(value), axis=pixels, dtype=jnp.float32)

    @abc.abstractmethod
    def log_prob_of_pixels(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """The term of each pixel, of the shape of `value`, in nats."""


class _Function(eqx.Module):
    """A function without parameters as a module, so that the leaves of a model are its arrays alone."""

    function: Callable = eqx.field(static=True)

    def __call__(self, maps: Image) -> distrax.Distribution:
        return self.function(maps)


def _as_module(distribution: Any) -> Any:
    return distribution if isinstance(distribution, eqx.Module) else _Function(distribution)


class Likelihood(eqx.Module):
    """z, y -> p(x | z, y): a decoder and the distribution that its output parameterises.

    Args:
        decoder: maps a latent `(D,)` and a label `(Y,)` or None to parameters, such as logits `(C, H, W)`.
        distribution: makes the distribution from them, such as `Bernoulli`; a module brings its own
            parameters along.
    """

    decoder: Callable[[Latent, Label | None], Image]
    distribution: Callable[[Image], distrax.Distribution] = eqx.field(converter=_as_module)

    def __call__(self, z: Latent, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one image given one latent."""
        return self.distribution(self.decoder(z, y))
