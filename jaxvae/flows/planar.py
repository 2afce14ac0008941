"""Planar flows (Rezende & Mohamed 2015, arXiv:1505.05770)."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxvae._checks import expect_positive, expect_shape
from jaxvae._typing import Context, Key, Latent, Scalar
from jaxvae.flows.amortized import Amortized
from jaxvae.flows.base import Flow, implicit_inverse
from jaxvae.flows.roots import find_roots

# Where elu(w.u) ends: 1e-6 above -1, where the map would fold.
_LOWEST = float(np.log(1e-6))


class Planar(Flow):
    """z' = z + u tanh(w.z + b), with |det| = 1 + (1 - tanh^2) w.u; eq. 10-12.

    u is shifted along w until w.u > -1, which makes the map invertible (appendix A.1): w.u becomes
    elu(w.u). With the paper's softplus, which moves 0, u grows without limit as w goes to 0. The inverse
    needs w.z alone, a root in one dimension that bisection finds. u, w and b come from the context.

    Args:
        latent_dim: D.
        context_dim: F, the size of the context; 0 for free parameters.
        dtype: of the operands of the matrix product.
        key: for the initial parameters.

    Raises:
        ValueError: if D is not positive.
    """

    has_inverse: ClassVar[bool] = True
    parameters: Amortized
    latent_dim: int = eqx.field(static=True)

    def __init__(self, latent_dim: int, *, context_dim: int = 0, dtype=jnp.float32, key: Key):
        expect_positive("latent_dim", latent_dim)
        self.latent_dim = latent_dim
        size = 2 * latent_dim + 1
        self.parameters = Amortized(size, context_dim=context_dim, scale=0.1, dtype=dtype, key=key)

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
        along = w @ raw_u
        # Below this length of w, squared, there is nothing to shift along.
        square = jnp.maximum(w @ w, 1e-18)
        u = raw_u + _excess(along) * w / square
        return u, w, b[0], jnp.where(along > 0, 1 + along, jnp.exp(jnp.clip(along, _LOWEST, 0.0)))


def _excess(x: Scalar) -> Scalar:
    """The difference elu(x) - x, with x clipped below in the first, and to the last digit near 0."""
    below = jnp.clip(x, _LOWEST, 0.0)
    near = jnp.clip(x, -0.01, 0.0)
    series = near**2 * (1 / 2 + near * (1 / 6 + near * (1 / 24 + near / 120)))
    return jnp.where(x > -0.01, series, jnp.expm1(below) - x)
