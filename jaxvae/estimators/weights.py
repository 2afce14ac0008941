"""The mean of many weights and how far to trust it, from their logs, in one pass and in bounded memory."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Int, Scalar
from jaxvae.estimators.pareto import pareto_shape, tail_length

_NO_TEMPERATURE = jnp.iinfo(jnp.int32).max


class Draw(NamedTuple):
    """One draw, or one chain.

    Args:
        log_weight: its log-weight, in nats.
        log_weight_of_start: before any annealing.
        acceptance: mean acceptance rate along the chain; NaN for none.
        nan_at: the first temperature with a log density that was NaN; below 0 for none.
    """

    log_weight: Scalar
    log_weight_of_start: Scalar
    acceptance: Scalar
    nan_at: Int


class Summary(NamedTuple):
    """What K weights say; see `Estimate`."""

    log_mean: Scalar
    standard_error: Scalar
    effective_sample_size: Scalar
    pareto_k: Scalar
    mean_of_start: Scalar
    acceptance: Scalar
    nan_at: Int


class _Sums(NamedTuple):
    """Running sums over the draws seen so far, the first two of weights scaled by exp(-largest[0])."""

    weight: Scalar
    weight_squared: Scalar
    of_start: Scalar
    acceptance: Scalar
    nan_at: Int
    largest: Float[Array, " M"]


def summarize_weights(draw_fn: Callable[[Int], Draw], num_samples: int, chunk_size: int) -> Summary:
    """Makes draws 0 to K - 1 and sums up their weights.

    Args:
        draw_fn: makes draw i.
        num_samples: K.
        chunk_size: draws made at a time, and held in memory, at most.

    Returns:
        The standard error is the delta method's, sd(w) / (mean(w) sqrt(K)); the effective sample size is
        Kish's, (sum w)^2 / sum w^2.
    """
    num_chunks = -(-num_samples // chunk_size)
    chunk_size = -(-num_samples // num_chunks)

    def add_chunk(sums: _Sums, start: Int) -> tuple[_Sums, None]:
        index = start + jnp.arange(chunk_size)
        return _add(sums, jax.vmap(draw_fn)(index), index < num_samples), None

    zero = jnp.zeros((), jnp.float32)
    largest = jnp.full((tail_length(num_samples) + 1,), -jnp.inf)
    first = _Sums(zero, zero, zero, zero, jnp.full((), _NO_TEMPERATURE), largest)
    sums, _ = jax.lax.scan(add_chunk, first, jnp.arange(0, num_samples, chunk_size))
    return _summary(sums, num_samples)


def _add(sums: _Sums, draws: Draw, valid: Array) -> _Sums:
    # Where a density was NaN, all that is made of the weights becomes NaN.
    log_w = jnp.where(draws.nan_at < 0, draws.log_weight.astype(jnp.float32), jnp.nan)
    masked = jnp.where(valid, log_w, -jnp.inf)
    largest, _ = jax.lax.top_k(jnp.concatenate([sums.largest, masked]), len(sums.largest))
    shift, weight = _finite(largest[0]), jnp.exp(masked - _finite(largest[0]))
    scale = jnp.exp(sums.largest[0] - shift)
    nan_at = jnp.where(valid & (draws.nan_at >= 0), draws.nan_at, _NO_TEMPERATURE)
    return _Sums(
        sums.weight * scale + jnp.sum(weight),
        sums.weight_squared * scale**2 + jnp.sum(weight**2),
        sums.of_start + jnp.sum(jnp.where(valid, draws.log_weight_of_start, 0.0)),
        sums.acceptance + jnp.sum(jnp.where(valid, draws.acceptance, 0.0)),
        jnp.minimum(sums.nan_at, jnp.min(nan_at)),
        largest,
    )


def _finite(peak: Scalar) -> Scalar:
    """The peak of weights; where all are zero, -inf - -inf would be NaN."""
    return jnp.where(jnp.isneginf(peak), 0.0, peak)


def _summary(sums: _Sums, num_samples: int) -> Summary:
    ess = sums.weight**2 / sums.weight_squared
    # With one draw there is no spread to measure: the error is unknown, not zero.
    excess = jnp.maximum(1 / ess - 1 / num_samples, 0.0)
    variance = excess * num_samples / (num_samples - 1) if num_samples > 1 else jnp.full_like(ess, jnp.nan)
    return Summary(
        log_mean=sums.largest[0] + jnp.log(sums.weight) - jnp.log(num_samples),
        standard_error=jnp.sqrt(variance),
        effective_sample_size=ess,
        pareto_k=pareto_shape(jnp.exp(sums.largest - _finite(sums.largest[0]))),
        mean_of_start=sums.of_start / num_samples,
        acceptance=sums.acceptance / num_samples,
        nan_at=jnp.where(sums.nan_at == _NO_TEMPERATURE, -1, sums.nan_at),
    )
