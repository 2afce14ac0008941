"""Fully connected layers."""

from collections.abc import Callable, Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Key
from jaxvae.nn.product import bfloat16_product


class Linear(eqx.Module):
    """An affine map `W x + b` with float32 parameters and products in `dtype`.

    Initialised as He et al. 2015 (arXiv:1502.01852, eq. 10), scaled to a variance of `gain / in_dim`.

    Args:
        in_dim: size of the input.
        out_dim: size of the output.
        gain: variance of the output for inputs of unit variance.
        dtype: of the operands of the matrix product, float32 or bfloat16; sums are always float32.
        key: for the initial weights.
    """

    weight: Float[Array, "out_dim in_dim"]
    bias: Float[Array, " out_dim"]
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(self, in_dim: int, out_dim: int, *, gain: float = 1.0, dtype=jnp.float32, key: Key):
        expect_positive("in_dim", in_dim)
        expect_positive("out_dim", out_dim)
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        self.weight = jnp.sqrt(gain / in_dim) * jax.random.normal(key, (out_dim, in_dim))
        self.bias = jnp.zeros((out_dim,))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example; `vmap` it for a batch."""
        chex.assert_shape(x, (self.weight.shape[1],))
        product = bfloat16_product(self.weight, x) if self.dtype == jnp.bfloat16 else self.weight @ x
        return product + self.bias


class MLP(eqx.Module):
    """A stack of `Linear` layers with an activation between them, none after the last.

    Args:
        sizes: of the input, the hidden layers and the output, `(in, h_1, ..., out)`.
        activation: applied to each hidden layer.
        dtype: of the operands of the matrix products.
        key: for the initial weights.
    """

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self, sizes: Sequence[int], activation: Callable = jax.nn.relu, *, dtype=jnp.float32, key: Key
    ):
        keys = jax.random.split(key, len(sizes) - 1)
        # ReLU halves the second moment of what it is given; the last layer feeds no activation.
        gains = [2.0] * (len(sizes) - 2) + [1.0]
        self.layers = tuple(
            Linear(i, o, gain=g, dtype=dtype, key=k)
            for i, o, g, k in zip(sizes[:-1], sizes[1:], gains, keys, strict=True)
        )
        self.activation = activation

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
