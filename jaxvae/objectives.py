"""Lower bounds of log p(x) to train on; each takes a log-weight, not a model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxvae._checks import expect_in_range, expect_positive
from jaxvae._typing import Key, LogWeightFn, LogWeightTerms, Scalar


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


def elbo_terms(
    log_weight_terms_fn: Callable[[Key], LogWeightTerms], key: Key, num_samples: int = 1
) -> dict[str, Scalar]:
    """The ELBO and its KL term, E_q[log q(z | x) - log p(z)], from the same draws, in nats.

    Args:
        log_weight_terms_fn: the terms of one draw, such as `make_log_weight_terms(model, x)`.
        key: for the draws.
        num_samples: K.

    Returns:
        `{"elbo": ..., "kl": ...}`; their sum is the expected log p(x | z).

    Raises:
        ValueError: if K is not positive.
    """
    expect_positive("num_samples", num_samples)
    terms = jax.vmap(log_weight_terms_fn)(jax.random.split(key, num_samples))
    kl = jnp.mean(terms.log_q_z - terms.log_p_z)
    return {"elbo": jnp.mean(terms.log_p_x_given_z) - kl, "kl": kl}


def make_loss(
    *, kl_warmup_steps: int = 0, free_bits: float = 0.0, consistency: float = 0.0
) -> Callable[[dict[str, Scalar], Scalar], Scalar]:
    """The loss of a batch from its mean terms: what the ELBO becomes while a deep model starts.

    loss = -(elbo + kl) + w max(kl, free_bits) + consistency * divergence, with the KL term's weight w rising
    from 0 to 1 over `kl_warmup_steps` (Sonderby et al. 2016, section 2.3, arXiv:1602.02282), free bits as in
    Kingma et al. 2016 (appendix C.8, arXiv:1606.04934) with the whole latent as one group, and the
    regularisation of Sinha & Dieng 2021 (arXiv:2105.14859).

    Args:
        kl_warmup_steps: 0 for none.
        free_bits: nats of the batch's mean KL that cost nothing.
        consistency: weight of the divergence between the posteriors of an image and of its augmentation.

    Returns:
        `combine(terms, step)`, for `make_train_step`; terms are those of `elbo_terms`, and `consistency`
        where its weight is not 0.

    Raises:
        ValueError: if an argument is negative.
    """
    given = {"kl_warmup_steps": kl_warmup_steps, "free_bits": free_bits, "consistency": consistency}
    for name, value in given.items():
        expect_in_range(name, value, 0, float("inf"))

    def combine(terms: dict[str, Scalar], step: Scalar) -> Scalar:
        weight = jnp.minimum(1.0, step / kl_warmup_steps) if kl_warmup_steps else 1.0
        loss = weight * jnp.maximum(terms["kl"], free_bits) - (terms["elbo"] + terms["kl"])
        return loss + consistency * terms["consistency"] if consistency else loss

    return combine


def _log_weights(log_weight_fn: LogWeightFn, key: Key, num_samples: int) -> jax.Array:
    expect_positive("num_samples", num_samples)
    return jax.vmap(log_weight_fn)(jax.random.split(key, num_samples))
