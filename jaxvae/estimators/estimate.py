"""The record that every estimator returns."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxvae._typing import Int, Key, Scalar


class Estimate(eqx.Module):
    """An estimate of log p(x) for one image, in nats.

    Importance sampling is annealing with one temperature and no leapfrog step, so that one record does.

    Args:
        log_p: the estimate of log p(x). It is the log of an unbiased estimate of p(x), hence low on
            average (Jensen), by about `standard_error ** 2 / 2`.
        standard_error: Monte Carlo standard deviation of `log_p`. Trust it only where the estimate is
            `reliable`.
        effective_sample_size: how many equally weighted draws the weighted ones are worth, in [1, K].
        pareto_k: shape of the generalised Pareto distribution that fits the largest weights; NaN for fewer
            than 100 draws.
        elbo: mean log-weight of the draws before any annealing, a lower bound of log p(x): where they are
            from the posterior, the ELBO.
        upper: for simulated data, the log of an estimate of p(x) whose inverse is unbiased: high on
            average. NaN for others.
        acceptance: mean acceptance rate of the Hamiltonian moves; NaN where there are none.
        nan_at: index of the first temperature at which a log density was NaN, and with it `log_p`; -1 for
            none.
        key: what the draws were made from.
        estimator: name of the method.
        num_samples: K, draws or chains.
        num_temperatures: T, of each chain.
        num_leapfrog: leapfrog steps at each temperature.
    """

    log_p: Scalar
    standard_error: Scalar
    effective_sample_size: Scalar
    pareto_k: Scalar
    elbo: Scalar
    upper: Scalar
    acceptance: Scalar
    nan_at: Int
    key: Key
    estimator: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    num_temperatures: int = eqx.field(static=True, default=1)
    num_leapfrog: int = eqx.field(static=True, default=0)

    @property
    def gap(self) -> Scalar:
        """`upper - log_p`: what is not known of log p(x)."""
        return self.upper - self.log_p

    @property
    def reliable(self) -> Bool[Array, ""]:
        """Whether `log_p` and `standard_error` can be trusted; see `is_reliable`."""
        return is_reliable(self.pareto_k, self.standard_error, self.num_samples)


def is_reliable(pareto_k, standard_error, num_samples: int) -> Bool[Array, "..."]:
    """Whether the mean of so many weights can be trusted.

    It can where k-hat is at most min(1 - 1 / log10 K, 0.7) (Vehtari et al. 2024, section 3.2.4,
    arXiv:1507.02646); where there are too few weights for k-hat, where the standard error is at most a
    quarter of a nat: it is itself too small where the largest weights were missed.

    Args:
        pareto_k: of the weights, of any shape.
        standard_error: of the log of their mean, of that shape, in nats.
        num_samples: K.
    """
    threshold = min(1 - 1 / math.log10(max(num_samples, 2)), 0.7)
    return jnp.where(jnp.isnan(pareto_k), standard_error <= 0.25, pareto_k <= threshold)
