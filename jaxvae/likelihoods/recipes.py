"""From a decoder's maps to the pixels' distributions."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Scalar
from jaxvae.likelihoods.base import PixelDistribution
from jaxvae.likelihoods.discrete import Categorical, DiscretizedLogistic, LogisticMixture
from jaxvae.likelihoods.gaussian import Gaussian

Maps = Float[Array, "M*C H W"]

# A map of a log scale counts as its nearest number in here: e^-7 = 0.0009 is a quarter of a level of 256.
_LOG_SCALES = (-7.0, 7.0)


class Recipe(NamedTuple):
    """How a decoder's output becomes a distribution of images `(C, H, W)`.

    Args:
        num_maps: M, the maps that the decoder gives for each channel.
        distribution: from the maps `(M * C, H, W)`, of which the channels of one kind are together.
    """

    num_maps: int
    distribution: Callable[[Maps], PixelDistribution]


class _GaussianOfOneScale(eqx.Module):
    log_scale: Scalar

    def __call__(self, maps: Maps) -> Gaussian:
        return Gaussian(jax.nn.sigmoid(maps), jnp.exp(self.log_scale))


class _GaussianOfFixedScale(eqx.Module):
    scale: float = eqx.field(static=True)

    def __call__(self, maps: Maps) -> Gaussian:
        return Gaussian(jax.nn.sigmoid(maps), self.scale)


class _GaussianOfScales(eqx.Module):
    scale: float = eqx.field(static=True)

    def __call__(self, maps: Maps) -> Gaussian:
        loc, log_scale = _split(maps, 2)
        return Gaussian(jax.nn.sigmoid(loc), self.scale * _exp(log_scale))


def make_gaussian(spread: str = "fixed", scale: float = 1.0) -> Recipe:
    """Gaussian pixels whose loc is the sigmoid of a map.

    Args:
        spread: `fixed`, everywhere `scale`; `learned`, one trained number for all pixels, at first `scale`;
            or `per-pixel`, `scale` times e to the power of a second map, within e^-7 and e^7.
        scale: a standard deviation, where pixels are in [0, 1].

    Raises:
        ValueError: if `spread` is unknown or `scale` not positive.
    """
    expect_choice("spread", spread, ["fixed", "learned", "per-pixel"])
    expect_positive("scale", scale)
    if spread == "learned":
        return Recipe(1, _GaussianOfOneScale(jnp.log(jnp.asarray(scale, jnp.float32))))
    return (
        Recipe(1, _GaussianOfFixedScale(scale)) if spread == "fixed" else Recipe(2, _GaussianOfScales(scale))
    )


def discretized_logistic(maps: Float[Array, "2*C H W"]) -> DiscretizedLogistic:
    """256 levels, from a loc and a log scale for pixels in [-1, 1], as the paper has them."""
    loc, log_scale = _split(maps, 2)
    return DiscretizedLogistic((1 + loc) / 2, _exp(log_scale) / 2)


class _LogisticMixtureOf(eqx.Module):
    num_components: int = eqx.field(static=True)

    def __call__(self, maps: Maps) -> LogisticMixture:
        logits, loc, log_scale = _split(maps, 3, self.num_components)
        return LogisticMixture(logits, (1 + loc) / 2, _exp(log_scale) / 2)


def make_logistic_mixture(num_components: int = 10) -> Recipe:
    """256 levels, from the logits of the components, and of each a loc and a log scale for [-1, 1].

    Args:
        num_components: of the mixture.

    Raises:
        ValueError: if it is not positive.
    """
    expect_positive("num_components", num_components)
    return Recipe(3 * num_components, _LogisticMixtureOf(num_components))


def categorical(maps: Float[Array, "256*C H W"]) -> Categorical:
    """256 levels, from a logit of each."""
    return Categorical(_split(maps, 256))


def _split(maps: Maps, *counts: int) -> Float[Array, "... C H W"]:
    return maps.reshape(*counts, -1, *maps.shape[1:])


def _exp(log_scale: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.exp(jnp.clip(log_scale, *_LOG_SCALES))
