"""Sylvester flows (van den Berg et al. 2018, arXiv:1803.05649)."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_in_range, expect_positive, expect_shape
from jaxvae._typing import Context, Key, Latent, Scalar
from jaxvae.flows.amortized import Amortized
from jaxvae.flows.base import Flow, implicit_inverse
from jaxvae.flows.linear_algebra import orthonormalize
from jaxvae.flows.roots import find_roots

BASES = ("orthogonal", "householder", "identity")
# The diagonals of R and R~ stay below this, so that their product stays above -1.
_LARGEST_DIAGONAL = 0.999


class _Update(NamedTuple):
    """R and R~, upper triangular `(M, M)`, and b `(M,)`."""

    outer: Float[Array, "M M"]
    inner: Float[Array, "M M"]
    shift: Float[Array, " M"]


class Sylvester(Flow):
    """z' = z + Q R tanh(R~ Q^T z + b), with |det| = prod_m 1 + tanh'(.)_m R_mm R~_mm; section 3.

    Q `(D, M)` has orthonormal columns; R and R~ are upper triangular with diagonals of size below 1,
    which makes the map invertible. The inverse solves for one component of Q^T z after the
    other by bisection. Q, R, R~ and b come from the context. Three kinds of Q:

    - `orthogonal`: any M orthonormal columns, from an unconstrained matrix by
      Gram-Schmidt, where the paper iterates.
    - `householder`: M = D, a product of reflections.
    - `identity`: M = D and Q = I; with the order reversed between steps it is the triangular flow.

    Args:
        latent_dim: D.
        basis: `orthogonal`, `householder` or `identity`.
        num_vectors: M, for `orthogonal` alone; 16, or D where that is less, where None.
        num_reflections: for `householder` alone.
        context_dim: F, the size of the context; 0 for free parameters.
        dtype: of the operands of the matrix product.
        key: for the initial parameters.

    Raises:
        ValueError: on an unknown basis, or a size that is not positive or above D.
    """

    has_inverse: ClassVar[bool] = True
    directions: Amortized | None
    coefficients: Amortized
    latent_dim: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)
    basis: str = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        *,
        basis: str,
        num_vectors: int | None = None,
        num_reflections: int = 8,
        context_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        expect_choice("basis", basis, BASES)
        expect_positive("latent_dim", latent_dim)
        expect_positive("num_reflections", num_reflections)
        if num_vectors is None:
            num_vectors = min(16, latent_dim)
        expect_in_range("num_vectors", num_vectors, 1, latent_dim + 1)
        self.basis, self.latent_dim = basis, latent_dim
        self.rank = num_vectors if basis == "orthogonal" else latent_dim
        num_directions = {"orthogonal": num_vectors, "householder": num_reflections, "identity": 0}[basis]
        options = {"context_dim": context_dim, "dtype": dtype}
        directions_key, coefficients_key = jax.random.split(key)
        self.directions = None
        if num_directions:
            size = num_directions * latent_dim
            self.directions = Amortized(size, scale=1.0, key=directions_key, **options)
        size = self.rank**2 + 3 * self.rank
        self.coefficients = Amortized(size, scale=0.1, key=coefficients_key, **options)

    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """One update of rank M."""
        expect_shape("the latent", z.shape, (self.latent_dim,))
        directions, update = self._directions(context), self._update(context)
        h = jnp.tanh(update.inner @ self._project(directions, z) + update.shift)
        slopes = (1 - h**2) * jnp.diag(update.outer) * jnp.diag(update.inner)
        return z + self._lift(directions, update.outer @ h), jnp.sum(jnp.log1p(slopes))

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """Back substitution, with a bisection for each component."""

        def solve(start: Latent) -> Latent:
            directions, update = self._directions(context), self._update(context)
            h = _solve_update(update, self._project(directions, start))
            return start - self._lift(directions, update.outer @ h)

        return implicit_inverse(self, solve, z, context)

    def _update(self, context: Context | None) -> _Update:
        m = self.rank
        square, diagonals, shift = jnp.split(self.coefficients(context), (m * m, m * m + 2 * m))
        square = square.reshape(m, m)
        # One square matrix holds both: R above its diagonal, R~ transposed below it.
        outer, inner = _LARGEST_DIAGONAL * jnp.tanh(diagonals.reshape(2, m))
        return _Update(jnp.triu(square, 1) + jnp.diag(outer), jnp.triu(square.T, 1) + jnp.diag(inner), shift)

    def _directions(self, context: Context | None) -> Float[Array, "N D"] | None:
        """What Q is made of: its columns, or the reflections' unit vectors."""
        if self.directions is None:
            return None
        vectors = _normalize(self.directions(context).reshape(-1, self.latent_dim))
        return orthonormalize(vectors) if self.basis == "orthogonal" else vectors

    def _project(self, directions: Array | None, z: Latent) -> Float[Array, " M"]:
        """Q^T z."""
        if directions is None:
            return z
        return directions @ z if self.basis == "orthogonal" else _reflect(directions, z)

    def _lift(self, directions: Array | None, y: Float[Array, " M"]) -> Latent:
        """Q y."""
        if directions is None:
            return y
        return y @ directions if self.basis == "orthogonal" else _reflect(directions[::-1], y)


def _normalize(vectors: Float[Array, "N D"]) -> Float[Array, "N D"]:
    # First by the largest entry, whose square might not be a number.
    largest = jnp.max(jnp.abs(vectors), axis=1, keepdims=True)
    vectors = vectors / jnp.maximum(largest, jnp.finfo(vectors.dtype).tiny)
    return vectors / jnp.sqrt(jnp.sum(vectors**2, axis=1, keepdims=True) + jnp.finfo(vectors.dtype).tiny)


def _reflect(directions: Float[Array, "H D"], z: Latent) -> Latent:
    """Householder reflections, the first direction first."""
    for v in directions:
        z = z - 2 * v * (v @ z)
    return z


def _solve_update(update: _Update, target: Float[Array, " M"]) -> Float[Array, " M"]:
    """tanh(R~ y + b) at the y with y + R tanh(R~ y + b) = target, from the last component to the first."""

    def solve_one(carry: tuple[Array, Array], m: Array) -> tuple[tuple[Array, Array], None]:
        y, h = carry
        row, inner_row = update.outer[m], update.inner[m]
        rest, offset = target[m] - row @ h, inner_row @ y + update.shift[m]
        slope, inner_slope = row[m], inner_row[m]
        root = find_roots(lambda x: x + slope * jnp.tanh(inner_slope * x + offset) - rest, rest[None])[0]
        return (y.at[m].set(root), h.at[m].set(jnp.tanh(inner_slope * root + offset))), None

    start = jnp.zeros_like(target), jnp.zeros_like(target)
    (_, h), _ = jax.lax.scan(solve_one, start, jnp.arange(len(target))[::-1])
    return h
