"""Lower bounds of log p(x) to train on; each takes a log-weight, not a model."""

import jax
import jax.numpy as jnp

from jaxvae._checks import expect_positive
from jaxvae._typing import Key, LogWeightFn, Scalar


def elbo(log_weight_fn: LogWeightFn, key: Key, num_samples: int = 1) -> Scalar:
    """The evidence lower bound, (1/K) sum_k log w_k, in nats.

    Kingma & Welling 2014, eq. 6, arXiv:1312.6114.

    Args:
        log_weight_fn: the log-weight of one draw, such as `make_log_weight(model, x)`.
        key: for the draws.
        num_samples: K.

    Raises:
        ValueError: if K is not positive.
    """
    return jnp.mean(_log_weights(log_weight_fn, key, num_samples))


def iwae(log_weight_fn: LogWeightFn, key: Key, num_samples: int) -> Scalar:
    """The importance-weighted bound, log (1/K) sum_k w_k, in nats; it rises to log p(x) with K.

    Burda et al. 2016, eq. 8, arXiv:1509.00519.

    Args:
        log_weight_fn: the log-weight of one draw, such as `make_log_weight(model, x)`.
        key: for the draws.
        num_samples: K.

    Raises:
        ValueError: if K is not positive.
    """
    log_weights = _log_weights(log_weight_fn, key, num_samples)
    return jax.nn.logsumexp(log_weights) - jnp.log(num_samples)


def _log_weights(log_weight_fn: LogWeightFn, key: Key, num_samples: int) -> jax.Array:
    expect_positive("num_samples", num_samples)
    return jax.vmap(log_weight_fn)(jax.random.split(key, num_samples))
