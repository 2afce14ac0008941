"""The VAE as three functions of one example, and the number that everything else is made of."""

from collections.abc import Callable

import distrax
import equinox as eqx
import jax.numpy as jnp

from jaxvae._typing import Image, Key, Label, Latent, LogWeightFn, Scalar


class VAE(eqx.Module):
    """Three functions of one example, each returning a distrax distribution.

    Any callables will do; equinox modules bring their parameters along.

    Args:
        posterior: `(x, y) -> q(z | x, y)`, over latents of shape `(D,)`.
        prior: `(y) -> p(z | y)`, over latents of shape `(D,)`.
        likelihood: `(z, y) -> p(x | z, y)`, over images of shape `(C, H, W)`.
    """

    posterior: Callable[[Image, Label | None], distrax.Distribution]
    prior: Callable[[Label | None], distrax.Distribution]
    likelihood: Callable[[Latent, Label | None], distrax.Distribution]


def log_joint(model: VAE, z: Latent, x: Image, y: Label | None = None) -> Scalar:
    """Log p(x, z | y) = log p(x | z, y) + log p(z | y), in nats.

    Args:
        model: a `VAE`, or any object with its three functions.
        z: latent `(D,)`.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.
    """
    log_p_x_given_z = model.likelihood(z, y).log_prob(x)
    log_p_z = model.prior(y).log_prob(z)
    return jnp.asarray(log_p_x_given_z + log_p_z)


def make_log_weight(model: VAE, x: Image, y: Label | None = None) -> LogWeightFn:
    """The log-weight of one image as a function of the key alone; encodes the image once.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        `log_weight_fn(key)`, the log-weight (nats) of a fresh draw z ~ q(z | x, y).
    """
    posterior = model.posterior(x, y)

    def log_weight_fn(key: Key) -> Scalar:
        z, log_q_z = posterior.sample_and_log_prob(seed=key)
        return log_joint(model, z, x, y) - log_q_z

    return log_weight_fn


def log_weight(model: VAE, key: Key, x: Image, y: Label | None = None) -> Scalar:
    """Log p(x | z, y) + log p(z | y) - log q(z | x, y) at one draw z ~ q(z | x, y), in nats.

    Its mean is the ELBO (Kingma & Welling 2014, eq. 2, arXiv:1312.6114); the log-mean-exp of K of them
    is the IWAE bound (Burda et al. 2016, eq. 8, arXiv:1509.00519).

    Args:
        model: a `VAE`, or any object with its three functions.
        key: for the draw.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.
    """
    return make_log_weight(model, x, y)(key)


def reconstruct(model: VAE, key: Key, x: Image, y: Label | None = None) -> Image:
    """The mean of p(x | z, y) at one draw z ~ q(z | x, y): an image `(C, H, W)`."""
    z = model.posterior(x, y).sample(seed=key)
    return model.likelihood(z, y).mean()


def generate(model: VAE, key: Key, y: Label | None = None) -> Image:
    """The mean of p(x | z, y) at one draw z ~ p(z | y): an image `(C, H, W)`."""
    z = model.prior(y).sample(seed=key)
    return model.likelihood(z, y).mean()
