"""p(z | y), the prior."""

import distrax
import equinox as eqx
import jax.numpy as jnp

from jaxvae._typing import Label
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


class FlowPrior(eqx.Module):
    """p(z) = N(f(z); 0, I) |det df/dz|, whatever the label: a flow that turns the latent into noise.

    The autoregressive prior of Chen et al. 2017, section 3.2, arXiv:1611.02731. Scoring takes the flow's
    forward direction, one pass; drawing takes its inverse.

    Args:
        latent_dim: D.
        flow: f, without a context.
    """

    latent_dim: int = eqx.field(static=True)
    flow: Flow

    def __call__(self, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one latent `(D,)`."""
        noise = StandardNormal(self.latent_dim)(y)
        return distrax.Transformed(noise, distrax.Inverse(as_bijector(self.flow)))
