"""Orthonormal rows and inverses without LAPACK, whose batched calls can wait for each other forever.

On a CPU with few cores, jaxlib 0.10 hangs when several batched `solve`s or gradients of `cholesky` are
ready at once, as they are in a chain of flows.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def orthonormalize(rows: Float[Array, "M D"]) -> Float[Array, "M D"]:
    """Makes unit rows orthonormal, the first row first.

    Gram-Schmidt, each row twice, after which it is orthogonal to working precision (Giraud et al. 2005,
    "twice is enough", doi:10.1007/s00211-005-0615-4). A row that depends on those before it becomes small
    and not orthonormal.

    Args:
        rows: `(M, D)` of length 1, M at most D.
    """
    smallest = jnp.finfo(rows.dtype).eps ** 1.5

    def add(done: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        index, row = given
        for _ in range(2):
            row = row - (done @ row) @ done
        row = row * jax.lax.rsqrt(jnp.sum(row**2) + smallest)
        return done.at[index].set(row), None

    return jax.lax.scan(add, jnp.zeros_like(rows), (jnp.arange(len(rows)), rows))[0]


def invert(matrix: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """The inverse of a matrix, by Gauss-Jordan elimination with partial pivoting."""
    size = len(matrix)

    def eliminate(step: Array, rows: Array) -> Array:
        below = jnp.where(jnp.arange(size) >= step, jnp.abs(rows[:, step]), -1.0)
        pivot = jnp.argmax(below)
        upper, lower = rows[step], rows[pivot]
        rows = rows.at[pivot].set(upper)
        lower = lower / lower[step]
        factors = rows[:, step].at[step].set(0.0)
        return (rows - factors[:, None] * lower).at[step].set(lower)

    rows = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    return jax.lax.fori_loop(0, size, eliminate, rows)[:, size:]
