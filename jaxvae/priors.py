"""p(z | y), the prior."""

from collections.abc import Callable

import distrax
import equinox as eqx
import jax.numpy as jnp

from jaxvae._typing import Label
from jaxvae.encoders import Encoding
from jaxvae.flows import Flow, as_bijector


class StandardNormal(eqx.Module):
    """p(z) = N(z; 0, I), whatever the label.

    Args:
        latent_dim: D.
    """

    latent_dim: int = eqx.field(static=True)

    def __call__(self, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)`."""
        zeros = jnp.zeros((self.latent_dim,))
        return distrax.Independent(distrax.Normal(zeros, jnp.ones_like(zeros)), reinterpreted_batch_ndims=1)


class GaussianPrior(eqx.Module):
    """p(z | y) = N(z; loc, diag(scale^2)), with loc and scale learned for each label.

    Sohn et al. 2015, section 4.1, "Learning structured output representation using deep conditional
    generative models".

    Args:
        encoder: maps a label `(Y,)` to an `Encoding`, such as `encoders.LabelEncoder`.
    """

    encoder: Callable[[Label | None], Encoding]

    def __call__(self, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)` given a label."""
        loc, scale, _ = self.encoder(y)
        return distrax.Independent(distrax.Normal(loc, scale), reinterpreted_batch_ndims=1)


class FlowPrior(eqx.Module):
    """p(z | y) = p_0(f(z) | y) |det df/dz|: a flow from the latent to what another prior scores.

    The autoregressive prior of Chen et al. 2017, section 3.2, arXiv:1611.02731. Scoring takes the flow's
    forward direction, one pass; drawing takes its inverse.

    Args:
        base: p_0, such as `StandardNormal`.
        flow: f, without a context.
    """

    base: Callable[[Label | None], distrax.Distribution]
    flow: Flow

    def __call__(self, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)`."""
        return distrax.Transformed(self.base(y), distrax.Inverse(as_bijector(self.flow)))
