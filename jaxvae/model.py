"""The VAE as three functions of one example, and the number that everything else is made of."""

from collections.abc import Callable
from typing import NamedTuple

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxvae._checks import expected
from jaxvae._typing import (
    Image,
    Key,
    Label,
    Latent,
    LogJointFn,
    LogWeightFn,
    LogWeightTerms,
    PathWeightFn,
    Scalar,
)
from jaxvae.posteriors import noise_bijector
from jaxvae.priors import StandardNormal


class VAE(eqx.Module):
    """Three functions of one example, each returning a distrax distribution.

    Any callables will do; equinox modules bring their parameters along.

    Args:
        posterior: `(x, y) -> q(z | x, y)`, over latents of shape `(D,)`.
        prior: `(y) -> p(z | y)`, over latents of shape `(D,)`.
        likelihood: `(z, y) -> p(x | z, y)`, over images of shape `(C, H, W)`.
    """

    # Not by their arguments: the label may be left out, which `Callable` cannot say.
    posterior: Callable[..., distrax.Distribution]
    prior: Callable[..., distrax.Distribution]
    likelihood: Callable[..., distrax.Distribution]


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


class NoiseSpace(NamedTuple):
    """One image's posterior as standard normal noise that a bijector turns into the latent.

    Args:
        log_joint_fn: log p(x, f(noise)) + log |det df/dnoise| of a noise `(D,)`, in nats: what the posterior
            approximates there.
        start: the noise's own distribution.
        bijector: f, from noise to latent.
    """

    log_joint_fn: LogJointFn
    start: distrax.Distribution
    bijector: distrax.Bijector


def noise_space(model: VAE, x: Image, y: Label | None = None) -> NoiseSpace:
    """Where to anneal from the posterior, whatever flow it has: only the flow's forward direction is needed.

    The change of variables leaves the integral of the joint, p(x), as it is.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        The two arguments of `annealed_log_likelihood`, and the bijector.

    Raises:
        ValueError: if the posterior is not made of Gaussians by bijectors.
    """
    posterior = model.posterior(x, y)
    bijector = noise_bijector(posterior)

    def log_joint_fn(noise: Latent) -> Scalar:
        z, log_det = bijector.forward_and_log_det(noise)
        return log_joint(model, jnp.asarray(z), x, y) + jnp.asarray(log_det)

    (latent_dim,) = posterior.event_shape
    return NoiseSpace(log_joint_fn, StandardNormal(latent_dim)(), bijector)


def make_log_weight_terms(model: VAE, x: Image, y: Label | None = None) -> Callable[[Key], LogWeightTerms]:
    """The terms of one image's log-weight as a function of the key alone; encodes the image once.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        `log_weight_terms_fn(key)`, the terms (nats) at a fresh draw z ~ q(z | x, y).
    """
    posterior = model.posterior(x, y)

    def log_weight_terms_fn(key: Key) -> LogWeightTerms:
        z, log_q_z = posterior.sample_and_log_prob(seed=key)
        log_p_x_given_z, log_p_z = model.likelihood(z, y).log_prob(x), model.prior(y).log_prob(z)
        return LogWeightTerms(*(jnp.asarray(term) for term in (log_p_x_given_z, log_p_z, log_q_z)))

    return log_weight_terms_fn


def make_log_weight(model: VAE, x: Image, y: Label | None = None) -> LogWeightFn:
    """The log-weight of one image as a function of the key alone; encodes the image once.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        `log_weight_fn(key)`, the log-weight (nats) of a fresh draw z ~ q(z | x, y).
    """
    terms_fn = make_log_weight_terms(model, x, y)
    return lambda key: terms_fn(key).log_weight


def make_path_terms(model: VAE, x: Image, y: Label | None = None) -> Callable[..., LogWeightTerms]:
    """The same terms, with a gradient that reaches the posterior's parameters through the draw alone.

    Sticking the landing (Roeder et al. 2017, eq. 8, arXiv:1703.09194): the other part, the gradient of log q
    at a fixed z, is 0 on average, and noise. It takes log q at a given z: with a flow, that is its inverse.
    There is reverse mode alone.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        `path_terms_fn(key, slope=1.0)`, the values of `make_log_weight_terms`; `slope` multiplies the
        gradient that passes through z, and changes no value.

    Raises:
        ValueError: if the posterior is no pytree of arrays, as distrax's are: its parameters would be hidden.
    """
    posterior = model.posterior(x, y)
    hidden = [leaf for leaf in jax.tree.leaves(posterior) if not eqx.is_array_like(leaf)]
    if hidden:
        raise expected("the posterior", "to be a pytree of arrays", type(hidden[0]).__name__)
    fixed = jax.tree.map(jax.lax.stop_gradient, posterior)

    def path_terms_fn(key: Key, slope: Scalar | float = 1.0) -> LogWeightTerms:
        z = _with_slope(posterior.sample(seed=key), jnp.asarray(slope))
        log_p_x_given_z, log_p_z = model.likelihood(z, y).log_prob(x), model.prior(y).log_prob(z)
        return LogWeightTerms(*(jnp.asarray(term) for term in (log_p_x_given_z, log_p_z, fixed.log_prob(z))))

    return path_terms_fn


@jax.custom_vjp
def _with_slope(z: Latent, slope: Scalar) -> Latent:
    """The identity; its derivative is `slope`."""
    return z


_with_slope.defvjp(lambda z, slope: (z, slope), lambda slope, gradient: (slope * gradient, None))


def make_path_weight(model: VAE, x: Image, y: Label | None = None) -> PathWeightFn:
    """The log-weight of one image with the gradient of `make_path_terms`: for `elbo` and `dreg`.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Returns:
        `path_weight_fn(key, slope=1.0)`, the log-weight (nats) of a fresh draw z ~ q(z | x, y).
    """
    terms_fn = make_path_terms(model, x, y)
    return lambda key, slope=1.0: terms_fn(key, slope).log_weight


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


def prior_divergence(model: VAE, x: Image, y: Label | None = None) -> Scalar:
    """KL(q(z | x, y) || p(z | y)) in closed form, in nats.

    Args:
        model: a `VAE`, or any object with its three functions.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.

    Raises:
        NotImplementedError: if distrax has none for the two, such as for flows.
    """
    return jnp.asarray(model.posterior(x, y).kl_divergence(model.prior(y)))


def posterior_divergence(model: VAE, key: Key, x: Image, other: Image, y: Label | None = None) -> Scalar:
    """KL(q(z | other, y) || q(z | x, y)) of two images' posteriors, in nats.

    Sinha & Dieng 2021, arXiv:2105.14859. In closed form between Gaussians; between flows an
    unbiased estimate from one draw, which takes the flow's inverse and its gradient: slow.

    Args:
        model: a `VAE`, or any object with its three functions.
        key: for the draw.
        x: image `(C, H, W)`.
        other: image `(C, H, W)`, such as an augmentation of `x`.
        y: label `(Y,)` or None.
    """
    posterior, others = model.posterior(x, y), model.posterior(other, y)
    try:
        return jnp.asarray(others.kl_divergence(posterior))
    except NotImplementedError:
        z, log_q = others.sample_and_log_prob(seed=key)
        return jnp.asarray(log_q) - jnp.asarray(posterior.log_prob(z))


def reconstruct(model: VAE, key: Key, x: Image, y: Label | None = None) -> Image:
    """An image `(C, H, W)` of p(x | z, y) at one draw z ~ q(z | x, y): its mean, or a draw if it has none."""
    # The key itself draws z.
    return decode(model, jax.random.fold_in(key, 1), model.posterior(x, y).sample(seed=key), y)


def simulate(model: VAE, key: Key, y: Label | None = None) -> tuple[Image, Latent]:
    """A draw x ~ p(x | z, y) `(C, H, W)`, and the z ~ p(z | y) `(D,)` that it is from."""
    latent_key, image_key = jax.random.split(key)
    z = model.prior(y).sample(seed=latent_key)
    return model.likelihood(z, y).sample(seed=image_key), z


def generate(model: VAE, key: Key, y: Label | None = None) -> Image:
    """An image `(C, H, W)` of p(x | z, y) at one draw z ~ p(z | y): its mean, or a draw if it has none."""
    return decode(model, jax.random.fold_in(key, 1), model.prior(y).sample(seed=key), y)


def decode(model: VAE, key: Key, z: Latent, y: Label | None = None) -> Image:
    """An image `(C, H, W)` of p(x | z, y): its mean, or a draw if it has none, as with a PixelCNN.

    Args:
        model: a `VAE`, or any object with its three functions.
        key: for the draw.
        z: latent `(D,)`.
        y: label `(Y,)` or None.
    """
    distribution = model.likelihood(z, y)
    try:
        return distribution.mean()
    except NotImplementedError:
        return distribution.sample(seed=key)
