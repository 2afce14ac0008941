"""Orthonormal rows and linear systems without LAPACK, whose batched calls can wait for each other forever.

On a CPU with few cores, jaxlib 0.10 hangs when several batched `solve`s or gradients of `cholesky` are
ready at once, as they are in a chain of flows.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def orthonormalize(rows: Float[Array, "M E"], num_columns: int) -> Float[Array, "M E"]:
    """Makes rows orthonormal in their first columns, the first row first; the other columns come along.

    Gram-Schmidt, each row twice, after which it is orthogonal to working precision (Giraud et al. 2005,
    "twice is enough", doi:10.1007/s00211-005-0615-4). A row that depends on those before it becomes small
    and not orthonormal.

    Args:
        rows: `(M, E)`, M at most `num_columns`.
        num_columns: D, the columns that count.
    """
    smallest = jnp.finfo(rows.dtype).eps ** 1.5

    def add(done: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        index, row = given
        for _ in range(2):
            row = row - (done[:, :num_columns] @ row[:num_columns]) @ done
        row = row * jax.lax.rsqrt(jnp.sum(row[:num_columns] ** 2) + smallest)
        return done.at[index].set(row), None

    return jax.lax.scan(add, jnp.zeros_like(rows), (jnp.arange(len(rows)), rows))[0]


def solve_linear(matrix: Float[Array, "D D"], right: Float[Array, " D"]) -> Float[Array, " D"]:
    """The x with `matrix x = right`."""
    size = len(right)
    # The scale of a row is its own business: what is added to its square must not matter.
    scale = jax.lax.rsqrt(jnp.sum(matrix**2, axis=1, keepdims=True))
    # What makes the rows orthonormal makes of the right side Q x.
    done = orthonormalize(jnp.concatenate([matrix, right[:, None]], axis=1) * scale, size)
    return done[:, size] @ done[:, :size]
