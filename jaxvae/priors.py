"""p(z | y), the prior."""

import distrax
import equinox as eqx
import jax.numpy as jnp

from jaxvae._typing import Label


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
