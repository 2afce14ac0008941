"""The record that every estimator returns."""

import equinox as eqx

from jaxvae._typing import Key, Scalar


class Estimate(eqx.Module):
    """An estimate of log p(x) for one image, in nats.

    Args:
        log_p: the estimate of log p(x). It is the log of an unbiased estimate of p(x), hence low on
            average (Jensen), by about `standard_error ** 2 / 2`.
        standard_error: Monte Carlo standard deviation of `log_p`. Trust it only where the effective
            sample size is well above 1.
        effective_sample_size: how many equally weighted draws the weighted ones are worth, in [1, K].
        elbo: mean of the log-weights, a lower bound of log p(x).
        key: what the draws were made from.
        estimator: name of the method.
        num_samples: K.
    """

    log_p: Scalar
    standard_error: Scalar
    effective_sample_size: Scalar
    elbo: Scalar
    key: Key
    estimator: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
