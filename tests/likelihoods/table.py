"""Every distribution by name, small and asymmetric, with the cells that its pixels fall into."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import likelihoods
from jaxvae.likelihoods import PixelDistribution

SHAPE = (2, 1, 2)


class Case(NamedTuple):
    """A distribution, the centres of equal cells over its pixels, and the width of a cell for a density."""

    make: Callable[[], PixelDistribution]
    centres: np.ndarray
    width: float


def levels(number: int) -> np.ndarray:
    return (np.arange(number) / (number - 1)).astype(np.float32)


def cells(low: float, high: float, number: int) -> tuple[np.ndarray, float]:
    width = (high - low) / number
    return (low + width * (np.arange(number) + 0.5)).astype(np.float32), width


def normal(seed: int, *leading: int):
    return jax.random.normal(jax.random.key(seed), (*leading, *SHAPE))


CASES = {
    "bernoulli": Case(lambda: likelihoods.Bernoulli(normal(0) - 0.5), levels(2), 1.0),
    "continuous bernoulli": Case(
        lambda: likelihoods.ContinuousBernoulli(jnp.array([-30.0, 0.0, 0.3, 4.0]).reshape(SHAPE)),
        *cells(0, 1, 4000),
    ),
    "gaussian": Case(
        lambda: likelihoods.Gaussian(normal(1), jnp.array([0.2, 0.5, 1.0, 1.5]).reshape(SHAPE)),
        *cells(-12, 12, 4000),
    ),
    "discretized logistic": Case(
        lambda: likelihoods.DiscretizedLogistic(
            jnp.array([-0.1, 0.3, 0.8, 0.95]).reshape(SHAPE),
            jnp.array([0.1, 0.004, 0.05, 0.2]).reshape(SHAPE),
        ),
        levels(256),
        1.0,
    ),
    "logistic mixture": Case(
        lambda: likelihoods.LogisticMixture(
            normal(2, 3), 0.5 + 0.3 * normal(3, 3), 0.03 * jnp.exp(normal(4, 3)), num_levels=32
        ),
        levels(32),
        1.0,
    ),
    "categorical": Case(lambda: likelihoods.Categorical(2 * normal(5, 11)), levels(11), 1.0),
}


def masses(distribution: PixelDistribution, centres: np.ndarray, width: float = 1.0) -> np.ndarray:
    """The probability of every cell for every pixel, `(cells, pixels)`, in float64."""
    shape = (len(centres), *(1 for _ in distribution.event_shape))
    values = jnp.broadcast_to(centres.reshape(shape), (len(centres), *distribution.event_shape))
    log_probs = np.asarray(jax.jit(distribution.log_prob_of_pixels)(values), np.float64)
    return width * np.exp(log_probs).reshape(len(centres), -1)
