"""The shape of a sample's tail: whether its weights have a mean and a variance to speak of."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Scalar

# With fewer excesses the prior decides.
_FEWEST = 20


def tail_length(num_samples: int) -> int:
    """How many of the largest of K weights the tail is fitted to: min(K / 5, 3 sqrt K).

    Vehtari et al. 2024, section 3.2, arXiv:1507.02646.
    """
    return math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))


def pareto_shape(largest: Float[Array, " M+1"]) -> Scalar:
    """K-hat, the shape of the generalised Pareto distribution that fits the largest weights.

    As many moments of the weights are finite as are below 1 / k. The quasi-Bayesian fit of Zhang & Stephens
    2009 (doi:10.1198/tech.2009.08017), with the weak prior of Vehtari et al. 2024, appendix G,
    arXiv:1507.02646.

    Args:
        largest: the M + 1 largest weights, falling; the last is the threshold of the others' excesses. They
            may be scaled by any factor.

    Returns:
        k-hat; -inf where the largest weights differ by less than a thousandth; NaN for fewer than 20
        excesses, and where all weights are 0.
    """
    count = len(largest) - 1
    if count < _FEWEST:
        return jnp.full((), jnp.nan, largest.dtype)
    tiny = jnp.finfo(largest.dtype).tiny
    excess = jnp.maximum(largest[:-1] - largest[-1], tiny)[::-1]
    num_points = 30 + math.isqrt(count)
    grid = 1 - jnp.sqrt(num_points / (jnp.arange(num_points) + 0.5))
    # Relative to the largest excess, so that none of the ratios overflows.
    theta = 1 + grid * excess[-1] / (3 * excess[int(count / 4 + 0.5) - 1])
    ratio = excess / excess[-1]

    def shape_at(theta: Array) -> Array:
        return jnp.mean(jnp.log1p(-theta[..., None] * ratio), axis=-1)

    shape = shape_at(theta)
    log_profile = count * (jnp.log(-theta / shape) - shape - 1)
    weight = jnp.exp(log_profile - jnp.max(log_profile))
    shape = shape_at(jnp.sum(weight * theta) / jnp.sum(weight))
    # The prior: ten excesses' worth of a shape of one half.
    shape = (count * shape + 5) / (count + 10)
    tailed = excess[-1] > 1e-3 * largest[0]
    return jnp.where(largest[0] > 0, jnp.where(tailed, shape, -jnp.inf), jnp.nan)
