"""Lower bounds of log p(x) to train on; each takes a log-weight, not a model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_in_range, expect_positive, expected
from jaxvae._typing import Key, LogWeightFn, LogWeightTerms, PathWeightFn, Scalar

TermsFn = Callable[..., LogWeightTerms]


def elbo(log_weight_fn: LogWeightFn, key: Key, num_samples: int = 1) -> Scalar:
    """The evidence lower bound, (1/K) sum_k log w_k, in nats.

    Kingma & Welling 2014, eq. 6, arXiv:1312.6114. Of `make_path_weight` it has the gradient of sticking
    the landing (Roeder et al. 2017, arXiv:1703.09194).

    Args:
        log_weight_fn: the log-weight of one draw, such as `make_log_weight(model, x)`.
        key: for the draws.
        num_samples: K.

    Raises:
        ValueError: if K is not positive.
    """
    return jnp.mean(jax.vmap(log_weight_fn)(_keys(key, num_samples)))


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
    return _log_mean_exp(jax.vmap(log_weight_fn)(_keys(key, num_samples)))


def dreg(path_weight_fn: PathWeightFn, key: Key, num_samples: int) -> Scalar:
    """The importance-weighted bound, with the doubly reparameterised gradient.

    Tucker et al. 2019, eq. 8, arXiv:1810.04152: the posterior's parameters get the sum over k of v_k^2 times
    the gradient of log w_k through z_k, with the normalised weights v_k; the others get that of `iwae`. On
    average both gradients are those of `iwae`.

    Args:
        path_weight_fn: the log-weight of one draw, such as `make_path_weight(model, x)`.
        key: for the draws.
        num_samples: K.

    Raises:
        ValueError: if K is not positive.
    """
    return _doubly_reparameterized(path_weight_fn, _keys(key, num_samples), lambda log_weight: log_weight)[0]


def elbo_terms(
    log_weight_terms_fn: TermsFn, key: Key, num_samples: int = 1, *, kl: Scalar | None = None
) -> dict[str, Scalar]:
    """The ELBO and its KL term, E_q[log q(z | x) - log p(z)], from the same draws, in nats.

    Args:
        log_weight_terms_fn: the terms of one draw, such as `make_log_weight_terms(model, x)`, or
            `make_path_terms(model, x)` for sticking the landing.
        key: for the draws.
        num_samples: K.
        kl: the KL term in closed form, to take in the place of the draws'.

    Returns:
        `{"elbo": ..., "kl": ...}`; their sum is the expected log p(x | z).

    Raises:
        ValueError: if K is not positive.
    """
    return _means(jax.vmap(log_weight_terms_fn)(_keys(key, num_samples)), kl)


def iwae_terms(log_weight_terms_fn: TermsFn, key: Key, num_samples: int) -> dict[str, Scalar]:
    """The importance-weighted bound, and the ELBO and its KL term from the same draws, in nats.

    Args:
        log_weight_terms_fn: the terms of one draw, such as `make_log_weight_terms(model, x)`.
        key: for the draws.
        num_samples: K.

    Returns:
        `{"iwae": ..., "elbo": ..., "kl": ...}`.

    Raises:
        ValueError: if K is not positive.
    """
    terms = jax.vmap(log_weight_terms_fn)(_keys(key, num_samples))
    return {"iwae": _log_mean_exp(terms.log_weight), **_means(terms)}


def dreg_terms(path_terms_fn: TermsFn, key: Key, num_samples: int) -> dict[str, Scalar]:
    """The same with the gradient of `dreg` for the importance-weighted bound.

    Args:
        path_terms_fn: the terms of one draw, such as `make_path_terms(model, x)`.
        key: for the draws.
        num_samples: K.

    Returns:
        `{"iwae": ..., "elbo": ..., "kl": ...}`.

    Raises:
        ValueError: if K is not positive.
    """
    keys = _keys(key, num_samples)
    bound, terms = _doubly_reparameterized(path_terms_fn, keys, lambda terms: terms.log_weight)
    return {"iwae": bound, **_means(terms)}


def make_loss(
    bound: str = "elbo",
    *,
    beta: float = 1.0,
    kl_warmup_steps: int = 0,
    kl_cycle_steps: int | None = None,
    free_bits: float = 0.0,
    consistency: float = 0.0,
) -> Callable[[dict[str, Scalar], Scalar], Scalar]:
    """The loss of a batch from its mean terms.

    Of the ELBO, loss = -(elbo + kl) + w max(kl, free_bits) + consistency * divergence. The KL term's weight
    is w = beta (Higgins et al. 2017), to which it rises from 0 over `kl_warmup_steps` (Sonderby et al. 2016,
    section 2.3, arXiv:1602.02282), anew in each cycle where there are any (Fu et al. 2019, eq. 6,
    arXiv:1903.10145). Free bits are as in Kingma et al. 2016 (appendix C.8, arXiv:1606.04934) with the whole
    latent as one group, and the regularisation is that of Sinha & Dieng 2021 (arXiv:2105.14859).

    Of the importance-weighted bound, loss = -iwae + consistency * divergence: it has no KL term.

    Args:
        bound: `elbo` or `iwae`.
        beta: weight of the KL term; 0 for none.
        kl_warmup_steps: 0 for none.
        kl_cycle_steps: length of a cycle, at least that of its rise; None for a single rise.
        free_bits: nats of the batch's mean KL that cost nothing.
        consistency: weight of the divergence between the posteriors of an image and of its augmentation.

    Returns:
        `combine(terms, step)`, for `make_train_step`; terms are those of `elbo_terms` or `iwae_terms`, and
        `consistency` where its weight is not 0.

    Raises:
        ValueError: if `bound` is unknown, a number is negative, a cycle is shorter than its rise, or what is
            for the KL term is given for `iwae`.
    """
    expect_choice("bound", bound, ["elbo", "iwae"])
    given: dict[str, float | None] = {
        "beta": beta,
        "kl_warmup_steps": kl_warmup_steps,
        "free_bits": free_bits,
    }
    for name, value in {**given, "consistency": consistency}.items():
        expect_in_range(name, value, 0, float("inf"))
    given["kl_cycle_steps"] = kl_cycle_steps
    if bound == "iwae" and given != _NO_CHANGE:
        raise expected("the bound iwae", "without what is for a KL term", given)
    if kl_cycle_steps is not None:
        expect_positive("kl_warmup_steps of cycles", kl_warmup_steps)
        if kl_cycle_steps < kl_warmup_steps:
            raise expected(
                "kl_cycle_steps", f"to be at least kl_warmup_steps {kl_warmup_steps}", kl_cycle_steps
            )

    def kl_weight(step: Scalar) -> Scalar | float:
        now = step if kl_cycle_steps is None else step % kl_cycle_steps
        return beta * jnp.minimum(1.0, now / kl_warmup_steps) if kl_warmup_steps else beta

    def combine(terms: dict[str, Scalar], step: Scalar) -> Scalar:
        if bound == "iwae":
            loss = -terms["iwae"]
        else:
            loss = kl_weight(step) * jnp.maximum(terms["kl"], free_bits) - (terms["elbo"] + terms["kl"])
        return loss + consistency * terms["consistency"] if consistency else loss

    return combine


_NO_CHANGE = {"beta": 1.0, "kl_warmup_steps": 0, "free_bits": 0.0, "kl_cycle_steps": None}


def _keys(key: Key, num_samples: int) -> Key:
    expect_positive("num_samples", num_samples)
    return jax.random.split(key, num_samples)


def _log_mean_exp(log_weights: Float[Array, " K"]) -> Scalar:
    return jax.nn.logsumexp(log_weights) - jnp.log(log_weights.shape[0])


def _means(terms: LogWeightTerms, kl: Scalar | None = None) -> dict[str, Scalar]:
    kl = jnp.mean(terms.log_q_z - terms.log_p_z) if kl is None else kl
    return {"elbo": jnp.mean(terms.log_p_x_given_z) - kl, "kl": kl}


def _doubly_reparameterized(
    fn: Callable, keys: Key, log_weight_of: Callable
) -> tuple[Scalar, LogWeightTerms]:
    """The bound with the gradient of `dreg`, and what `fn` gives."""
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_weight_of(jax.vmap(fn)(keys))))
    # The same values as above, which XLA computes once where it sees that (of dense decoders without weight
    # normalisation). One factor of the weight is the slope here, for what passes through z, one is below.
    values = jax.vmap(fn)(keys, weights)
    log_weights = log_weight_of(values)
    surrogate = jnp.sum(weights * log_weights)
    # Adding what is nothing but a value keeps the gradient.
    return surrogate + jax.lax.stop_gradient(_log_mean_exp(log_weights) - surrogate), values
