"""Fully connected layers."""

from collections.abc import Callable, Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Key
from jaxvae.nn.product import product


class Linear(eqx.Module):
    """An affine map `W x + b` with float32 parameters and products in `dtype`.

    Args:
        in_dim: size of the input.
        out_dim: size of the output.
        init: `he`, weights N(0, 2 / in_dim) and no bias, which keeps the scale of what ReLU passes on
            (He et al. 2015, eq. 10, arXiv:1502.01852); `lecun`, the same with 1 / in_dim, for a layer
            that feeds no activation; `uniform`, both from U(-1, 1) / sqrt(in_dim), PyTorch's default.
        dtype: of the operands of the matrix product, float32 or bfloat16; sums are always float32.
        key: for the initial weights.
    """

    weight: Float[Array, "out_dim in_dim"]
    bias: Float[Array, " out_dim"]
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(self, in_dim: int, out_dim: int, *, init: str = "lecun", dtype=jnp.float32, key: Key):
        expect_positive("in_dim", in_dim)
        expect_positive("out_dim", out_dim)
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        expect_choice("init", init, ["he", "lecun", "uniform"])
        if init == "uniform":
            bound, (weight_key, bias_key) = in_dim**-0.5, jax.random.split(key)
            self.weight = jax.random.uniform(weight_key, (out_dim, in_dim), minval=-bound, maxval=bound)
            self.bias = jax.random.uniform(bias_key, (out_dim,), minval=-bound, maxval=bound)
        else:
            deviation = ((2 if init == "he" else 1) / in_dim) ** 0.5
            self.weight = deviation * jax.random.normal(key, (out_dim, in_dim))
            self.bias = jnp.zeros((out_dim,))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example; `vmap` it for a batch."""
        chex.assert_shape(x, (self.weight.shape[1],))
        return product(self.weight, x, self.dtype) + self.bias


class MLP(eqx.Module):
    """A stack of `Linear` layers with an activation between them, none after the last.

    Args:
        sizes: of the input, the hidden layers and the output, `(in, h_1, ..., out)`.
        activation: applied to each hidden layer.
        init: of the hidden layers, `he` or `uniform`; after `he`, the last layer's is `lecun`.
        dtype: of the operands of the matrix products.
        key: for the initial weights.
    """

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable = jax.nn.relu,
        *,
        init: str = "he",
        dtype=jnp.float32,
        key: Key,
    ):
        expect_choice("init", init, ["he", "uniform"])
        keys = jax.random.split(key, len(sizes) - 1)
        inits = [init] * (len(sizes) - 2) + ["lecun" if init == "he" else init]
        self.layers = tuple(
            Linear(i, o, init=name, dtype=dtype, key=k)
            for i, o, name, k in zip(sizes[:-1], sizes[1:], inits, keys, strict=True)
        )
        self.activation = activation

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
