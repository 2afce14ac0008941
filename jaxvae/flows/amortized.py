"""The parameters of a flow as a function of its context."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice
from jaxvae._typing import Context, Key
from jaxvae.nn.masked import expect_context
from jaxvae.nn.product import product


class Amortized(eqx.Module):
    """Parameters that are affine in the context, or free where there is none.

    van den Berg et al. 2018, arXiv:1803.05649, "amortizing flow parameters".

    Args:
        size: how many.
        context_dim: F, the size of the context; 0 for none.
        scale: the initial standard deviation of what they are without a context, and of what a context of
            deviation 1 adds.
        dtype: of the operands of the matrix product.
        key: for their initial values.
    """

    weight: Float[Array, "size F"] | None
    bias: Float[Array, " size"]
    context_dim: int = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(self, size: int, *, context_dim: int, scale: float, dtype=jnp.float32, key: Key):
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        bias_key, weight_key = jax.random.split(key)
        self.context_dim, self.dtype = context_dim, jnp.dtype(dtype)
        self.bias = scale * jax.random.normal(bias_key, (size,))
        self.weight = None
        if context_dim:
            deviation = scale * context_dim**-0.5
            self.weight = deviation * jax.random.normal(weight_key, (size, context_dim))

    def __call__(self, context: Context | None) -> Float[Array, " size"]:
        """The parameters at one context.

        Raises:
            ValueError: if the context is of another size than was said.
        """
        expect_context(context, self.context_dim)
        if self.weight is None or context is None:
            return self.bias
        return product(self.weight, context, self.dtype) + self.bias
