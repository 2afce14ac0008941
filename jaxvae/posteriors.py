"""q(z | x, y), the approximate posterior."""

from collections.abc import Callable

import distrax
import equinox as eqx

from jaxvae._checks import expected
from jaxvae._typing import Image, Label
from jaxvae.encoders import Encoding
from jaxvae.flows import Flow, as_bijector


class GaussianPosterior(eqx.Module):
    """q(z | x, y) = N(z; loc, diag(scale^2)), with loc and scale from an encoder.

    Kingma & Welling 2014 (arXiv:1312.6114), eq. 9.

    Args:
        encoder: maps an image `(C, H, W)` and a label `(Y,)` or None to an `Encoding`.
    """

    encoder: Callable[[Image, Label | None], Encoding]

    def __call__(self, x: Image, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)` given one image."""
        loc, scale, _ = self.encoder(x, y)
        return distrax.Independent(distrax.Normal(loc, scale), reinterpreted_batch_ndims=1)


class FlowPosterior(eqx.Module):
    """q(z | x, y) of z = f(z_0; context), with z_0 ~ N(loc, diag(scale^2)), all three from an encoder.

    Rezende & Mohamed 2015 (arXiv:1505.05770), eq. 15; Kingma et al. 2016 (arXiv:1606.04934), algorithm 1.
    Drawing and scoring the draw takes the flow's forward direction alone; `log_prob` of a given latent
    takes its inverse.

    Args:
        encoder: maps an image `(C, H, W)` and a label `(Y,)` or None to an `Encoding`.
        flow: f.
    """

    encoder: Callable[[Image, Label | None], Encoding]
    flow: Flow

    def __call__(self, x: Image, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)` given one image."""
        loc, scale, context = self.encoder(x, y)
        base = distrax.Independent(distrax.Normal(loc, scale), reinterpreted_batch_ndims=1)
        return distrax.Transformed(base, as_bijector(self.flow, context))


def noise_bijector(distribution: distrax.Distribution) -> distrax.Bijector:
    """The bijector that makes one draw `(D,)` of a distribution out of standard normal noise `(D,)`.

    Args:
        distribution: independent Gaussians, or any bijectors of them, such as both posteriors here give.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(distribution, distrax.Transformed):
        return distrax.Chain([distribution.bijector, noise_bijector(distribution.distribution)])
    if isinstance(distribution, distrax.Independent) and isinstance(
        distribution.distribution, distrax.Normal
    ):
        normal = distribution.distribution
        return distrax.Block(distrax.ScalarAffine(normal.loc, normal.scale), 1)
    raise expected("the distribution", "to be made of Gaussians by bijectors", f"{distribution}")
