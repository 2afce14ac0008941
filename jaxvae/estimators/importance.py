"""Importance sampling with the posterior as proposal, in bounded memory."""

import jax
import jax.numpy as jnp

from jaxvae._checks import expect_positive
from jaxvae._typing import Int, Key, LogWeightFn
from jaxvae.estimators.estimate import Estimate
from jaxvae.estimators.weights import Draw, summarize_weights


def importance_log_likelihood(
    log_weight_fn: LogWeightFn, key: Key, *, num_samples: int = 1000, chunk_size: int = 10
) -> Estimate:
    """Log p(x) = log E_q[w], estimated by log (1/K) sum_k w_k for one image.

    Burda et al. 2016, eq. 8, arXiv:1509.00519. Draw k uses `fold_in(key, k)`, so the result does not depend
    on `chunk_size` beyond rounding.

    Args:
        log_weight_fn: the log-weight of one draw, such as `make_log_weight(model, x)`.
        key: for the draws.
        num_samples: K.
        chunk_size: draws held in memory at a time.

    Returns:
        An `Estimate`, in nats.

    Raises:
        ValueError: if a count is not positive.
    """
    expect_positive("num_samples", num_samples)
    expect_positive("chunk_size", chunk_size)
    none = jnp.full((), jnp.nan)

    def draw(index: Int) -> Draw:
        log_w = jnp.asarray(log_weight_fn(jax.random.fold_in(key, index)), jnp.float32)
        return Draw(log_w, log_w, none, jnp.where(jnp.isnan(log_w), 0, -1))

    summary = summarize_weights(draw, num_samples, chunk_size)
    return Estimate(
        log_p=summary.log_mean,
        standard_error=summary.standard_error,
        effective_sample_size=summary.effective_sample_size,
        pareto_k=summary.pareto_k,
        elbo=summary.mean_of_start,
        upper=none,
        acceptance=none,
        nan_at=summary.nan_at,
        key=key,
        estimator="importance",
        num_samples=num_samples,
    )
