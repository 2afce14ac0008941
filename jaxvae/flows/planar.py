"""Planar flows (Rezende & Mohamed 2015, arXiv:1505.05770)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from jaxvae._checks import expect_positive, expect_shape
from jaxvae._typing import Context, Key, Latent, Scalar
from jaxvae.flows.amortized import Amortized
from jaxvae.flows.base import Flow, implicit_inverse
from jaxvae.flows.roots import find_roots
from jaxvae.nn.activations import softplus

# How near w.u may come to -1, where the map would fold.
_MARGIN = 1e-6


class Planar(Flow):
    """z' = z + u tanh(w.z + b), with |det| = 1 + (1 - tanh^2) w.u; eq. 10-12.

    u is shifted along w until w.u > -1, which makes the map invertible (appendix A.1). The inverse needs
    w.z alone, a root in one dimension that bisection finds. u, w and b come from the context.

    Args:
        latent_dim: D.
        context_dim: F, the size of the context; 0 for free parameters.
        dtype: of the operands of the matrix product.
        key: for the initial parameters.

    Raises:
        ValueError: if D is not positive.
    """

    parameters: Amortized
    latent_dim: int = eqx.field(static=True)

    def __init__(self, latent_dim: int, *, context_dim: int = 0, dtype=jnp.float32, key: Key):
        expect_positive("latent_dim", latent_dim)
        self.latent_dim = latent_dim
        size = 2 * latent_dim + 1
        self.parameters = Amortized(size, context_dim=context_dim, scale=0.1, dtype=dtype, key=key)

    @property
    def has_inverse(self) -> bool:
        """True."""
        return True

    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """One rank-one update."""
        expect_shape("the latent", z.shape, (self.latent_dim,))
        u, w, b, margin = self._constrained(context)
        h = jnp.tanh(w @ z + b)
        # 1 + (1 - h^2) w.u, without the cancellation near w.u = -1.
        return z + u * h, jnp.log(h**2 + (1 - h**2) * margin)

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """The component along w by bisection, and the rest from it."""

        def solve(start: Latent) -> Latent:
            u, w, b, margin = self._constrained(context)
            target = (w @ start)[None]
            along = find_roots(lambda a: a + (margin - 1) * jnp.tanh(a + b) - target, target)
            return start - u * jnp.tanh(along + b)

        return implicit_inverse(self, solve, z, context)

    def _constrained(self, context: Context | None) -> tuple[Array, Array, Array, Array]:
        """u, w, b and 1 + w.u, which is positive."""
        raw_u, w, b = jnp.split(self.parameters(context), (self.latent_dim, 2 * self.latent_dim))
        margin = softplus(w @ raw_u) + _MARGIN
        square = jnp.maximum(w @ w, jnp.finfo(w.dtype).tiny)
        return raw_u + (margin - 1 - w @ raw_u) * w / square, w, b[0], margin
