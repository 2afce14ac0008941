"""Importance sampling with the posterior as proposal, in bounded memory."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_positive
from jaxvae._typing import Key, LogWeightFn, Scalar
from jaxvae.estimators.estimate import Estimate


class _Sums(NamedTuple):
    """Running sums over the log-weights seen so far, the first two scaled by exp(-peak)."""

    peak: Scalar
    weight: Scalar
    weight_squared: Scalar
    log_weight: Scalar


def importance_log_likelihood(
    log_weight_fn: LogWeightFn, key: Key, *, num_samples: int = 1000, chunk_size: int = 10
) -> Estimate:
    """Log p(x) = log E_q[w], estimated by log (1/K) sum_k w_k for one image.

    Burda et al. 2016, eq. 8, arXiv:1509.00519. The standard error is the delta method's,
    sd(w) / (mean(w) sqrt(K)); the effective sample size is Kish's, (sum w)^2 / sum w^2.
    Draw k uses `fold_in(key, k)`, so the result does not depend on `chunk_size` beyond rounding.

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
    chunk_size = min(chunk_size, num_samples)

    def add_chunk(carry: tuple[_Sums, Array], _: None) -> tuple[tuple[_Sums, Array], None]:
        sums, start = carry
        index = start + jnp.arange(chunk_size)
        log_w = jax.vmap(lambda k: log_weight_fn(jax.random.fold_in(key, k)))(index)
        sums = _add(sums, log_w.astype(jnp.float32), index < num_samples)
        return (sums, start + chunk_size), None

    zero = jnp.zeros((), jnp.float32)
    first = _Sums(jnp.full_like(zero, -jnp.inf), zero, zero, zero)
    num_chunks = -(-num_samples // chunk_size)
    (sums, _), _ = jax.lax.scan(add_chunk, (first, jnp.zeros((), jnp.int32)), length=num_chunks)
    return _estimate(sums, key, num_samples)


def _add(sums: _Sums, log_w: Float[Array, " K"], valid: Array) -> _Sums:
    masked = jnp.where(valid, log_w, -jnp.inf)
    peak = jnp.maximum(sums.peak, jnp.max(masked))
    # Weights that are all zero leave the peak at -inf; without this, -inf - -inf would be NaN.
    shift = jnp.where(jnp.isneginf(peak), 0.0, peak)
    scale = jnp.exp(sums.peak - shift)
    weight = jnp.exp(masked - shift)
    return _Sums(
        peak,
        sums.weight * scale + jnp.sum(weight),
        sums.weight_squared * scale**2 + jnp.sum(weight**2),
        sums.log_weight + jnp.sum(jnp.where(valid, log_w, 0.0)),
    )


def _estimate(sums: _Sums, key: Key, num_samples: int) -> Estimate:
    ess = sums.weight**2 / sums.weight_squared
    # With one draw there is no spread to measure: the error is unknown, not zero.
    excess = jnp.maximum(1 / ess - 1 / num_samples, 0.0)
    variance = excess * num_samples / (num_samples - 1) if num_samples > 1 else jnp.full_like(ess, jnp.nan)
    return Estimate(
        log_p=sums.peak + jnp.log(sums.weight) - jnp.log(num_samples),
        standard_error=jnp.sqrt(variance),
        effective_sample_size=ess,
        elbo=sums.log_weight / num_samples,
        key=key,
        estimator="importance",
        num_samples=num_samples,
    )
