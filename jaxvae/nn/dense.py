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
from jaxvae.nn.weight_norm import WeightNorm


class Linear(eqx.Module):
    """An affine map `W x + b` with float32 parameters and products in `dtype`.

    Args:
        in_dim: size of the input.
        out_dim: size of the output.
        init: `he`, weights N(0, 2 / in_dim) and no bias, which keeps the scale of what ReLU passes on
            (He et al. 2015, eq. 10, arXiv:1502.01852); `lecun`, the same with 1 / in_dim, for a layer
            that feeds no activation; `uniform`, both from U(-1, 1) / sqrt(in_dim), PyTorch's default.
        weight_norm: whether the layer is weight-normalised.
        dtype: of the operands of the matrix product, float32 or bfloat16; sums are always float32.
        key: for the initial weights.
    """

    weight: Float[Array, "out_dim in_dim"]
    bias: Float[Array, " out_dim"] | None
    norm: WeightNorm | None
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        init: str = "lecun",
        weight_norm: bool = False,
        dtype=jnp.float32,
        key: Key,
    ):
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
        self.norm = None
        if weight_norm:
            self.norm, self.bias = WeightNorm(self._norms(), self.bias), None
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example; `vmap` it for a batch."""
        chex.assert_shape(x, (self.weight.shape[1],))
        y = product(self.weight, x, self.dtype)
        if self.norm is not None:
            return self.norm(y, self._norms())
        return y if self.bias is None else y + self.bias

    def _norms(self) -> Float[Array, " out_dim"]:
        return jnp.sqrt(jnp.sum(self.weight**2, axis=1))


class MLP(eqx.Module):
    """A stack of `Linear` layers with an activation between them, none after the last.

    With `skip`, every layer after the first takes the input again beside what the layer before it gives.

    Args:
        sizes: of the input, the hidden layers and the output, `(in, h_1, ..., out)`.
        activation: applied to each hidden layer.
        init: of the hidden layers, `he` or `uniform`; after `he`, the last layer's is `lecun`.
        skip: whether the input is given to every layer.
        weight_norm: whether every layer is weight-normalised.
        dtype: of the operands of the matrix products.
        key: for the initial weights.
    """

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)
    skip: bool = eqx.field(static=True)

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable = jax.nn.relu,
        *,
        init: str = "he",
        skip: bool = False,
        weight_norm: bool = False,
        dtype=jnp.float32,
        key: Key,
    ):
        expect_choice("init", init, ["he", "uniform"])
        keys = jax.random.split(key, len(sizes) - 1)
        inits = [init] * (len(sizes) - 2) + ["lecun" if init == "he" else init]
        ins = [sizes[0], *(size + sizes[0] * skip for size in sizes[1:-1])]
        self.layers = tuple(
            Linear(i, o, init=name, weight_norm=weight_norm, dtype=dtype, key=k)
            for i, o, name, k in zip(ins, sizes[1:], inits, keys, strict=True)
        )
        self.activation, self.skip = activation, skip

    def __call__(self, x: Float[Array, " in_dim"]) -> Float[Array, " out_dim"]:
        """Maps one example."""
        hidden = self.layers[0](x)
        for layer in self.layers[1:]:
            hidden = self.activation(hidden)
            hidden = layer(jnp.concatenate([hidden, x]) if self.skip else hidden)
        return hidden
