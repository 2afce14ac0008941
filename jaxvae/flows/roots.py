"""Roots of increasing functions, where no formula gives them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_MOST_DOUBLINGS = 64


def find_roots(
    function: Callable[[Float[Array, " D"]], Float[Array, " D"]], start: Float[Array, " D"]
) -> Float[Array, " D"]:
    """Where each element of an elementwise increasing function is zero, by bracketing and bisection.

    The bracket doubles around the start until the function changes its sign in it, at most 64 times, and
    is then halved until it is a few units of rounding wide. A root beyond the last bracket gives its edge.
    It needs no derivative and gives none.

    Args:
        function: from `(D,)` to `(D,)`, each element increasing in its own argument alone.
        start: `(D,)`, somewhere near.
    """
    tolerance = 4 * jnp.finfo(start.dtype).eps

    def is_outside(carry) -> Array:
        lower, upper, doublings = carry
        missed = (function(lower) > 0) | (function(upper) < 0)
        return jnp.any(missed) & (doublings < _MOST_DOUBLINGS)

    def widen(carry):
        lower, upper, doublings = carry
        width = upper - lower
        lower = jnp.where(function(lower) > 0, lower - width, lower)
        return lower, jnp.where(function(upper) < 0, upper + width, upper), doublings + 1

    def is_wide(carry) -> Array:
        lower, upper, halvings = carry
        wide = upper - lower > tolerance * (1 + jnp.maximum(jnp.abs(lower), jnp.abs(upper)))
        return jnp.any(wide) & (halvings < 2 * _MOST_DOUBLINGS)

    def halve(carry):
        lower, upper, halvings = carry
        middle = 0.5 * (lower + upper)
        is_above = function(middle) > 0
        return jnp.where(is_above, lower, middle), jnp.where(is_above, middle, upper), halvings + 1

    zero = jnp.zeros((), jnp.int32)
    lower, upper, _ = jax.lax.while_loop(is_outside, widen, (start - 1, start + 1, zero))
    lower, upper, _ = jax.lax.while_loop(is_wide, halve, (lower, upper, zero))
    return 0.5 * (lower + upper)
