"""q(z | x, y), the approximate posterior."""

from collections.abc import Callable

import distrax
import equinox as eqx

from jaxvae._typing import Image, Label
from jaxvae.encoders import Encoding


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
